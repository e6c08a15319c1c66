import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest

from commit_t5x.errors import InputError
from commit_t5x.records import read_records

RECORDS = [
    {"instruction": "पानी?", "input": "", "output": "water\u2028 \x85"},
    {"instruction": "b", "input": "c\nd", "output": "😀"},
    {"instruction": "e", "input": "f", "output": ""},
]
JSONL = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS)
TEXT = "पहली पंक्ति\nदूसरी\n\n\n \t\nthird\r\n\r\nlast"

# What a file of each kind holds.
FORMATS = {
    "x.jsonl": JSONL,
    "x.json": json.dumps(RECORDS),
    "indented.json": json.dumps(RECORDS, indent=2, ensure_ascii=False),
    "gaps.jsonl": "\n" + JSONL.replace("\n", "\n\n  \n"),
    "crlf.jsonl": JSONL.replace("\n", "\r\n"),
    "unended.jsonl": JSONL.rstrip("\n"),
    "bom.jsonl": "\ufeff" + JSONL,
    "bom.json": "\ufeff" + json.dumps(RECORDS),
}


def write(path, content):
    content = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def records(path):
    return [record for _, record in read_records(path)]


def positions(path):
    return [position for position, _ in read_records(path)]


@pytest.mark.parametrize("name", [*FORMATS, "x.jsonl.gz", "x.json.gz"])
def test_json_formats(tmp_path, name):
    path = write(tmp_path / name, FORMATS[name.removesuffix(".gz")])
    assert records(path) == records(str(path)) == RECORDS


def test_parquet(tmp_path):
    path = tmp_path / "x.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(RECORDS), path)
    assert records(path) == RECORDS
    assert positions(path) == [f"{path}: row {number}" for number in (1, 2, 3)]


@pytest.mark.parametrize("name", ["x.txt", "x.txt.gz"])
def test_a_text_file_holds_documents_between_blank_lines(tmp_path, name):
    path = write(tmp_path / name, TEXT)
    texts = [record["text"] for record in records(path)]
    assert texts == ["पहली पंक्ति\nदूसरी", "third", "last"]
    assert positions(path) == [f"{path}:{line}" for line in (1, 6, 8)]


def test_positions(tmp_path):
    path = write(tmp_path / "x.jsonl", "\n" + JSONL.replace("\n", "\n\n"))
    assert positions(path) == [f"{path}:{line}" for line in (2, 4, 6)]
    path = write(tmp_path / "x.json", json.dumps(RECORDS))
    assert positions(path) == [f"{path}: record {number}" for number in (1, 2, 3)]


@pytest.mark.parametrize("name", ["x.jsonl", "x.txt"])
def test_an_empty_file_holds_no_records(tmp_path, name):
    assert records(write(tmp_path / name, "")) == records(write(tmp_path / name, "\n \n")) == []


# File name, content, what the message says after the path.
BROKEN = [
    ("x.jsonl", '{"a": 1}\n\n{"a": \n', ":3: not JSON"),
    ("x.jsonl.gz", '{"a": 1}\n{"a": \n', ":2: not JSON"),
    ("x.jsonl", '{"a": 1}\n[1]\n', ":2: expected an object, found list"),
    ("x.jsonl", '"text"\n', ":1: expected an object, found str"),
    ("x.jsonl", '[\n {"a": 1}\n]\n', ":1: not JSON"),
    ("x.json", '[\n{"a": 1},\n{"a" 1}]', ":3: not JSON"),
    ("x.json", JSONL, ":2: not JSON"),
    ("x.json", '{"a": 1}', ": expected a list of records, found dict"),
    ("x.json", '[{"a": 1}, null]', ": record 2: expected an object, found NoneType"),
    ("x.json", "", ":1: not JSON"),
    ("x.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', ": not UTF-8"),
    ("x.txt", b"good\n\n\xff\n", ": not UTF-8"),
    ("x.parquet", b"PAR1 not really PAR1", ": not a readable Parquet file"),
    ("x.parquet", b"", ": not a readable Parquet file"),
    ("x.arrow", b"", ": unknown kind of file '.arrow'; expected one of .jsonl, .json,"),
    ("x.tar.gz", b"", ": unknown kind of file '.tar'"),
    ("x.gz", b"", ": unknown kind of file '.gz'"),
    ("alpaca", b"", ": unknown kind of file ''"),
]


@pytest.mark.parametrize(
    ("name", "content", "message"), BROKEN, ids=[f"{name}{what}" for name, _, what in BROKEN]
)
def test_errors_name_file_and_place(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(InputError) as caught:
        records(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


PACKED = gzip.compress(JSONL.encode() * 50)


@pytest.mark.parametrize(
    "content",
    [b"plain", PACKED[:-12], PACKED[:12] + b"\xff" * 40],
    ids=["not packed", "cut short", "damaged"],
)
def test_broken_gzip_files(tmp_path, content):
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="broken gzip file") as caught:
        records(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_what_comes_before_a_broken_line_is_read(tmp_path):
    reader = read_records(write(tmp_path / "x.jsonl", '{"a": 1}\nbroken\n'))
    assert next(reader)[1] == {"a": 1}
    with pytest.raises(InputError, match=r"x\.jsonl:2: not JSON"):
        next(reader)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "x.jsonl", tmp_path):
        with pytest.raises(InputError, match="no such file") as caught:
            records(path)
        assert str(caught.value).startswith(f"{path}: ")
