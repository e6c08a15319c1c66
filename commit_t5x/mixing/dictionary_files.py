"""Dictionary files: records read and written line by line, and a report on what a file holds."""

import array
import collections
import dataclasses
import gzip
import itertools
import operator
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from commit_t5x import collector, disk
from commit_t5x.errors import InputError
from commit_t5x.mixing import tagging, text_rows

_HEAVIEST = 1e100  # weights are added
_MAX_ODD_LINES = 100  # as many as a report lists; the rest it counts

# What other formats' names end in, and what a page or a storage server's error starts with.
_OTHERS = frozenset((".json", ".jsonl", ".po", ".mo", ".dix", ".tei", ".ifo", ".idx", ".sqlite"))
MARKUP = "<!", "<?", "<html", '{"'

_BREAKS = re.compile(r"[\t\r\n]+")

Entries = dict[str, tuple[str, ...]]
Weights = dict[str, tuple[float, ...]]
PartsOfSpeech = dict[str, tuple[str, ...]]


class Record(NamedTuple):
    """A word or phrase and one translation of it.

    Attributes:
      source: the word.
      target: its translation.
      weight: how likely the translation is beside the word's others; None counts as 1.
      part_of_speech: as the file it comes from names it.
      sense: which of the word's meanings is translated.
      file: where the record comes from.
      licence: of that.
    """

    source: str
    target: str
    weight: float | None = None
    part_of_speech: str = ""
    sense: str = ""
    file: str = ""
    licence: str = ""


COLUMNS = Record._fields


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
      weighted: source words some of whose translations are likelier than others.
      licences: of the records, each once; empty where one has none.
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
    weighted: int
    licences: tuple[str, ...]
    odd: int
    odd_lines: tuple[tuple[int, str], ...]


def load(
    path: str | pathlib.Path, *, skip_malformed: bool = False, with_parts_of_speech: bool = False
) -> tuple[Entries, LoadReport, Weights, PartsOfSpeech]:
    """Reads a dictionary: source word -> its translations, in file order, repeats kept.

    Args:
      path: the file; `read_records` says what it may look like.
      skip_malformed: leave lines that aren't pairs out, and report them, rather than fail.
      with_parts_of_speech: keep them, too, in memory.

    Returns:
      The entries, the report, the weights of the translations of those words whose translations
      aren't all as likely as each other, and, if wanted, the parts of speech of the translations of
      those words where one has any, as `tagging.part_of_speech` calls them, else "".

    Raises:
      InputError: as `read_records`, or the file holds no pair.

    Example, of a file with the lines `tea<TAB>चाय`, `water<TAB>पानी`, `water<TAB>जल`:
      >>> entries, report, *_ = load("en-hi.txt")
      >>> entries
      {'tea': ('चाय',), 'water': ('पानी', 'जल')}
      >>> report.entries, report.pairs, report.multi_translation
      (2, 3, 1)
    """
    odd_lines, odd, licences = [], 0, {}

    def note(number: int, reason: str) -> None:
        nonlocal odd
        odd += 1
        if odd <= _MAX_ODD_LINES:
            odd_lines.append((number, reason))

    entries, weights, first_weights = {}, {}, array.array("d")  # of each word's first translation
    more = collections.defaultdict(list)  # of words that stand in several places
    parts: PartsOfSpeech = {}
    rows = _values(path, on_odd_line=note if skip_malformed else None)
    with collector.paused():  # it would look through millions of entries again and again
        for source, run in itertools.groupby(rows, operator.itemgetter(0)):
            targets, likely, names = [], [], []
            for row in run:
                targets.append(source if row[1] == source else row[1])
                likely.append(1.0 if row[2] is None else row[2])
                names.append(row[3])
                licences[row[6]] = None
            if with_parts_of_speech:
                found = tuple(map(tagging.part_of_speech, names))
                if source in parts or any(found):
                    before = len(entries.get(source, ())) + len(more.get(source, ()))
                    parts[source] = parts.get(source, ("",) * before) + found
            if source in entries:
                more[source] += zip(targets, likely, strict=True)
                continue
            entries[source] = tuple(targets)
            first_weights.append(likely[0])
            if len(set(likely)) > 1:
                weights[source] = tuple(likely)
        for source, first in zip(entries, first_weights, strict=True) if more else ():
            if source in more:
                targets, likely = zip(*more[source], strict=True)
                likely = weights.get(source, (first,) * len(entries[source])) + likely
                entries[source] += targets
                if len(set(likely)) > 1:
                    weights[source] = likely
    if not entries:
        first = "; the first odd line is {}: {}".format(*odd_lines[0]) if odd_lines else ""
        raise InputError(f"{path}: no word pairs found; expected lines of source<TAB>target{first}")
    return (
        entries,
        LoadReport(
            str(path),
            **_count(entries),
            weighted=len(weights),
            licences=tuple(licences),
            odd=odd,
            odd_lines=tuple(odd_lines),
        ),
        weights,
        parts,
    )


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


