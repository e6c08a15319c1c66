"""Records from files: JSON, JSONL, Parquet and text, each with its position for error messages."""

import bz2
import contextlib
import gzip
import io
import itertools
import json
import lzma
import pathlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, NamedTuple, TextIO

import fsspec

from commit_t5x.errors import InputError

Record = Mapping[str, object]

_PARQUET_ROWS = 64  # read at a time: documents may be large

_DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError)


class Item(NamedTuple):
    """What stands at one place of a file: a record, or the error that says what is wrong there."""

    position: str
    record: Record | InputError


class Shard(NamedTuple):
    """A part of a data set that is read by itself, such as a file.

    `read()` yields (place, item): items with their places within the shard, 0, 1, 2, ...
    """

    name: str
    read: Callable[[], Iterator[tuple[int, Item]]]


def read_records(path: str | pathlib.Path) -> Iterator[tuple[str, Record]]:
    """Yields (position, record) of a JSON, JSONL, Parquet or text file.

    All but Parquet may be compressed (.gz, .bz2, .xz, .zst). A JSON file holds a list of records. A
    text file holds documents between blank lines, each becoming {"text": ...}.

    Args:
      path: a local path, or a URL that fsspec opens, such as gs://bucket/x.jsonl.

    Raises:
      InputError: the file is missing, of another kind, or broken; it names the line.

    Example, where x.jsonl holds the lines {"text": "a"} and {"text": "b"}:
      >>> list(read_records("x.jsonl"))
      [('x.jsonl:1', {'text': 'a'}), ('x.jsonl:2', {'text': 'b'})]
    """
    for position, record in read_items(path):
        if isinstance(record, InputError):
            raise record
        yield position, record


def read_items(path: str | pathlib.Path) -> Iterator[Item]:
    """Does the same, but yields a broken record as an `Item` that holds the error, and goes on.

    What breaks a file rather than one of its records is raised here, too: gzip or Parquet that is
    damaged or cut short, a JSON list that doesn't parse.
    """
    path = str(path)
    with _opened(path) as file:
        if kind(path) not in READERS:
            expected = f"expected one of {', '.join(READERS)}"
            raise InputError(f"{path}: unknown kind of file {kind(path)!r}; {expected}")
        yield from READERS[kind(path)](path, file)


def file_shard(path: str) -> Shard:
    """Returns a file as a shard."""
    return Shard(path, lambda: enumerate(read_items(path)))


