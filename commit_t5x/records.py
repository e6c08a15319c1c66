"""Records from files: JSON, JSONL, Parquet and text, each with its position for error messages."""

import gzip
import itertools
import json
import pathlib
import zlib
from collections.abc import Iterator, Mapping

from commit_t5x.errors import InputError

Record = Mapping[str, object]


def read_records(path: str | pathlib.Path) -> Iterator[tuple[str, Record]]:
    """Yields (position, record) of a JSON, JSONL, Parquet or text file, plain or (but Parquet) .gz.

    A JSON file holds a list of records. A text file holds documents between blank lines, each
    becoming {"text": ...}.

    Raises:
      InputError: the file is missing, of another kind, or broken; it names the line.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; check the path")
    kind = path.suffixes[-2] if path.suffix == ".gz" and len(path.suffixes) > 1 else path.suffix
    reader = READERS.get(kind)
    if not reader:
        known = ", ".join(READERS)
        raise InputError(f"{path}: unknown kind of file {kind!r}; expected one of {known}")
    try:
        yield from reader(path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason}); convert the file") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InputError(f"{path}: broken gzip file ({error}); compress it anew") from error


def _open(path: pathlib.Path):
    return (
        gzip.open(path, "rt", encoding="utf-8-sig")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8-sig")
    )


def _read_jsonl(path: pathlib.Path) -> Iterator[tuple[str, Record]]:
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield f"{path}:{number}", _record(f"{path}:{number}", json.loads(line))
                except json.JSONDecodeError as error:
                    message = f"{path}:{number}: not JSON ({error.msg}); mend or remove the line"
                    raise InputError(message) from error


def _read_json(path: pathlib.Path) -> Iterator[tuple[str, Record]]:
    with _open(path) as file:
        try:
            records = json.load(file)
        except json.JSONDecodeError as error:
            message = f"{path}:{error.lineno}: not JSON ({error.msg}); a .jsonl has one a line"
            raise InputError(message) from error
    if not isinstance(records, list):
        raise InputError(f"{path}: expected a list of records, found {type(records).__name__}")
    for number, record in enumerate(records, start=1):
        yield f"{path}: record {number}", _record(f"{path}: record {number}", record)


def _read_parquet(path: pathlib.Path) -> Iterator[tuple[str, Record]]:
    import pyarrow  # here: it takes a while to load
    import pyarrow.parquet

    try:
        batches = pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1024)
        rows = itertools.chain.from_iterable(batch.to_pylist() for batch in batches)
        for number, record in enumerate(rows, start=1):
            yield f"{path}: row {number}", record
    except pyarrow.ArrowException as error:
        raise InputError(f"{path}: not a readable Parquet file ({error})") from error


def _read_text(path: pathlib.Path) -> Iterator[tuple[str, Record]]:
    with _open(path) as lines:
        numbered = enumerate(lines, start=1)
        for blank, group in itertools.groupby(numbered, key=lambda item: not item[1].strip()):
            if not blank:
                group = list(group)
                text = "".join(line for _, line in group).rstrip("\n")
                yield f"{path}:{group[0][0]}", {"text": text}


# File suffix -> reader.
READERS = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".txt": _read_text,
}


def _record(position: str, value: object) -> Record:
    if not isinstance(value, dict):
        raise InputError(f"{position}: expected an object, found {type(value).__name__}; mend it")
    return value