def read_records(
    path: str | pathlib.Path, on_odd_line: Callable[[int, str], None] | None = None
) -> Iterator[Record]:
    """Yields the records of a dictionary, holding one line in memory at a time.

    A line is `source<TAB>target`, else `source target` (MUSE, TSV); where tabs separate the
    columns, these may hold spaces. Where the first line is `source<TAB>target`, with or without
    more of the columns that a `Record` has, it names the columns of the others. Blank lines don't
    count. A name that ends in .csv or .csv.gz is read as CSV, one that ends in .gz is unpacked.

    Args:
      path: the file, in UTF-8, with or without BOM.
      on_odd_line: called with line number and reason for each line that isn't a pair, which is then
        left out; by default such a line is an error.

    Raises:
      InputError: the file is missing or can't be unpacked, a line isn't UTF-8 or isn't a pair, or
        the first names an unknown column.
    """
    return map(Record._make, _values(path, on_odd_line))


def _values(
    path: str | pathlib.Path, on_odd_line: Callable[[int, str], None] | None
) -> Iterator[Sequence]:
    """Does what `read_records` says, but for the type, which takes a while to make."""
    path = pathlib.Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such dictionary; check the path or set DICT_DIR")
    if path.suffix in _OTHERS:
        raise InputError(
            f"{path}: {path.suffix} has no lines of source<TAB>target; `commit-t5x dicts import` "
            "makes them of several formats"
        )
    rows = text_rows.read_rows(path)
    width, pick, rest = 2, None, Record("", "")[2:]
    for number, columns in itertools.islice(rows, 1):
        if columns[0].lower().startswith(MARKUP):
            raise InputError(f"{path}: a web page, XML or JSON instead of a dictionary; look at it")
        if columns[:2] == ["source", "target"]:
            width, pick = len(columns), _picker(path, number, columns)
        else:
            rows = itertools.chain([(number, columns)], rows)
    for number, columns in rows:
        if len(columns) != width:
            reason = f"expected {width} columns, found {len(columns)}"
        elif not (columns[0] and columns[1]):
            reason = "an empty column"
        elif "\n" in columns[0] or "\n" in columns[1]:
            reason = "a line break in a column, perhaps from a quote left open"
        elif pick is None:
            yield *columns, *rest
            continue
        else:
            values = pick(columns)
            try:
                values[2] = _weight(values[2])
            except ValueError as error:
                reason = str(error)
            else:
                yield values
                continue
        if on_odd_line is None:
            raise InputError(f"{path}:{number}: {reason}; mend the line or remove it")
        on_odd_line(number, reason)


def _picker(path: pathlib.Path, number: int, header: Sequence[str]) -> Callable:
    """Returns what picks a record's values from a row's columns."""
    unknown = [name for name in header if name not in COLUMNS]
    if unknown or len(set(header)) < len(header):
        raise InputError(
            f"{path}:{number}: columns {', '.join(header)}: expected, once each, some of "
            f"{', '.join(COLUMNS)}"
        )
    if tuple(header) == COLUMNS:
        return list
    pick = operator.itemgetter(*(header.index(c) if c in header else -1 for c in COLUMNS))
    return lambda columns: list(pick([*columns, ""]))


def _weight(text: str) -> float | None:
    if not text:
        return None
    try:
        weight = float(text)
    except ValueError:
        weight = 0.0
    if not 0 < weight < _HEAVIEST:
        raise ValueError(f"weight {text!r}: expected a positive number")
    return weight


def write_records(path: str | pathlib.Path, records: Iterable[Record]) -> int:
    """Writes records to a file with a column for each of their values; returns how many.

    Args:
      path: of the file, .tsv or .txt, each also .gz; it is there once all records are.
      records: may be read as they are written; tabs and line breaks in them become spaces.

    Raises:
      InputError: the file can't be written, or there is no record.
    """
    count = 0
    with disk.finished(path) as aside:
        opened = gzip.open if aside.suffix == ".gz" else open
        # JSON can hold halves of surrogate pairs, which UTF-8 has no bytes for.
        with opened(aside, "wt", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write("\t".join(COLUMNS) + "\n")
            for record in records:
                source, target, weight, *rest = record
                values = source, target, "" if weight is None else repr(weight), *rest
                line = "\t".join(values)
                if line.count("\t") >= len(COLUMNS) or "\n" in line or "\r" in line:
                    line = "\t".join(_BREAKS.sub(" ", value).strip(" ") for value in values)
                file.write(line + "\n")
                count += 1
        if not count:
            raise InputError(f"{path}: no word pairs to write")
    return count


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
