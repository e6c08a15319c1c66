"""`commit-t5x dicts romanise`."""

import sys

from commit_t5x.dictionaries import romanising
from commit_t5x.mixing import dictionary_files
from commit_t5x.mixing.dictionary_files import Record


def test_translations_in_latin_letters(dicts, folder):
    records = [
        Record("water", "पानी", 2.0, "noun", "drink", "x", "MIT"),
        Record("पानी", "गरम चाय (TV)"),
        Record("coffee", "café"),
        Record("ten", "१०"),
        *(Record("h", "Гора"), Record("house", "σπίτι"), Record("ice", "น้ำแข็ง")),
    ]
    dictionary_files.write_records("en-xx.tsv", records)
    code, out, _ = dicts("romanise", "en-xx.tsv", "latin.tsv.gz")
    assert (code, out) == (0, "Wrote latin.tsv.gz: 7 pairs\n")
    written = list(dictionary_files.read_records("latin.tsv.gz"))
    assert written[0] == records[0]._replace(target="paanii")
    assert [record.target for record in written[1:4]] == ["garam caay (TV)", "café", "10"]
    assert all(record.target.isascii() and record.target for record in written[4:])
    assert [record.source for record in written] == [record.source for record in records]
    assert written[4].target == "Gora"
    dicts("romanise", "en-xx.tsv", "latin.tsv", "--language", "ukr")
    assert list(dictionary_files.read_records("latin.tsv"))[4].target == "Hora"


# What `merge` and `invert` refuse, test_joining tries.
def test_a_language_of_another_standard(dicts, folder):
    (folder / "a.tsv").write_text("tea\tचाय\n", encoding="utf-8")
    code, _, err = dicts("romanise", "a.tsv", "out.tsv", "--language", "hi")
    assert code == 2 and err.startswith("--language hi: expected a code of ISO 639-3")
    assert [path.name for path in folder.iterdir()] == ["a.tsv"]


def test_without_the_library(dicts, folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "uroman", None)
    romanising._uroman.cache_clear()
    (folder / "a.tsv").write_text("tea\tचाय\n", encoding="utf-8")
    code, _, err = dicts("romanise", "a.tsv", "out.tsv")
    assert code == 2 and err.endswith("pip install 'commit-t5x[romanise]'")
    assert [path.name for path in folder.iterdir()] == ["a.tsv"]
