import collections
import gzip
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from source_files import message_of, write

from commit_t5x.errors import InputError
from commit_t5x.mixing import dictionary_files
from commit_t5x.mixing.dictionary_files import Record

PAIRS = [("water", "पानी"), ("tea", "चाय"), ("water", "जल"), ("water", "पानी"), ("I", "मैं")]


def read_pairs(path, on_odd_line=None):
    return (record[:2] for record in dictionary_files.read_records(path, on_odd_line))


def lines(separator, end="\n"):
    return "".join(source + separator + target + end for source, target in PAIRS)


FORMATS = {
    "muse.txt": lines("\t"),
    "spaces.txt": lines(" "),
    "mixed.txt": "water\tपानी\ntea चाय\nwater जल\nwater\tपानी\nI मैं",
    "tabs.tsv": lines("\t"),
    "commas.csv": lines(","),
    "quotes.csv": '"water","पानी"\ntea, चाय\n water ,जल\nwater,पानी\nI,"मैं"\n',
    "bom.txt": "\ufeff" + lines("\t"),
    "bom.csv": "\ufeff" + lines(","),
    "crlf.txt": lines("\t", "\r\n"),
    "crlf.csv": lines(",", "\r\n"),
    "blank.txt": "\n \n\t\n\t \t\n" + lines("\t", "\n\r\n\n") + "   ",
    "blank.csv": "\n  \n" + lines(",", "\n\n"),
    "muse.txt.gz": gzip.compress(lines("\t").encode()),
    "spaces.tsv.gz": gzip.compress(lines(" ").encode()),
    "commas.csv.gz": gzip.compress(lines(",").encode()),
    "two.members.txt.gz": b"".join(
        gzip.compress(f"{source}\t{target}\n".encode()) for source, target in PAIRS
    ),
    "no_suffix": lines("\t"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_formats(tmp_path, name):
    path = write(tmp_path / name, FORMATS[name])
    assert list(read_pairs(path)) == PAIRS
    assert list(read_pairs(str(path))) == PAIRS


@pytest.mark.parametrize("odd", ["a\u2028b", "a\u0085b", "a\x0bb", "a\x0cb", "a\xa0b", "a\u3000b"])
def test_only_line_feeds_end_lines_and_only_spaces_and_tabs_end_columns(tmp_path, odd):
    path = write(tmp_path / "x.txt", f"{odd}\tα\nβ {odd}\n")
    assert list(read_pairs(path)) == [(odd, "α"), ("β", odd)]


INVISIBLE = ["a\0b", "\u200fאב\u200e", "\u202eabc\u202c", "a\u200db", "é\ufeff"]


@pytest.mark.parametrize("odd", INVISIBLE)
@pytest.mark.parametrize("name", ["x.txt", "x.csv"])
def test_invisible_characters_stay(tmp_path, name, odd):
    separator = "," if name.endswith(".csv") else "\t"
    path = write(tmp_path / name, f"tea{separator}{odd}\n{odd}{separator}tea\n")
    assert list(read_pairs(path)) == [("tea", odd), (odd, "tea")]


def test_a_word_may_be_long(tmp_path):
    word = "पानी" * 300_000
    path = write(tmp_path / "x.txt.gz", gzip.compress(f"{word}\t{word}x\ntea\tti\n".encode()))
    assert list(read_pairs(path)) == [(word, word + "x"), ("tea", "ti")]


@pytest.mark.parametrize("name", ["x.txt", "x.csv", "x.txt.gz"])
def test_memory_does_not_grow_with_the_file(tmp_path, name):
    content = b"water,aqua\n" if name.endswith(".csv") else b"water\taqua\n"
    content *= 100_000
    write(tmp_path / name, gzip.compress(content, 1) if name.endswith(".gz") else content)
    tracemalloc.start()
    try:
        collections.deque(read_pairs(tmp_path / name), maxlen=0)
        assert tracemalloc.get_traced_memory()[1] < 500_000 < len(content)
    finally:
        tracemalloc.stop()


# Spaces at its ends belong to the line, not to the word; so does a BOM at the start of the file.
word = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n\ufeff"), min_size=1).filter(
    lambda word: word == word.strip()
)


@given(st.lists(st.tuples(word, word)), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_any_pairs_come_back(tmp_path_factory, pairs, end, bom):
    folder = tmp_path_factory.mktemp("pairs")
    tabs = "\ufeff" * bom + "".join(f"{source}\t{target}{end}" for source, target in pairs)
    quoted = [[f'"{column}"' for column in map(_escape, pair)] for pair in pairs]
    commas = "\ufeff" * bom + "".join(",".join(row) + end for row in quoted)
    for name, content in (("x.txt", tabs), ("x.csv", commas)):
        assert list(read_pairs(write(folder / name, content))) == pairs
        packed = write(folder / f"{name}.gz", gzip.compress(content.encode()))
        assert list(read_pairs(packed)) == pairs


def _escape(column):
    return column.replace('"', '""')


FRAGMENTS = (
    *(b"tea", "पानी".encode(), "น้ำ".encode(), b" ", b"\t", b"\n", b"\r\n", b"\r", b",", b'"'),
    *(b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", "\u200f".encode()),
    *("\u2028".encode(), b"\x1f\x8b", b"\xff\xfet\0e\0", b"x" * 70_000),
)
contents = st.binary(max_size=80) | st.lists(st.sampled_from(FRAGMENTS), max_size=30).map(b"".join)


@given(contents, st.sampled_from(["x.txt", "x.csv", "x.tsv.gz", "x.csv.gz"]), st.integers(0, 30))
def test_any_bytes_give_pairs_or_an_input_error(tmp_path_factory, content, name, cut):
    path = tmp_path_factory.mktemp("bytes") / name
    if name.endswith(".gz") and cut:
        content = gzip.compress(content)[: None if cut > 20 else -cut]
    write(path, content)
    for skip_malformed in (False, True):
        try:
            entries, report, *_ = dictionary_files.load(path, skip_malformed=skip_malformed)
        except InputError as error:
            assert str(error).startswith(f"{path}:")
            assert "\n" not in str(error)
        else:
            assert 1 <= len(entries) == report.entries <= report.pairs
            assert skip_malformed or not report.odd
            for source, targets in entries.items():
                assert all(text and "\n" not in text for text in (source, *targets))


def read_whole(data):
    """What a file that isn't CSV says, from its whole text: pairs, then (line, columns) found."""
    pairs, odd = [], []
    for number, line in enumerate(data.decode("utf-8-sig").split("\n"), start=1):
        line = line.strip(" \r")
        columns = [c.strip(" ") for c in line.split("\t" if "\t" in line else " ")]
        if len(columns) == 2 and all(columns):
            pairs.append(tuple(columns))
        elif any(columns):
            odd.append(number)
    return pairs, odd


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40).map(b"".join))
@example(b"\xef\xbb\xbf\xef\xbb\xbfa b\n")
@example(b"\xef\xbb\xbf\n\xff")
@example(b"a b\n \r\t\r \nc d")
def test_line_by_line_reads_what_the_whole_text_says(tmp_path_factory, data):
    path = write(tmp_path_factory.mktemp("whole") / "x.txt", data)
    try:
        expected = read_whole(data)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        with pytest.raises(InputError, match=f":{line}: not UTF-8"):
            list(read_pairs(path, on_odd_line=lambda *_: None))
        return
    odd = []
    pairs = list(read_pairs(path, on_odd_line=lambda number, reason: odd.append(number)))
    assert (pairs, odd) == expected


# File name, content, where the error lies, what it is.
MALFORMED = [
    ("x.txt", "a b\n\nc\td\te\n", ":3", "expected 2 columns, found 3"),
    ("x.txt", "a b\nc d e\n", ":2", "expected 2 columns, found 3"),
    ("x.txt", "a b\nword\n", ":2", "expected 2 columns, found 1"),
    ("x.txt", "a b\nc\t\n", ":2", "an empty column"),
    ("x.txt", "\tc d\n", ":1", "an empty column"),
    ("x.txt", "c d\t\n", ":1", "an empty column"),
    ("x.txt", "c\t \n", ":1", "an empty column"),
    ("x.csv", "a,b\r\n\r\nc,d,e\r\n", ":3", "expected 2 columns, found 3"),
    ("x.csv", "a b\n", ":1", "expected 2 columns, found 1"),
    ("x.csv", "a,b\n , d\n", ":2", "an empty column"),
    ("x.csv", "a,b\n,\n", ":2", "an empty column"),
    ("x.csv", 'a,b\nc,"d\ne,f\n', ":2", "a line break in a column"),
    ("x.csv", 'a,"b\n' + "x" * 200_000, ":2", "not CSV (field larger than field limit (131072))"),
    ("x.csv", "a,b\rc,d\n", ":1", "not CSV (new-line character seen in unquoted field)"),
    ("x.txt", b"a b\nc \xff\n", ":2", "not UTF-8"),
    ("x.txt", b"\xef\xbb\xbfa b\n\xff c\n", ":2", "not UTF-8"),
    ("x.txt", "tea ti\n".encode("utf-16"), ":1", "not UTF-8"),
    ("x.csv", b"a,b\nc,\xff\n", ":2", "not UTF-8"),
    ("x.txt.gz", gzip.compress(b"a b\nc d\nx \xc3"), ":3", "not UTF-8"),
    ("x.txt", "", "", "no word pairs"),
    ("x.txt", "\ufeff", "", "no word pairs"),
    ("x.txt", " \n\n", "", "no word pairs"),
    ("x.csv", "", "", "no word pairs"),
    ("x.txt.gz", gzip.compress(b""), "", "no word pairs"),
    ("x.txt.gz", b"a b\n", "", "cannot be read"),
    ("x.txt.gz", gzip.compress(b"a b\n" * 1000)[:-12], "", "cannot be read"),
    ("x.txt.gz", gzip.compress(b"a b\n")[:10] + b"\xff" * 20, "", "cannot be read"),
]


@pytest.mark.parametrize(
    ("name", "content", "where", "what"),
    MALFORMED,
    ids=[f"{name}{where}-{what}" for name, _, where, what in MALFORMED],
)
def test_errors_name_file_and_line(tmp_path, name, content, where, what):
    path = write(tmp_path / name, content)
    message = message_of(dictionary_files.load, path)
    assert message.startswith(f"{path}{where}: ") and what in message


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"x\.txt: no such dictionary; .*DICT_DIR"):
        dictionary_files.load(tmp_path / "x.txt")
    with pytest.raises(InputError, match="cannot be read"):
        dictionary_files.load(tmp_path)


