"""The words of texts that new tokens are learnt from, by their scripts."""

import collections
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import regex

from commit_t5x.data import records
from commit_t5x.errors import InputError
from commit_t5x.mixing import characters

OWN = "Latin"  # the script of English, whose words no new token may touch without being checked
# Of the letters in other scripts: one with fewer is no script of the text's language.
_SCRIPT_SHARE = 0.05
_PAGE = regex.compile(r"\s*<(!doctype html|html)", regex.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Words:
    """Words with the space before them, if there is one.

    Attributes:
      counts: how often each stands in the texts.
      scripts: that they are written in, by their Unicode names.
      share: of the texts' letters that are in these scripts.
    """

    counts: Mapping[str, int]
    scripts: tuple[str, ...]
    share: float


def pattern(scripts: Sequence[str]) -> str:
    """Returns a regular expression of a word with the space before it, for Oniguruma and `regex`.

    A word is letters and marks of the scripts; marks and joiners that all scripts share may follow.

    Example:
      >>> regex.findall(pattern(["Greek"]), "tea, δύο λέξεις", regex.V1)
      [' δύο', ' λέξεις']
    """
    letter = rf"[{_classes(scripts)}]&&[\p{{L}}\p{{M}}]"
    return rf" ?[{letter}][[{letter}]\p{{Inherited}}]*"


def letters(scripts: Sequence[str]) -> str:
    """Returns a regular expression of a letter or mark that only these scripts have."""
    return rf"[[{_classes(scripts)}]&&[\p{{L}}\p{{M}}]]"


def _classes(scripts: Sequence[str]) -> str:
    return "".join(rf"\p{{{script}}}" for script in scripts)


def read(paths: Sequence[str | pathlib.Path], latin: bool = False) -> Words:
    """Counts the words of texts that can be learnt from.

    Args:
      paths: of files that `texts` reads.
      latin: whether words in Latin script are among them.

    Raises:
      InputError: a file can't be read, holds no text, or none of the letters is in a script that
        new tokens can be learnt in.
    """
    read: collections.Counter[str] = collections.Counter()
    for path in paths:
        for text in texts(path):
            read.update(text)
    found: collections.Counter[str] = collections.Counter()
    for character, count in read.items():
        if character.isalpha():
            found[characters.script(character)] += count
    total = found.total()
    for name in ("", *(() if latin else (OWN,))):
        del found[name]
    scripts = tuple(
        name for name, count in found.most_common() if count >= _SCRIPT_SHARE * found.total()
    )
    if not scripts:
        raise InputError(
            f"{', '.join(map(str, paths))}: no letter of a script other than {OWN}, in which new "
            "tokens could change those of English; give text of a language in another script, or "
            "English text whose tokens are to stay: --keep english.txt"
        )
    word = regex.compile(pattern(scripts), regex.V1)
    counts: collections.Counter[str] = collections.Counter()
    for path in paths:
        for text in texts(path):
            counts.update(word.findall(text))
    return Words(counts, scripts, sum(found[name] for name in scripts) / total)


def texts(path: str | pathlib.Path) -> Iterator[str]:
    """Yields the documents of a file: text, JSON, JSONL or Parquet, plain or .gz.

    Of a record it is the field "text", else all fields that hold text.

    Raises:
      InputError: the file can't be read, is a web page or holds no text.
    """
    empty = True
    for position, record in records.read_records(path):
        fields = [record["text"]] if "text" in record else record.values()
        for text in fields:
            if isinstance(text, str) and not text.isspace() and text:
                if empty and _PAGE.match(text):
                    raise InputError(f"{position}: a web page, not text; take the text out of it")
                empty = False
                yield text
    if empty:
        raise InputError(f"{path}: no text in it; expected text, or records with fields of text")
