"""Parts of speech: which entries of a dictionary agree with how a word is used in a text.

A tagger is a function from a text to the start, in characters, and the part of speech of each of
its tokens, from left to right, by Universal Dependencies' names. `POS_TAGGER` names what makes one
for a language: one of these, or a user's own.
"""

import bisect
import functools
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gin

from commit_t5x import fingerprints, ranges
from commit_t5x.errors import InputError

Tagger = Callable[[str], Iterable[tuple[int, str]]]

_TAGS = tuple(
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()
)
# What dictionaries and taggers call them. Those that either mixes up are one here.
_NAMES = {
    "noun": "n noun subst substantive s.m. s.f. np pn name propn proper_noun",
    "verb": "v vb verb vt vi vtr vblex vbser vbhaver vbmod vbdo vaux aux",
    "adjective": "adj adjective",
    "adverb": "adv adverb preadv adv_phrase",
    "pronoun": "pron prn pronoun rel det predet determiner art article",
    "adposition": "adp prep pr preposition postp post postposition prep_phrase",
    "conjunction": "conj conjunction cconj sconj cnjcoo cnjsub cnjadv",
    "numeral": "num numeral number",
    "interjection": "intj interj int interjection ij",
    "particle": "part particle",
}
_PARTS = {name: part for part, names in _NAMES.items() for name in names.split()}
_BETWEEN = "\x1f"  # a word and its part of speech


def make(maker: Callable[[str], Tagger], language: str) -> Tagger:
    """Returns the tagger of a language, of what `POS_TAGGER` names.

    Raises:
      InputError: that doesn't make a function.
    """
    if not callable(maker):
        raise InputError(
            f"POS_TAGGER: {maker!r} is no function; name one that makes a tagger, such as "
            "@tagging.spacy_tagger, without quotes and parentheses"
        )
    tagger = maker(language)
    if not callable(tagger):
        raise InputError(
            f"POS_TAGGER: makes {tagger!r} for {language!r}; let it return a function from a text "
            "to its tokens"
        )
    return tagger


@functools.lru_cache(maxsize=4096)
def part_of_speech(name: str) -> str:
    """Returns what is compared of a dictionary's or a tagger's name; empty for one not known.

    Example:
      >>> part_of_speech("vblex"), part_of_speech("AUX"), part_of_speech("idiom")
      ('verb', 'verb', '')
    """
    return _PARTS.get(name.lower().rstrip(".").replace(" ", "_"), "")


def key(word: str, part: str) -> str:
    """Returns what a word is looked up by where it is that part of speech."""
    return word + _BETWEEN + part if part else word


def suffixes(tagger: Tagger, pieces: Sequence[str]) -> list[str]:
    """Returns what makes a `key` of each piece of a text; empty where nothing is known of it.

    A word has the part of speech of the token in which it begins.

    Args:
      tagger: tags the text.
      pieces: as a `Segmenter` returns them.

    Raises:
      InputError: the tagger returns something else than it should.

    Example:
      >>> suffixes(lambda text: [(0, "PRON"), (2, "VERB")], ["I", " ", "saw", "", ""])
      ['\x1fpronoun', '', '\x1fverb', '', '']
    """
    text = "".join(pieces)
    starts, parts = [], []
    for start, tag in _tokens(tagger, text):
        starts.append(start)
        parts.append(part_of_speech(tag))
    found, place = [], 0
    for number, piece in enumerate(pieces):
        token = bisect.bisect_right(starts, place) - 1
        is_word = number % 2 == 0 and bool(piece)
        found.append(key("", parts[token]) if is_word and token >= 0 else "")
        place += len(piece)
    return found


def _tokens(tagger: Tagger, text: str) -> list[tuple[int, str]]:
    tokens = tagger(text)
    if not isinstance(tokens, Iterable):
        raise _odd(tokens, text, "tokens")
    tokens, last = list(tokens), 0
    for token in tokens:
        if not (isinstance(token, tuple) and len(token) == 2 and token[1] in _TAGS):
            raise _odd(token, text, f"a token's start and one of {', '.join(_TAGS)}")
        start = token[0]
        if not (isinstance(start, numbers.Integral) and last <= start < max(len(text), 1)):
            raise _odd(token, text, "starts in characters, from left to right")
        last = start
    return tokens


def _odd(found: Any, text: str, expected: str) -> InputError:
    return InputError(f"POS_TAGGER: gives {found!r} for {text[:40]!r}; expected {expected}")


@gin.configurable
def spacy_tagger(language: str, model: ranges.Text = "en_core_web_sm") -> Tagger:
    """Returns spaCy's tagger.

    Args:
      language: of the texts, which must be the pipeline's.
      model: an installed pipeline's name, or its folder.

    Raises:
      InputError: spaCy or the pipeline isn't there, or it is of another language.
    """
    nlp = _spacy_pipeline(model)
    if nlp.lang != language:
        raise InputError(
            f"spacy_tagger.model: {model} is of language {nlp.lang!r}, the texts that are mixed of "
            f"{language!r}; name another, or use @tagging.stanza_tagger"
        )
    fingerprints.record(f"POS_TAGGER of {language}", "spaCy {name} {version}".format(**nlp.meta))

    def tag(text: str) -> list[tuple[int, str]]:
        document = nlp(text)
        if text.strip() and not document.has_annotation("POS"):
            raise InputError(f"spacy_tagger.model: {model} has no tagger; name another")
        return [(token.idx, token.pos_ or "X") for token in document if not token.is_space]

    return tag


@functools.lru_cache
def _spacy_pipeline(model: str) -> Any:
    try:
        import spacy  # here, as most runs do without
    except ImportError:
        raise InputError("POS_TAGGER: spacy_tagger needs spaCy: pip install spacy") from None
    try:
        # What only other uses need takes half of the time.
        return spacy.load(model, exclude=["ner", "parser", "lemmatizer", "senter"])
    except (OSError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"spacy_tagger.model: {model}: can't be loaded ({reason}); name a folder, or a "
            "pipeline that is installed (python -m spacy download en_core_web_sm)"
        ) from error


@gin.configurable
def stanza_tagger(language: str) -> Tagger:
    """Returns the tagger of Stanza's default models; of a token of several words the first counts.

    Args:
      language: of the texts.

    Raises:
      InputError: Stanza isn't installed, or its models for the language aren't there.
    """
    try:
        import stanza  # here, as most runs do without
        from stanza.pipeline.core import PipelineRequirementsException
    except ImportError:
        raise InputError("POS_TAGGER: stanza_tagger needs Stanza: pip install stanza") from None
    try:
        pipeline = stanza.Pipeline(
            language, processors="tokenize,pos", download_method=None, verbose=False
        )
    except (OSError, ValueError, PipelineRequirementsException) as error:
        raise InputError(
            f'POS_TAGGER: Stanza has no models for {language!r} here; python -c "import stanza; '
            f"stanza.download('{language}')\""
        ) from error
    fingerprints.record(f"POS_TAGGER of {language}", f"Stanza {stanza.__version__}")

    def tag(text: str) -> list[tuple[int, str]]:
        tokens = (token for sentence in pipeline(text).sentences for token in sentence.tokens)
        return [(token.start_char, token.words[0].upos) for token in tokens]

    return tag
