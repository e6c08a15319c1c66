"""`commit-t5x dicts check` as users run it."""

import json

SMALL = "tea\tti\ntea\tcha\nTV\tTV\nu.s.\tus\nice cream\tkulfi\ntea\tti\n"


def test_check_prints_a_summary_side_by_side(dicts, folder):
    (folder / "small.txt").write_text(SMALL, encoding="utf-8")
    (folder / "back.csv").write_text("ti,tea\n", encoding="utf-8")
    code, out, _ = dicts("check", "small.txt", "back.csv")
    assert code == 0
    assert out.splitlines() == [
        "                                    small.txt    back.csv",
        "entries (source words)                      4           1",
        "pairs                                       6           1",
        "identity pairs (source = target)            1           0",
        "share of identity pairs                16.7 %       0.0 %",
        "words with several translations             1           0",
        "multi-word sources                          1           0",
        "repeated pairs                              1           0",
        "sources with capital letters                1           0",
        "sources that are never found*               1           0",
        "odd lines                                   0           0",
        "* They begin or end with white space or punctuation, which words lose before lookup.",
    ]


def test_check_as_json(dicts, folder):
    (folder / "small.txt").write_text(SMALL + "odd\n", encoding="utf-8")
    code, out, err = dicts("check", "--json", "small.txt")
    assert code == 2
    assert err == "small.txt: 1 odd line; mend or remove them"
    assert json.loads(out) == [
        {
            "path": "small.txt",
            "entries": 4,
            "pairs": 6,
            "identity": 1,
            "multi_translation": 1,
            "multi_word": 1,
            "duplicates": 1,
            "upper_case": 1,
            "never_found": 1,
            "odd": 1,
            "odd_lines": [[7, "expected 2 columns, found 1"]],
        }
    ]


def test_check_names_odd_lines(dicts, folder):
    (folder / "[x].txt").write_text("a b\n" + "c\n" * 7, encoding="utf-8")
    code, out, err = dicts("check", "[x].txt")
    assert code == 2
    assert "[x].txt" in out.splitlines()[0]
    assert "\n[x].txt:2: expected 2 columns, found 1\n" in out
    assert "[x].txt:6:" in out and "[x].txt:7:" not in out
    assert out.endswith("[x].txt: 2 more of them\n")
    assert err == "[x].txt: 7 odd lines; mend or remove them"


def test_check_goes_on_after_a_file_that_cannot_be_used(dicts, folder):
    (folder / "good.txt").write_text(SMALL, encoding="utf-8")
    (folder / "bad.txt").write_bytes(b"a b\n\xff\n")
    code, out, err = dicts("check", "missing.txt", "bad.txt", "good.txt")
    assert code == 2
    assert "good.txt" in out
    assert err.startswith("missing.txt: no such dictionary")
    assert "; bad.txt:2: not UTF-8" in err


def test_check_tells_files_of_one_name_apart(dicts, folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "en-hi.txt").write_text(SMALL, encoding="utf-8")
    _, out, _ = dicts("check", "a/en-hi.txt", "b/en-hi.txt")
    assert out.split()[:2] == ["a/en-hi.txt", "b/en-hi.txt"]