def test_the_report_counts(tmp_path):
    content = "a\tx\na\ty\na\tx\na\tx\nb\tb\nb\tb\nice cream\tc\nd\td\nd\te\n"
    path = write(tmp_path / "x.txt", content)
    assert dictionary_files.load(path)[1] == dictionary_files.LoadReport(
        path=str(path),
        entries=4,
        pairs=9,
        identity=3,
        multi_translation=2,
        multi_word=1,
        duplicates=3,
        weighted=0,
        licences=("",),
        odd=0,
        odd_lines=(),
    )


def test_skip_malformed_reports_what_it_left_out(tmp_path):
    path = write(tmp_path / "x.txt", "a b\nc\n\nd e f\ng\t\nh h\na z\n")
    entries, report, *_ = dictionary_files.load(path, skip_malformed=True)
    assert entries == {"a": ("b", "z"), "h": ("h",)}
    assert (report.pairs, report.odd) == (3, 3)
    assert report.odd_lines == (
        (2, "expected 2 columns, found 1"),
        (4, "expected 2 columns, found 3"),
        (5, "an empty column"),
    )


def test_a_report_lists_the_first_hundred_odd_lines(tmp_path):
    path = write(tmp_path / "x.txt", "a b\n" + "c\n" * 1000)
    _, report, *_ = dictionary_files.load(path, skip_malformed=True)
    assert report.odd == 1000
    assert [number for number, _ in report.odd_lines] == list(range(2, 102))


