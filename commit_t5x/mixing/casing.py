"""Capital letters as a language writes them, where that isn't Unicode's default (Python's)."""

import re
import unicodedata
from collections.abc import Iterator

# i and I are two letters, each with its own capital or small one.
_DOTTED_AND_DOTLESS = frozenset({"tr", "az"})

# Accents, breathings and lengths of Greek; not the dialytika.
_GREEK_ACCENTS = re.compile("[\u0300\u0301\u0304\u0306\u0313\u0314\u0342]")
# A pair of vowels that only the accent on the first told from a diphthong.
_GREEK_HIATUS = re.compile("(?<=[ΑΕΗΙΟΥΩ]\u0301)[ΙΥ](?![\u0300-\u036f])")


def upper(word: str, language: str = "") -> str:
    """Returns a word in capitals, in NFC.

    Example:
      >>> upper("iyi", "tr"), upper("νερό", "el"), upper("straße", "de")
      ('İYİ', 'ΝΕΡΟ', 'STRASSE')
    """
    if language in _DOTTED_AND_DOTLESS:
        # The second letter is what lower-casing İ without regard to the language leaves.
        word = word.replace("i\u0307", "i").replace("i", "İ")
    capitals = unicodedata.normalize("NFD", word.upper())
    if language == "el" and len(word) > 1:  # Ή is "or", Η "the"
        capitals = _GREEK_ACCENTS.sub("", _GREEK_HIATUS.sub("\\g<0>\u0308", capitals))
    return unicodedata.normalize("NFC", capitals)


def capitalised(word: str, language: str = "") -> str:
    """Returns a word, in NFC, with its first letter in title case.

    Example:
      >>> capitalised("iyi", "tr"), capitalised("όμορφος", "el"), capitalised("ijs", "nl")
      ('İyi', 'Όμορφος', 'IJs')
    """
    word = unicodedata.normalize("NFC", word)
    if language in _DOTTED_AND_DOTLESS and word.startswith("i"):
        return "İ" + word.removeprefix("i").removeprefix("\u0307")
    if language == "nl" and word.startswith("ij"):
        return "IJ" + word[2:]
    return word[:1].title() + word[1:]


def spellings_in_capitals(word: str, language: str = "") -> Iterator[str]:
    """Yields how texts write a word of lower case in capitals, the usual way first.

    Greek is also met with accents and without any dialytika, German with a capital ß.
    """
    yield upper(word, language)
    if language == "el":
        yield upper(word)
        capitals = unicodedata.normalize("NFD", word.upper())
        yield unicodedata.normalize("NFC", _GREEK_ACCENTS.sub("", capitals))
    if language == "de":
        yield word.replace("ß", "ẞ").upper()


def spellings_capitalised(word: str, language: str = "") -> Iterator[str]:
    """Yields how texts write a word with a capital letter first; Greek also without its accent."""
    yield capitalised(word, language)
    if language == "el" and len(word) > 1:
        word = capitalised(word)
        yield without_greek_accents(word[:1]) + word[1:]


def without_greek_accents(word: str) -> str:
    """Returns a Greek word without accents and breathings, in NFC."""
    return unicodedata.normalize("NFC", _GREEK_ACCENTS.sub("", unicodedata.normalize("NFD", word)))
