"""CodeMixer: replaces words of a text by dictionary translations (COMMIT).

One stateless algorithm with two faces that agree to the byte: plain Python, here, the readable
truth; and TensorFlow, `graph_mixer`, which mixes a batch inside a tf.data graph.
"""

import dataclasses
import itertools
import types
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal

import gin

from commit_t5x import ranges
from commit_t5x.errors import InputError
from commit_t5x.mixing import stateless_random, tagging
from commit_t5x.mixing.characters import lookup_key
from commit_t5x.mixing.lexicon import Lexicon, load_dictionary
from commit_t5x.mixing.segmenters import Segmenter, SegmenterName, SpaceSegmenter, get_segmenter
from commit_t5x.mixing.word_alignment import load_alignment_pairs

ALWAYS = 2**32  # every 32-bit draw is below it


@dataclasses.dataclass(frozen=True)
class Replacement:
    """One replaced word or phrase.

    Attributes:
      start: its place in the mixed text, in characters.
      source: what it was.
      target: what it is.
    """

    start: int
    source: str
    target: str


@dataclasses.dataclass(frozen=True)
class Piece:
    """A word or phrase of a text, or what stands between two of them.

    Attributes:
      source: what it was.
      text: what it is; of a word that isn't replaced, the same.
      words: of `source`; none where it stands between words.
      known: whether the lexicon has an entry for it.
      replaced: whether it was replaced, be it by itself.
    """

    source: str
    text: str
    words: tuple[str, ...] = ()
    known: bool = False
    replaced: bool = False

    @property
    def changed(self) -> bool:
        """Whether it was replaced by something else than itself."""
        return self.replaced and self.text != self.source


@dataclasses.dataclass(frozen=True)
class Mixed:
    """A mixed text.

    Attributes:
      text: the result.
      replacements: what was replaced, from left to right.
      words: words of the text, protected ones left out.
      hits: words that the lexicon knows, each word of a phrase counted.
      replaced: words that were replaced, each word of a phrase counted.
      pieces: all of the text, from left to right.
    """

    text: str
    replacements: tuple[Replacement, ...]
    words: int
    hits: int
    replaced: int
    pieces: tuple[Piece, ...]


