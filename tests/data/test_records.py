import bz2
import functools
import gzip
import json
import lzma

import fsspec
import hypothesis
import pyarrow
import pyarrow.parquet
import pytest
import texts
from hypothesis import strategies
from source_files import message_of

from commit_t5x.data.records import read_items, read_records
from commit_t5x.errors import InputError

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
    ("x.jsonl", "[" * 200_000 + "\n", ":1: not JSON that can be read"),
    ("x.jsonl", '{"a": ' + "9" * 5000 + "}\n", ":1: not JSON that can be read"),
    ("x.jsonl", '{"a": "\0"}\n', ":1: not JSON"),
    ("x.json", "[" * 200_000, ": not JSON that can be read"),
    ("x.jsonl", b'{"a": 1}\n{"a": "\xff"}\n', ":2: not UTF-8"),
    ("x.jsonl", '{"a": "पानी"}\n'.encode("utf-16"), ":1: not UTF-8"),
    ("x.txt", b"good\n\nfirst\nsecond \xff\n", ":4: not UTF-8"),
    ("x.json", b'["\xff"]', ": not UTF-8"),
    ("x.parquet", b"PAR1 not really PAR1", ": not a readable Parquet file"),
    ("x.parquet", b"", ": not a readable Parquet file"),
    ("x.arrow", b"", ": unknown kind of file '.arrow'; expected one of .jsonl, .json,"),
    ("x.tar.gz", b"", ": unknown kind of file '.tar'"),
    ("x.gz", b"", ": unknown kind of file ''"),
    ("alpaca", b"", ": unknown kind of file ''"),
]


@pytest.mark.parametrize(
    ("name", "content", "message"), BROKEN, ids=[f"{name}{what}" for name, _, what in BROKEN]
)
def test_errors_name_file_and_place(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    assert message_of(records, path).startswith(f"{path}{message}")


PACKERS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": functools.partial(pyarrow.compress, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_compressed_files(tmp_path, suffix):
    path = tmp_path / f"x.jsonl{suffix}"
    path.write_bytes(PACKERS[suffix](JSONL.encode()))
    assert records(path) == RECORDS


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("fault", ["not packed", "cut short", "damaged"])
def test_broken_compressed_files(tmp_path, suffix, fault):
    packed = PACKERS[suffix](JSONL.encode() * 50)
    path = tmp_path / f"x.jsonl{suffix}"
    contents = {"cut short": packed[:-12], "damaged": packed[:12] + b"\xff" * 40}
    path.write_bytes(contents.get(fault, b"plain"))
    message = message_of(records, path)
    assert message.startswith((f"{path}: broken compressed file", f"{path}: cannot be read"))


def test_what_comes_before_a_broken_line_is_read(tmp_path):
    reader = read_records(write(tmp_path / "x.jsonl", '{"a": 1}\nbroken\n'))
    assert next(reader)[1] == {"a": 1}
    with pytest.raises(InputError, match=r"x\.jsonl:2: not JSON"):
        next(reader)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "x.jsonl", tmp_path):
        assert message_of(records, path).startswith(f"{path}: no such file")


def broken_parquet(path, place):
    """Writes three rows, of which the one at `place` isn't UTF-8."""
    column_texts = [b"a", b"b", b"c"]
    column_texts[place] = b"\xff"
    column = pyarrow.Array.from_buffers(pyarrow.string(), 3, pyarrow.array(column_texts).buffers())
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), path)


def test_a_broken_row_of_parquet(tmp_path):
    path = tmp_path / "x.parquet"
    broken_parquet(path, 1)
    first, second, third = read_items(path)
    assert first == (f"{path}: row 1", {"text": "a"})
    assert str(second.record).startswith(f"{path}: row 2: not UTF-8")
    assert third == (f"{path}: row 3", {"text": "c"})


def test_parquet_that_is_cut_short_or_damaged(tmp_path):
    path = tmp_path / "x.parquet"
    rows = [{"text": f"{n} " * 50} for n in range(500)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path, compression="gzip")
    whole = path.read_bytes()
    for content in (whole[:-9], whole[:1000], whole[:200] + b"\0" * 400 + whole[600:]):
        path.write_bytes(content)
        assert message_of(records, path).startswith(f"{path}: not a readable Parquet file")