def test_a_bad_gzip_file_is_no_odd_line(tmp_path):
    path = write(tmp_path / "x.txt.gz", gzip.compress(b"a b\n" * 1000)[:-12])
    with pytest.raises(InputError, match="cannot be read"):
        dictionary_files.load(path, skip_malformed=True)


def test_a_header_names_more_columns(tmp_path):
    path = write(
        tmp_path / "x.csv", 'source,target,sense,weight\ntea,ti,"drink\n, hot",2\ntea,c,,\n'
    )
    first, second = dictionary_files.read_records(path)
    assert first == Record("tea", "ti", 2.0, sense="drink\n, hot")
    assert second == Record("tea", "c")
    dictionary_files.write_records(tmp_path / "y.tsv", [first])
    assert list(dictionary_files.read_records(tmp_path / "y.tsv")) == [
        first._replace(sense="drink , hot")
    ]


def test_a_header_of_two_columns(tmp_path):
    path = write(tmp_path / "x.tsv", "source\ttarget\ntea\tti\n")
    assert list(read_pairs(path)) == [("tea", "ti")]


def test_a_file_without_pairs_says_why(tmp_path):
    path = write(tmp_path / "x.tsv", "Source\tTarget\tWeight\ntea\tti\t1\n")
    with pytest.raises(InputError, match="no word pairs .* odd line is 1: expected 2 columns"):
        dictionary_files.load(path, skip_malformed=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("source\ttarget\twieght\n", ":1: columns source, target, wieght: expected"),
        ("source\ttarget\tsense\tsense\n", ":1: columns source, target, sense, sense: expected"),
        ("source\ttarget\tsense\na\tb\n", ":2: expected 3 columns, found 2"),
        *(
            (f"source\ttarget\tweight\na\tb\t{weight}\n", f":2: weight '{weight}': expected a pos")
            for weight in ("0", "-1", "nan", "inf", "1e308", "x")
        ),
    ],
)
def test_headers_and_weights_are_checked(tmp_path, content, message):
    path = write(tmp_path / "x.tsv", content)
    assert message_of(dictionary_files.read_records, path).startswith(f"{path}{message}")