def read_json(path: str | pathlib.Path) -> object:
    """Returns what a JSON file, plain or compressed, holds.

    Raises:
      InputError: the file is missing or isn't JSON; it names the line.
    """
    path = str(path)
    with _opened(path) as file, _text(path, file, "strict") as text:
        return _parse_json(path, text)


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message: an InputError has no more than one."""
    return str(error).partition("\n")[0]


def kind(path: str) -> str:
    """Returns the suffix that says how to read a file: ".jsonl" for x.jsonl and x.jsonl.gz."""
    inner = path.removesuffix(_compression(path))
    return pathlib.PurePath(inner).suffix


@contextlib.contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    """Opens a file, and raises what goes wrong with it from then on as an InputError."""
    try:
        with _open(path) as file:
            yield file
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason}); convert the file") from error
    except _DAMAGED as error:
        raise InputError(f"{path}: broken compressed file ({error}); compress it anew") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)}); check it") from error


def _open(path: str) -> BinaryIO:
    try:
        filesystem, place = fsspec.url_to_fs(path)
        return filesystem.open(place, "rb")
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{path}: no such file; check the path") from None
    except (ImportError, ValueError) as error:  # a protocol that fsspec can't speak
        raise InputError(
            f"{path}: cannot be opened ({first_line(error)}); check the path"
        ) from error


def _zstd(file: BinaryIO) -> BinaryIO:
    import pyarrow  # here: it takes a while to load

    return pyarrow.CompressedInputStream(pyarrow.PythonFile(file, mode="r"), "zstd")


# What a file that is compressed as a whole ends in, and what reads it.
COMPRESSED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zst": _zstd}


def _compression(path: str) -> str:
    suffix = pathlib.PurePath(path).suffix
    return suffix if suffix in COMPRESSED else ""


def _text(path: str, file: BinaryIO, errors: str) -> TextIO:
    compression = _compression(path)
    unpacked = COMPRESSED[compression](file) if compression else file
    return io.TextIOWrapper(unpacked, encoding="utf-8-sig", errors=errors)


def _lines(path: str, file: BinaryIO) -> Iterator[tuple[int, str]]:
    # An invalid byte becomes a surrogate here, by which `_invalid` finds it within its record.
    with _text(path, file, "surrogateescape") as text:
        yield from enumerate(text, start=1)


def _read_jsonl(path: str, file: BinaryIO) -> Iterator[Item]:
    for number, line in _lines(path, file):
        if not line.isspace():
            yield _json_line(f"{path}:{number}", line)


def _json_line(position: str, line: str) -> Item:
    try:
        line.encode("utf-8")
        return _item(position, json.loads(line))
    except UnicodeEncodeError as error:
        return _item(position, error)
    except json.JSONDecodeError as error:
        return _broken(position, f"not JSON ({error.msg}); mend or remove the line")
    except (RecursionError, ValueError) as error:  # lists within lists, numbers of 5,000 digits
        return _broken(position, f"not JSON that can be read ({error}); mend or remove the line")


def _read_json(path: str, file: BinaryIO) -> Iterator[Item]:
    with _text(path, file, "strict") as text:
        records = _parse_json(path, text)
    if not isinstance(records, list):
        raise InputError(f"{path}: expected a list of records, found {type(records).__name__}")
    for number, record in enumerate(records, start=1):
        yield _item(f"{path}: record {number}", record)


def _parse_json(path: str, text: TextIO) -> object:
    content = text.read()
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        message = f"{path}:{error.lineno}: not JSON ({error.msg}); a .jsonl has one record a line"
        raise InputError(message) from error
    except (RecursionError, ValueError) as error:
        raise InputError(f"{path}: not JSON that can be read ({error}); mend the file") from error


def _read_parquet(path: str, file: BinaryIO) -> Iterator[Item]:
    import pyarrow  # here: it takes a while to load
    import pyarrow.parquet

    try:
        batches = pyarrow.parquet.ParquetFile(file).iter_batches(_PARQUET_ROWS)
        rows = itertools.chain.from_iterable(map(_rows, batches))
        for number, row in enumerate(rows, start=1):
            yield _item(f"{path}: row {number}", row)
    except (pyarrow.ArrowException, OSError) as error:
        problem = first_line(error)
        raise InputError(f"{path}: not a readable Parquet file ({problem}); mend it") from error


def _rows(batch) -> list[Record | UnicodeDecodeError]:
    """Returns the rows of an Arrow batch as dictionaries."""
    try:
        return batch.to_pylist()
    except UnicodeDecodeError as error:
        if batch.num_rows == 1:
            return [error]
        return [_rows(batch.slice(row, 1))[0] for row in range(batch.num_rows)]


def _read_text(path: str, file: BinaryIO) -> Iterator[Item]:
    blank_or_not = itertools.groupby(_lines(path, file), key=lambda line: line[1].isspace())
    for blank, lines in blank_or_not:
        if not blank:
            first, line = next(lines)
            text = "".join([line, *(line for _, line in lines)]).rstrip("\n")
            yield _document(path, first, text)


def _document(path: str, first_line: int, text: str) -> Item:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        number = first_line + text.count("\n", 0, error.start)
        return _item(f"{path}:{number}", error)
    return Item(f"{path}:{first_line}", {"text": text})


def _item(position: str, value: object) -> Item:
    if isinstance(value, dict):
        return Item(position, value)
    if isinstance(value, UnicodeError):
        return _broken(position, "not UTF-8; convert the file, or mend the record")
    return _broken(position, f"expected an object, found {type(value).__name__}; mend it")


def _broken(position: str, problem: str) -> Item:
    return Item(position, InputError(f"{position}: {problem}"))


# File suffix -> reader.
READERS = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".txt": _read_text,
}
