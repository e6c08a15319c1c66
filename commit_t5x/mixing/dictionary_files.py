"""Dictionary files: word pairs read line by line, and a report on what a file holds."""

import codecs
import collections
import csv
import dataclasses
import gzip
import pathlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping

from commit_t5x.errors import InputError

_CSV_SUFFIXES = (".csv", ".csv.gz")
_MAX_ODD_LINES = 100  # as many as a report lists; the rest it counts

Entries = dict[str, tuple[str, ...]]


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What a dictionary file holds.

    Attributes:
      path: the file.
      entries: source words, each counted once.
      pairs: pairs read, repeats counted.
      identity: pairs whose two sides are equal.
      multi_translation: source words with more than one translation, repeats not counted.
      multi_word: source words that hold a space.
      duplicates: pairs that stand in the file once more.
      odd: lines left out because they aren't pairs.
      odd_lines: (line number from 1, reason) of each of those, up to a hundred.
    """

    path: str
    entries: int
    pairs: int
    identity: int
    multi_translation: int
    multi_word: int
    duplicates: int
    odd: int
    odd_lines: tuple[tuple[int, str], ...]


def load(path: str | pathlib.Path, *, skip_malformed: bool = False) -> tuple[Entries, LoadReport]:
    """Reads a dictionary: source word -> its translations, in file order, repeats kept.

    Args:
      path: the file; `read_pairs` says what it may look like.
      skip_malformed: leave lines that aren't pairs out, and report them, rather than fail.

    Raises:
      InputError: as `read_pairs`, or the file holds no pair.

    Example, of a file with the lines `tea<TAB>चाय`, `water<TAB>पानी`, `water<TAB>जल`:
      >>> entries, report = load("en-hi.txt")
      >>> entries
      {'tea': ('चाय',), 'water': ('पानी', 'जल')}
      >>> report.entries, report.pairs, report.multi_translation
      (2, 3, 1)
    """
    odd_lines, odd = [], 0

    def note(number: int, reason: str) -> None:
        nonlocal odd
        odd += 1
        if odd <= _MAX_ODD_LINES:
            odd_lines.append((number, reason))

    entries = group(read_pairs(path, on_odd_line=note if skip_malformed else None))
    if not entries:
        raise InputError(f"{path}: no word pairs found; expected lines of source<TAB>target")
    counts = _count(entries)
    return entries, LoadReport(str(path), **counts, odd=odd, odd_lines=tuple(odd_lines))


def group(pairs: Iterable[tuple[str, str]]) -> Entries:
    """Returns source -> its targets, in the order of the pairs, repeats kept.

    Example:
      >>> group([("water", "पानी"), ("tea", "चाय"), ("water", "जल")])
      {'water': ('पानी', 'जल'), 'tea': ('चाय',)}
    """
    # Most words have one translation: a list for each would take as much memory as the words.
    entries, more = {}, collections.defaultdict(list)
    for source, target in pairs:
        if source in entries:
            more[source].append(target)
        else:
            entries[source] = (source if source == target else target,)
    for source, targets in more.items():
        entries[source] += tuple(targets)
    return entries


def read_pairs(
    path: str | pathlib.Path, on_odd_line: Callable[[int, str], None] | None = None
) -> Iterator[tuple[str, str]]:
    """Yields the (source, target) pairs of a dictionary, holding one line in memory at a time.

    A line is `source<TAB>target`, else `source target` (MUSE, TSV); where tabs separate the
    columns, these may hold spaces. Blank lines don't count. A name that ends in .csv or .csv.gz is
    read as CSV, one that ends in .gz is unpacked.

    Args:
      path: the file, in UTF-8, with or without BOM.
      on_odd_line: called with line number and reason for each line that isn't a pair, which is then
        left out; by default such a line is an error.

    Raises:
      InputError: the file is missing or can't be unpacked, or a line isn't UTF-8 or isn't a pair.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such dictionary; check the path or set DICT_DIR")
    if path.suffix in (".json", ".jsonl"):
        raise InputError(f"{path}: JSON is no dictionary; write lines of source<TAB>target")
    rows = _csv_rows(path) if path.name.endswith(_CSV_SUFFIXES) else _rows(path)
    for number, columns in rows:
        if len(columns) != 2:
            reason = f"expected 2 columns, found {len(columns)}"
        elif not (columns[0] and columns[1]):
            reason = "an empty column"
        elif "\n" in columns[0] or "\n" in columns[1]:
            reason = "a line break in a column, perhaps from a quote left open"
        else:
            yield columns[0], columns[1]
            continue
        if on_odd_line is None:
            raise InputError(f"{path}:{number}: {reason}; mend the line or remove it")
        on_odd_line(number, reason)


def read_lines(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """Yields (line number from 1, line with its end) of a UTF-8 text, plain or .gz; drops a BOM.

    Only line feeds end lines: `str.splitlines` would also cut at characters that a word may hold.

    Raises:
      InputError: the file is missing or can't be unpacked, or a line isn't UTF-8.
    """
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                yield number, line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number}: not UTF-8; convert the file to UTF-8") from error
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected text or .gz") from error


def _rows(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, columns) of each line that isn't blank."""
    for number, line in read_lines(path):
        line = line.strip(" \r\n")
        columns = line.split("\t") if "\t" in line else line.split(" ")
        if " " in line:
            columns = [column.strip(" ") for column in columns]
        if any(columns):
            yield number, columns


def _csv_rows(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """The same for CSV; a row that spans lines has the number of its first."""
    reader = csv.reader(line for _, line in read_lines(path))
    number = 1
    try:
        for row in reader:
            columns = [column.strip() for column in row]
            if columns not in ([], [""]):
                yield number, columns
            number = reader.line_num + 1
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]
        message = f"{path}:{reader.line_num}: not CSV ({reason}); mend the quotes before it"
        raise InputError(message) from error


def _count(entries: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    pairs = identity = multi_translation = multi_word = duplicates = 0
    for source, targets in entries.items():
        pairs += len(targets)
        identity += targets.count(source)
        multi_word += " " in source
        if len(targets) > 1:
            different = len(set(targets))
            multi_translation += different > 1
            duplicates += len(targets) - different
    return {
        "entries": len(entries),
        "pairs": pairs,
        "identity": identity,
        "multi_translation": multi_translation,
        "multi_word": multi_word,
        "duplicates": duplicates,
    }