class CodeMixer:
    """Replaces the words of a text that a lexicon knows, each with probability `ratio`.

    The text is cut into words, each is looked up, and on a hit one translation is drawn by the
    lexicon's weights. A word that touches the next one, as in Thai, gets a space between if either
    is replaced. Two numbers are drawn for each hit and none for a miss, from a stream that
    the seed alone fixes. The defaults are the paper's algorithm: words end at U+0020, white space
    and punctuation around them are set aside, translations are drawn uniformly.

    Args:
      lexicon: source words and their translations.
      ratio: probability, 0 to 1, that a hit is replaced.
      segmenter: cuts the text into words.
      phrases: also look for entries of several words, the longest first.
      calibrated: `ratio` is the share of all words to replace, rather than of hits: hits are
        replaced as much more often as the text has words that are none.
      canonical_equivalence: a word is found however Unicode lets it be spelt (NFC, NFD, soft
        hyphens), as `characters.lookup_key` says.
      source_language: of the texts, which are mixed alike in any; see `hit_rate.Known`.
      tagger: a word is only replaced by translations of entries of its part of speech; by those
        whose part of speech isn't known, and a phrase by any, as without.

    Attributes:
      phrase_lengths: first word -> number of words of the longest phrase that begins with it.

    Raises:
      InputError: `ratio` is not between 0 and 1.

    Example:
      >>> lexicon = Lexicon.from_pairs([("drink", "पियो"), ("water", "पानी")])
      >>> CodeMixer(lexicon, ratio=1.0).mix("Please drink (water)!", seed=(42, 0))
      'Please पियो (पानी)!'
    """

    def __init__(
        self,
        lexicon: Lexicon,
        ratio: float = 0.9,
        *,
        segmenter: Segmenter | None = None,
        phrases: bool = False,
        calibrated: bool = False,
        canonical_equivalence: bool = False,
        source_language: str | None = None,
        tagger: tagging.Tagger | None = None,
    ):
        if not 0 <= ratio <= 1:
            raise InputError(f"code-mixing ratio {ratio}: must lie between 0 and 1")
        self.lexicon = lexicon.canonical() if canonical_equivalence else lexicon
        self.tagger = tagger
        if tagger:
            self.lexicon = self.lexicon.by_part_of_speech()
        self.ratio = ratio
        self.segmenter = segmenter or SpaceSegmenter()
        self.calibrated = calibrated
        self.canonical_equivalence = canonical_equivalence
        self.source_language = source_language
        self.phrase_lengths = self._measure_phrases() if phrases else {}

    def mix(self, text: str, seed: tuple[int, int], ratio: float | None = None) -> str:
        """Returns the mixed text; the same seed gives the same text everywhere.

        Args:
          text: the text.
          seed: two integers, taken modulo 2^64.
          ratio: in place of the mixer's own.
        """
        return self.mix_with_replacements(text, seed, ratio).text

    def mix_with_replacements(
        self, text: str, seed: tuple[int, int], ratio: float | None = None
    ) -> Mixed:
        """As `mix`, with what was replaced."""
        stream = stateless_random.key(seed)
        pieces = self.segmenter.segment(text)
        words = sum(map(bool, pieces[::2]))
        found = dict(self._find(pieces))
        hits = sum(map(_words_in, found))
        threshold = round((self.ratio if ratio is None else ratio) * ALWAYS)
        if self.calibrated:
            threshold = min(ALWAYS, threshold * words // max(hits, 1))

        replaced = {}
        for number, (span, key) in enumerate(found.items()):
            if stateless_random.bits(stream, 2 * number) < threshold:
                source = "".join(pieces[span.start : span.stop])
                bits = stateless_random.bits(stream, 2 * number + 1)
                replaced[span] = source, self.lexicon.choose(key, bits)
        mixed = list(pieces)
        for span in replaced:
            for gap in (span.start - 1, span.stop):
                if 0 < gap < len(pieces) and not pieces[gap]:
                    # Beside protected spans there are gaps without words.
                    mixed[gap] = " " if pieces[gap - 1] and pieces[gap + 1] else ""
        for span, (_, target) in replaced.items():
            mixed[span.start : span.stop] = [target] + [""] * (len(span) - 1)
        starts = list(itertools.accumulate(map(len, mixed), initial=0))
        return Mixed(
            "".join(mixed),
            tuple(Replacement(starts[span.start], *pair) for span, pair in replaced.items()),
            words,
            hits,
            sum(map(_words_in, replaced)),
            tuple(_aligned(pieces, mixed, found, replaced)),
        )

    def _keys(self, pieces: Sequence[str]) -> list[str]:
        """Returns what the pieces are looked up by."""
        return list(map(lookup_key, pieces)) if self.canonical_equivalence else list(pieces)

    def _find(self, pieces: Sequence[str]) -> Iterator[tuple[range, str]]:
        """Yields the places of the pieces of each hit, and its key, from left to right."""
        keys = self._keys(pieces)
        suffixes = tagging.suffixes(self.tagger, pieces) if self.tagger else ("",) * len(pieces)
        place = 0
        while place < len(keys):
            for words in range(self.phrase_lengths.get(keys[place], 1), 0, -1):
                span = range(place, place + 2 * words - 1)
                key = "".join(keys[span.start : span.stop])
                if words == 1 and key + suffixes[place] in self.lexicon:
                    key += suffixes[place]
                if (
                    span.stop <= len(keys)
                    and all(keys[p] for p in span[::2])
                    and key in self.lexicon
                ):
                    yield span, key
                    place = span.stop - 1
                    break
            place += 2

    def _measure_phrases(self) -> Mapping[str, int]:
        lengths: dict[str, int] = {}
        for source, _ in self.lexicon.items():
            pieces = self._keys(self.segmenter.segment(source)) if " " in source else ()
            if len(pieces) > 1 and all(pieces[::2]):
                lengths[pieces[0]] = max(lengths.get(pieces[0], 1), (len(pieces) + 1) // 2)
        return lengths


@gin.configurable
def make_mixer(
    source_language: str,
    target_language: str,
    *,
    ratio: ranges.Share = 0.9,
    target_languages: Mapping[ranges.Language, ranges.PositiveNumber] | None = None,
    replacements: Mapping[
        Literal["dictionary", "alignment"], ranges.PositiveNumber
    ] = types.MappingProxyType({"dictionary": 1.0}),
    segmenter: SegmenterName = "space",
    protected: Sequence[ranges.Text] = (),
    phrases: bool = False,
    case_variants: bool = False,
    lemma_backoff: bool = False,
    drop_identity: bool = False,
    calibrated: bool = False,
    canonical_equivalence: bool = False,
    tagger: Callable[[str], tagging.Tagger] | None = None,
) -> CodeMixer:
    """Returns the mixer that gin configures for a language pair; see `CodeMixer`.

    Args:
      source_language: the language of the texts.
      target_language: the language mixed in.
      ratio: as in `CodeMixer`.
      target_languages: mix in several languages rather than `target_language`, drawn by weight
        among those that know a word: {"hi": 2, "th": 1}.
      replacements: where they come from, drawn by weight among those that know a word:
        "dictionary" is `{source}-{target}` of `DICT_DIR`, "alignment" the phrases of the aligned
        text `{source}-{target}` of `ALIGNMENT_DIR`.
      segmenter: a name that `segmenters.get_segmenter` knows.
      protected: what is never mixed, as in `segmenters.get_segmenter`.
      phrases: as in `CodeMixer`.
      case_variants: also find words written with their first or all letters in upper case.
      lemma_backoff: also find inflected words that have no entry, by their lemmas.
      drop_identity: ignore pairs that would replace a word by itself.
      calibrated, canonical_equivalence: as in `CodeMixer`.
      tagger: makes the tagger of `CodeMixer` for the language of the texts.

    Raises:
      InputError: a source of replacements is missing, or has none, or none with a part of speech
        for the tagger.
    """
    parts = []
    for language, share in (target_languages or {target_language: 1.0}).items():
        for name, weight in replacements.items():
            load, tagged = _REPLACEMENTS[name], tagger is not None
            lexicon = load(source_language, language, with_parts_of_speech=tagged)
            if canonical_equivalence:
                lexicon = lexicon.canonical()
            whole = lexicon
            if drop_identity:
                lexicon = lexicon.without_identity()
            if lemma_backoff:
                lexicon = lexicon.with_inflected_forms(source_language, known=whole)
            if case_variants:
                lexicon = lexicon.with_case_variants(source_language, language)
            parts.append((lexicon, share * weight))
    lexicon = Lexicon.merged(parts)
    if not lexicon:
        raise InputError(
            f"DICT_DIR: {source_language}-{target_language} gives each word itself, which "
            "drop_identity leaves out: nothing would be mixed; use another dictionary"
        )
    if tagger is not None and not lexicon.has_parts_of_speech:
        raise InputError(
            f"POS_TAGGER: dictionary {source_language}-{target_language} says no parts of speech; "
            "use one that `commit-t5x dicts import` made of kaikki, freedict or apertium, or none"
        )
    return CodeMixer(
        lexicon,
        ratio,
        segmenter=get_segmenter(segmenter, source_language, lambda: lexicon, protected),
        phrases=phrases,
        calibrated=calibrated,
        canonical_equivalence=canonical_equivalence,
        source_language=source_language,
        tagger=None if tagger is None else tagging.make(tagger, source_language),
    )


def _from_alignment(
    source_language: str, target_language: str, with_parts_of_speech: bool
) -> Lexicon:
    del with_parts_of_speech  # a text has none
    return Lexicon.from_pairs(load_alignment_pairs(source_language, target_language))


_REPLACEMENTS = {"dictionary": load_dictionary, "alignment": _from_alignment}


def _aligned(
    before: Sequence[str],
    after: Sequence[str],
    hits: Collection[range],
    replaced: Collection[range],
) -> Iterator[Piece]:
    hit_at, place = {span.start: span for span in hits}, 0
    while place < len(before):
        span = hit_at.get(place, range(place, place + 1))
        is_word = place % 2 == 0 and bool(before[place])
        yield Piece(
            "".join(before[span.start : span.stop]),
            "".join(after[span.start : span.stop]),
            tuple(before[span.start : span.stop : 2]) if is_word else (),
            place in hit_at,
            span in replaced,
        )
        place = span.stop


def _words_in(span: range) -> int:
    return (len(span) + 1) // 2
