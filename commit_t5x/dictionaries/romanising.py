"""Dictionaries for those who write their language in Latin letters."""

import functools
import pathlib
import re
from collections.abc import Iterator

from commit_t5x.errors import InputError
from commit_t5x.mixing import characters, dictionary_files
from commit_t5x.mixing.dictionary_files import Record


def romanised(path: str | pathlib.Path, language: str | None = None) -> Iterator[Record]:
    """Yields the records of a dictionary with their translations in Latin letters, by uroman.

    Translations in Latin letters, accents included, and all words of the source stay as they are.

    Args:
      path: the dictionary.
      language: of the translations, by ISO 639-3, as some letters are read by the language.

    Raises:
      InputError: the dictionary can't be read, `language` isn't such a code, or uroman isn't
        installed.

    Example, of a dictionary with the line `water<TAB>पानी`:
      >>> next(romanised("en-hi.tsv"))[:2]
      ('water', 'paanii')
    """
    if language is not None and not re.fullmatch("[a-z]{3}", language):
        raise InputError(
            f"--language {language}: expected a code of ISO 639-3, which has three letters, such "
            "as hin for Hindi"
        )
    for record in dictionary_files.read_records(path):
        target = record.target
        if any(map(_is_foreign, target)):
            target = _uroman().romanize_string(target, lcode=language).strip()
        if target:
            yield record._replace(target=target)


def _is_foreign(character: str) -> bool:
    """Returns whether Latin text has another letter or digit in its place."""
    if character.isdecimal():
        return not character.isascii()
    return characters.script(character) not in ("", "Latin")


@functools.cache
def _uroman():
    try:
        import uroman  # here, as it takes seconds to load
    except ImportError:
        raise InputError(
            "dicts romanise: uroman isn't installed: pip install 'commit-t5x[romanise]'"
        ) from None
    return uroman.Uroman()
