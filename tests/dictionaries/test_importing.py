"""`commit-t5x dicts import`, whatever the format."""

import gzip

import pytest

from commit_t5x.mixing import dictionary_files

LANGUAGES = "--source-language", "en", "--target-language", "hi"


@pytest.fixture
def imported(dicts, folder):
    """Imports a file of the folder; returns exit code, output, error and the records written."""

    def imported(name, place, *flags, languages=LANGUAGES, out="out.tsv"):
        code, printed, err = dicts("import", name, place, out, *languages, *flags)
        records = list(dictionary_files.read_records(folder / out)) if code == 0 else []
        return code, printed, err, records

    return imported


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("muse", "en-hi.txt", "tea चाय\nice chai\n"),
        ("tsv", "x.tsv", "tea\tचाय\nice\tchai\n"),
        ("csv", "x.csv", 'tea,चाय\n"ice",chai\n'),
        ("gatitos", "en_hi.tsv", "tea\tचाय\nice\tchai\n"),
    ],
)
def test_tables(imported, folder, name, file, content):
    (folder / file).write_text(content, encoding="utf-8")
    code, out, _, records = imported(name, file)
    assert (code, out) == (0, "Wrote out.tsv: 2 pairs\n")
    assert [record[:2] for record in records] == [("tea", "चाय"), ("ice", "chai")]
    assert {record.file for record in records} == {file}
    licence = {"muse": "CC BY-NC 4.0", "gatitos": "CC BY 4.0"}.get(name, "")
    assert {record.licence for record in records} == {licence}
    assert (
        (folder / "out.tsv")
        .read_text(encoding="utf-8")
        .startswith("source\ttarget\tweight\tpart_of_speech\tsense\tfile\tlicence\n")
    )


def test_a_table_with_a_header_keeps_its_columns(imported, folder):
    content = "source\ttarget\tlicence\tweight\ntea\tti\tMIT\t0.25\ntea\tcha\t\t\n"
    (folder / "x.tsv").write_text(content, encoding="utf-8")
    *_, records = imported("tsv", "x.tsv", "--licence", "CC0")
    assert [(r.weight, r.licence) for r in records] == [(0.25, "CC0"), (None, "CC0")]
    *_, records = imported("tsv", "x.tsv", "--overwrite")
    assert [record.licence for record in records] == ["MIT", ""]


def test_what_is_left_out_is_said(imported, folder):
    content = "a b c d e f\tx\nodd\nTea\tTi\nIce\tBarafu\n\ty\n"
    (folder / "x.tsv").write_text(content, encoding="utf-8")
    code, out, _, records = imported("tsv", "x.tsv", "--lower-case")
    assert out == (
        "Wrote out.tsv: 2 pairs; left out: pairs of more than 5 words (1), lines that aren't pairs "
        "(2)\n"
    )
    assert [record[:2] for record in records] == [("tea", "ti"), ("ice", "barafu")]
    *_, records = imported("tsv", "x.tsv", "--max-words", "6", "--overwrite")
    assert records[0].source == "a b c d e f"


def test_places_that_are_no_file(imported, folder):
    (folder / "sw/LC_MESSAGES").mkdir(parents=True)
    message = 'msgid "Tea"\nmsgstr "Chai"\n'
    (folder / "sw/LC_MESSAGES/app.po").write_text(message, encoding="utf-8")
    swahili = "--source-language", "en", "--target-language", "sw"
    *_, records = imported("gettext", ".", "--lower-case", languages=swahili)
    assert [record[:2] for record in records] == [("tea", "chai")]
    *_, records = imported("cldr", "months", "--overwrite", languages=swahili)
    assert {record.licence for record in records} == {"Unicode-3.0"}


REFUSED = {
    "unknown format": ("kaiki", b"", "format 'kaiki': expected one of muse, "),
    "nothing in it": ("tsv", b"", "x: no pairs from en to hi"),
    "nothing left": ("tsv", b"a b c d e f\tx\n", "x: no pairs from en to hi; left out: pairs of "),
    "prose": ("muse", b"Some plain words.\nAnd then more.\n", "x:1: expected 2 columns, found 3"),
    "web page": ("kaikki", b"\n<!DOCTYPE html>\n<p>", "x: a web page instead of a dictionary"),
    "page as table": (
        "tsv",
        b"<html>\t<p>\n",
        "x: a web page, XML or JSON instead of a dictionary",
    ),
    "error as table": (
        "muse",
        b'<?xml version="1.0"?>\n<Error/>',
        "x: a web page, XML or JSON instead",
    ),
    "JSON as table": ("tsv", b'{"word": "tea"}\n', "x: a web page, XML or JSON instead"),
    "another encoding": ("tsv", "é\tx\n".encode("latin-1"), "x:1: not UTF-8"),
    "cut off": ("kaikki", gzip.compress(b'{"word": "tea"}\n' * 999)[:-9], "x: can't be unpacked"),
    "no JSON": ("kaikki", b"tea\tti\n", "x:1: not a JSON object"),
    "another encoding of JSON": ("kaikki", '{"a": "é"}\n'.encode("latin-1"), "x: not UTF-8"),
    "no catalogue": ("gettext", b"tea\tti\n", "x: not a gettext catalogue ("),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_imported_leaves_nothing(imported, folder, case):
    name, content, message = REFUSED[case]
    (folder / "x").write_bytes(content)
    code, out, err, _ = imported(name, "x")
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert names(folder) == ["x"]


@pytest.mark.parametrize("name", ["en-el.txt", "hi-en.tsv", "en_el.csv.gz"])
def test_a_table_named_after_other_languages(imported, folder, name):
    (folder / name).write_text("tea\tti\n", encoding="utf-8")
    code, _, err, _ = imported("tsv", name)
    assert code == 2 and err.startswith(f"{name}: is named as from {name[:2]} to {name[3:5]}, not")
    assert names(folder) == [name]


def test_a_file_of_another_format_is_no_table(imported, folder):
    (folder / "x.po").write_text('msgid "tea"\n', encoding="utf-8")
    code, _, err, _ = imported("tsv", "x.po")
    assert code == 2 and err.startswith("x.po: .po has no lines of source<TAB>target")


def test_a_byte_order_mark(imported, folder):
    (folder / "hi.po").write_text('\ufeffmsgid "Tea"\nmsgstr "चाय"\n', encoding="utf-8")
    *_, records = imported("gettext", "hi.po")
    assert [record[:2] for record in records] == [("Tea", "चाय")]


@pytest.mark.parametrize("name", ["tsv", "kaikki", "gettext"])
def test_no_such_file(imported, folder, name):
    code, _, err, _ = imported(name, "x")
    assert code == 2 and err.startswith("x: no such ")
    assert names(folder) == []


def test_what_is_there_stays(imported, folder):
    (folder / "x.tsv").write_text("tea\tti\n", encoding="utf-8")
    (folder / "y.tsv").write_text("old\tpair\n", encoding="utf-8")
    for out, flags, message in (
        ("x.tsv", ["--overwrite"], "OUT: x.tsv is what is read"),
        ("y.tsv", [], "y.tsv: exists already; choose another place or pass --overwrite"),
        ("y.csv", [], "y.csv: name it .tsv"),
        (".", [], ".: name it .tsv"),
    ):
        code, _, err, _ = imported("tsv", "x.tsv", *flags, out=out)
        assert code == 2 and err.startswith(message)
    assert names(folder) == ["x.tsv", "y.tsv"]
    *_, records = imported("tsv", "x.tsv", "--overwrite", out="y.tsv")
    assert records[0][:2] == ("tea", "ti")