def test_weights_of_words_whose_translations_differ_in_them(tmp_path):
    lines = ["source\ttarget\tweight", "a\tx\t3", "b\tx\t2", "c\tx\t", "b\ty\t2", "a\ta\t"]
    entries, report, weights, _ = dictionary_files.load(write(tmp_path / "x.tsv", "\n".join(lines)))
    assert entries == {"a": ("x", "a"), "b": ("x", "y"), "c": ("x",)}
    assert weights == {"a": (3.0, 1.0)}
    assert report.weighted == 1


def test_parts_of_speech_of_words_that_stand_in_several_places(tmp_path):
    names = [("a", ""), ("b", "idiom"), ("a", ""), ("b", "noun"), ("a", "v."), ("a", ""), ("c", "")]
    lines = [
        "source\ttarget\tpart_of_speech",
        *(f"{w}\tx{n}\t{p}" for n, (w, p) in enumerate(names)),
    ]
    path = write(tmp_path / "x.tsv", "\n".join(lines))
    entries, *_, parts = dictionary_files.load(path, with_parts_of_speech=True)
    assert entries == {"a": ("x0", "x2", "x4", "x5"), "b": ("x1", "x3"), "c": ("x6",)}
    assert parts == {"a": ("", "", "verb", ""), "b": ("", "noun")}
    assert dictionary_files.load(path)[-1] == {}


@given(st.lists(st.tuples(word, word)))
def test_group_keeps_every_pair_in_order(pairs):
    entries = dictionary_files.group(pairs)
    assert list(entries) == list(dict.fromkeys(source for source, _ in pairs))
    for source, targets in entries.items():
        assert list(targets) == [t for s, t in pairs if s == source]
