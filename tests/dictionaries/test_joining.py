"""`commit-t5x dicts merge` and `dicts invert`."""

import pathlib
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commit_t5x.dictionaries import importing, joining
from commit_t5x.mixing import dictionary_files
from commit_t5x.mixing.dictionary_files import Record

words = st.text("abc d'\xa0\u200dचािй", min_size=1, max_size=5).filter(lambda s: s == s.strip())
notes = st.sampled_from(["", "noun", "a drink, hot"])
records = st.lists(
    st.builds(
        Record,
        *(words, words, st.none() | st.floats(1e-9, 1e9)),
        *(notes, notes, st.sampled_from(["x", "y"]), notes),
    ),
    min_size=1,
)


@settings(max_examples=20)
@given(records)
def test_round_trips(records):
    with tempfile.TemporaryDirectory() as folder:
        first, second = pathlib.Path(folder) / "a.tsv", pathlib.Path(folder) / "b.tsv.gz"

        def read(path):
            return list(dictionary_files.read_records(path))

        dictionary_files.write_records(first, records)
        assert read(first) == records
        importing.import_dictionary("tsv", str(first), second, "en", "hi")
        assert read(second) == records
        for prefer in joining.PREFERENCES:
            assert list(joining.merged([first, second], prefer)) == records
        dictionary_files.write_records(second, joining.inverted(first))
        assert list(joining.inverted(second)) == records


@pytest.fixture
def files(folder):
    (folder / "a.tsv").write_text("tea\tti\ntea\tcha\ntea\tti\n", encoding="utf-8")
    (folder / "b.txt").write_text("ice matka\ntea ti\ntea chai\n", encoding="utf-8")
    return "a.tsv", "b.txt"


def pairs(folder, name="out.tsv"):
    return [record[:2] for record in dictionary_files.read_records(folder / name)]


def test_the_first_that_knows_a_word(dicts, folder, files):
    code, out, _ = dicts("merge", "--prefer", "first", *files, "out.tsv")
    assert (code, out) == (0, "Wrote out.tsv: 4 pairs\n")
    assert pairs(folder) == [("tea", "ti"), ("tea", "cha"), ("tea", "ti"), ("ice", "matka")]
    assert {r.file for r in dictionary_files.read_records(folder / "out.tsv")} == set(files)


def test_all_translations(dicts, folder, files):
    dicts("merge", "--prefer", "all", *files, "out.tsv")
    assert pairs(folder) == [
        *(("tea", "ti"), ("tea", "cha"), ("tea", "ti")),
        *(("ice", "matka"), ("tea", "chai")),
    ]


def test_turned_round(dicts, folder, files):
    code, out, _ = dicts("invert", "b.txt", "out.tsv")
    assert (code, out) == (0, "Wrote out.tsv: 3 pairs\n")
    assert pairs(folder) == [("matka", "ice"), ("ti", "tea"), ("chai", "tea")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["merge", "--prefer=all", "a.tsv", "x", "out.tsv"], "x: no such dictionary"),
        (["merge", "--overwrite", "--prefer=all", "b.txt", "a.tsv", "a.tsv"], "OUT: a.tsv is what"),
        (["invert", "a.tsv", "b.txt"], "b.txt: exists already"),
        (["romanise", "a.tsv", "out.json"], "out.json: name it .tsv"),
        (["invert", "empty", "out.tsv"], "out.tsv: no word pairs to write"),
    ],
)
def test_refused(dicts, folder, files, arguments, message):
    (folder / "empty").write_text("\n", encoding="utf-8")
    code, _, err = dicts(*arguments)
    assert code == 2 and err.startswith(message)
    assert sorted(path.name for path in folder.iterdir()) == ["a.tsv", "b.txt", "empty"]
