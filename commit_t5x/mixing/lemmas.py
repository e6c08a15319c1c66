"""Inflected forms and their lemmas, for words that a dictionary has in its own form only."""

import unicodedata
from collections.abc import Iterator

from commit_t5x.mixing import casing
from commit_t5x.mixing.characters import lookup_key

# Shorter forms are mostly abbreviations and clitics.
_SHORTEST_FORM = 3

# Nouns are written with a capital letter: their lemmas are, too, but not in MUSE's dictionaries.
_CAPITALISED_NOUNS = frozenset({"de", "lb"})


def inflected_forms(language: str) -> Iterator[tuple[str, str]]:
    """Yields (form, lemma) for the words of a language that are inflected.

    From simplemma's dictionaries. Left out are closed-class words, whose forms differ in more than
    inflection: those among the language's stop words in stopwordsiso, and those that share a lemma
    with one. So are words with an apostrophe, which join several, and forms of a lemma with a
    capital letter, mostly names. Nothing is known of a language that either package lacks.

    Example:
      >>> dict(inflected_forms("en"))["rallies"]
      'rally'
    """
    import simplemma.strategies.dictionaries as simplemma  # here: only some runs need it
    import stopwordsiso

    try:
        lemmas = simplemma.DefaultDictionaryFactory().get_dictionary(language)
    except ValueError:
        return
    stop_words = {_folded(word, language) for word in stopwordsiso.stopwords(language)}
    if not stop_words:
        return
    stop_words |= {_folded(lemmas.get(word, word), language) for word in stop_words}
    for form, lemma in lemmas.items():
        form, lemma = lookup_key(form), lookup_key(lemma)
        if language in _CAPITALISED_NOUNS:
            form, lemma = form.lower(), lemma.lower()
        if (
            form != lemma
            and len(form) >= _SHORTEST_FORM
            and not {"'", "’"} & set(form)
            and not any(map(str.isupper, lemma))
            and not {_folded(form, language), _folded(lemma, language)} & stop_words
        ):
            yield form, lemma


def _folded(word: str, language: str) -> str:
    # The Greek list has no accents.
    word = unicodedata.normalize("NFC", word).lower()
    return casing.without_greek_accents(word) if language == "el" else word