def test_items_go_on_after_a_broken_line(tmp_path):
    lines = ['{"a": 1}', "broken", "", "[1]", '{"a": "', '{"a": 2}', "\udcff"]
    content = "\r\n".join(lines).encode("utf-8", "surrogateescape")
    path = write(tmp_path / "x.jsonl", b"\xef\xbb\xbf" + content)
    items = list(read_items(path))
    assert [item.position for item in items] == [f"{path}:{n}" for n in (1, 2, 4, 5, 6, 7)]
    good = [item.record for item in items if not isinstance(item.record, InputError)]
    assert good == [{"a": 1}, {"a": 2}]
    for position, record in items:
        if isinstance(record, InputError):
            assert str(record).startswith(f"{position}: ") and "\n" not in str(record)


def test_items_go_on_after_a_broken_document(tmp_path):
    path = write(tmp_path / "x.txt", b"one\r\ntwo\n\nthree\xff\n\n\0\nfour")
    first, second, third = read_items(path)
    assert first.record == {"text": "one\ntwo"}
    assert isinstance(second.record, InputError) and second.position == f"{path}:4"
    assert third == (f"{path}:6", {"text": "\0\nfour"})


def test_a_line_of_megabytes(tmp_path):
    text = "पानी " * 400_000  # 5 MB
    for name, content in [("x.jsonl", json.dumps({"text": text})), ("x.txt", text)]:
        path = write(tmp_path / name, f"{content}\n")
        assert [record["text"] for record in records(path)] == [text]


def test_urls_are_opened_by_fsspec():
    url = "memory://records/x.jsonl.gz"
    fsspec.filesystem("memory").pipe(url, gzip.compress(JSONL.encode()))
    assert records(url) == RECORDS
    assert positions(url) == [f"{url}:{line}" for line in (1, 2, 3)]
    for url in ("memory://records/none.jsonl", "nonsense://x.jsonl"):
        with pytest.raises(InputError, match=f"^{url}: "):
            records(url)


# Fuzzing: whatever the bytes are, reading ends with records or an InputError of one line.

LINES = strategies.lists(
    strategies.one_of(
        strategies.binary(max_size=30).filter(lambda line: not set(b"\r\n") & set(line)),
        texts.texts.map(lambda text: json.dumps({"text": text}, ensure_ascii=False).encode()),
        texts.texts.map(lambda text: json.dumps({"text": text})[:-2].encode()),
        strategies.sampled_from([b"", b"\xef\xbb\xbf", b"{}", b"\0", b'{"text": "\\ud800"}']),
    ),
    max_size=8,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@hypothesis.given(LINES, strategies.sampled_from([b"\n", b"\r\n"]))
def test_any_lines(folder, lines, end):
    path = write(folder / "x.jsonl", end.join(lines))
    items = list(read_items(path))
    for position, record in items:
        assert isinstance(record, dict) or str(record).startswith(f"{position}: ")
    # A line's record doesn't depend on the lines around it.
    for number, line in enumerate(lines, start=1):
        alone = [item.record for item in read_items(write(folder / "alone.jsonl", line))]
        if number > 1 and not line.startswith(b"\xef\xbb\xbf"):
            found = [i.record for i in items if i.position == f"{path}:{number}"]
            assert [r for r in found if isinstance(r, dict)] == [
                r for r in alone if isinstance(r, dict)
            ]


@hypothesis.given(
    strategies.binary(max_size=200) | LINES.map(b"\n".join),
    strategies.sampled_from(["x.txt", "x.json", "x.txt.gz", "x.parquet"]),
    strategies.booleans(),
)
def test_any_bytes(folder, content, name, packed):
    path = folder / name
    path.write_bytes(gzip.compress(content) if packed else content)
    try:
        for position, record in read_items(path):
            assert isinstance(record, dict) or str(record).startswith(f"{position}: ")
    except InputError as error:
        assert str(error).startswith(f"{path}") and "\n" not in str(error)
