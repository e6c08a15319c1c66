"""What a bilingual dictionary says of a new token: the English words that it stands for."""

import collections
import difflib
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import regex

from commit_t5x.errors import InputError
from commit_t5x.extension import rows, spelling, words
from commit_t5x.extension.merging import Addition
from commit_t5x.mixing.characters import lookup_key
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.vocabularies.tokenizer import Tokenizer

_NEAR = 0.8  # difflib's ratio of the letters that two forms of a word share
_COMMON_START = 2  # letters that they begin with
# A token that doesn't begin a word may look like a word by chance, a long one hardly.
_TELLING_LENGTH = 4


class Translations:
    """English translations of words in some scripts.

    Args:
      paths: of dictionaries with English on either side.
      scripts: of the other side's words.

    Raises:
      InputError: a file can't be read, or has no word in the scripts; or Latin is among these, and
        the file's name doesn't say which side is English.
    """

    def __init__(self, paths: Sequence[str | pathlib.Path], scripts: Sequence[str]):
        self._known: dict[str, list[str]] = collections.defaultdict(list)
        for path in paths:
            found = False
            for foreign, english in _pairs(path, scripts):
                self._known[lookup_key(foreign)].append(english)
                found = True
            if not found:
                raise InputError(
                    f"{path}: no word in {', '.join(scripts)} beside one in another script; name a "
                    "dictionary between English and the text's language"
                )
        self._by_start: Mapping[str, list[str]] = collections.defaultdict(list)
        for word in self._known:
            self._by_start[word[:_COMMON_START]].append(word)

    def of(self, text: str) -> list[str]:
        """Returns the translations of a token, or else of the known words nearest to it.

        Args:
          text: what the token stands for, with the space before it.
        """
        word, begins = lookup_key(text.strip()), text.startswith(" ")
        if word in self._known and (begins or len(word) >= _TELLING_LENGTH):
            return self._known[word]
        if not begins:
            return []
        forms = self._by_start.get(word[:_COMMON_START], ())
        return [
            english
            for form in difflib.get_close_matches(word, forms, cutoff=_NEAR)
            for english in self._known[form]
        ]


def _pairs(path: str | pathlib.Path, scripts: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yields a dictionary's words in the scripts, and the English beside each."""
    letter = regex.compile(words.letters(scripts), regex.V1)
    english = None  # which side: the one in another script
    if words.OWN in scripts:
        sides = pathlib.Path(path).name.partition(".")[0].split("-")
        if len(sides) != 2 or sides.count("en") != 1:
            raise InputError(
                f"{path}: its name doesn't say which side is English; name it as en-sw.txt or "
                "sw-en.txt"
            )
        english = sides.index("en")
    for word, targets in Lexicon.load(path).items():
        for pair in ((word, target) for target in targets):
            written = [bool(letter.search(side)) for side in pair]
            if english is not None and written[1 - english]:
                yield pair[1 - english], pair[english]
            elif english is None and sum(written) == 1:
                yield pair[written.index(True)], pair[written.index(False)]


def sources(
    tokenizer: Tokenizer, additions: Sequence[Addition], translations: Translations
) -> Iterator[rows.Source | None]:
    """Yields the mean of the rows of each new token's translations, or None if it has none.

    Of a translation's tokens it is the mean; a translation that is named twice counts twice.

    Args:
      tokenizer: the old one.
      additions: the new tokens.
      translations: of words.
    """
    byte_level, space = spelling.is_byte_level(tokenizer), spelling.space_before(tokenizer)
    for addition in additions:
        found = translations.of(spelling.decoded(spelling.bytes_of(addition.token, byte_level)))
        ids = [tokenizer.encode(space + english) for english in found]
        if not ids:
            yield None
            continue
        weights = [np.full(len(row), 1 / (len(row) * len(ids))) for row in ids]
        yield rows.Source(np.concatenate(ids), np.concatenate(weights))


def mixed(
    means: Sequence[rows.Source], translated: Sequence[rows.Source | None]
) -> list[rows.Source]:
    """Returns half of each mean and half of what is translated; the mean where nothing is."""
    halves = zip(means, translated, strict=True)
    return [mean if meaning is None else _mean(meaning, mean) for mean, meaning in halves]


def _mean(*sources: rows.Source) -> rows.Source:
    ids, weights = (np.concatenate(column) for column in zip(*sources, strict=True))
    return rows.Source(ids, weights / len(sources))
