"""Text files read line by line, and the columns of tables."""

import codecs
import csv
import gzip
import itertools
import pathlib
import zlib
from collections.abc import Iterator

from commit_t5x.errors import InputError

_CSV_SUFFIXES = (".csv", ".csv.gz")


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


def read_parallel(*paths: str | pathlib.Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yields (line number from 1, that line of each file) of texts with a line for each other's.

    Raises:
      InputError: as `read_lines`, or a file ends before the others.
    """
    readers = [read_lines(pathlib.Path(path)) for path in paths]
    for number, rows in enumerate(itertools.zip_longest(*readers), start=1):
        if None in rows:
            ended = paths[rows.index(None)]
            raise InputError(
                f"{ended}:{number}: the file ends before this line, which the files beside it "
                "have; parallel texts and their alignment are equally long"
            )
        yield number, tuple(line for _, line in rows)


def read_rows(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number from 1, columns) of each line that isn't blank.

    Columns are parted by tabs, else by spaces; in a file whose name ends in .csv or .csv.gz, by
    commas.

    Raises:
      InputError: as `read_lines`, or a .csv file isn't CSV.
    """
    return _csv_rows(path) if path.name.endswith(_CSV_SUFFIXES) else _rows(path)


def _rows(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
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
