"""`commit-t5x dicts check` as users run it."""

import json
import shutil

import pytest

from commit_t5x import resources

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
        "translations a word                      1.50        1.00",
        "words with weights                          0           0",
        "targets in another script                   0           0",
        "single-letter sources                       0           0",
        "multi-word sources                          1           0",
        "repeated pairs                              1           0",
        "sources with capital letters                1           0",
        "sources that are never found*               1           0",
        "words of the text it knows                  -           -",
        "words among its translations                -           -",
        "function words it lacks                     -           -",
        "pairs with a listed word                    -           -",
        "odd lines                                   0           0",
        "* They begin or end with white space or punctuation, which words lose before lookup.",
        "small.txt: licence not stated",
        "back.csv: licence not stated",
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
            "weighted": 0,
            "licences": [""],
            "upper_case": 1,
            "never_found": 1,
            "single_letter": 0,
            "other_script": 0,
            "hit_rate": None,
            "reverse_hit_rate": None,
            "missing_function_words": None,
            "listed": None,
            "warning": None,
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


@pytest.mark.parametrize("pair", ["en-hi", "en-el", "en-th", "hi-en", "el-en", "th-en"])
def test_check_warns_of_a_dictionary_the_wrong_way_round(dicts, folder, capsys, pair):
    source, target = pair.split("-")
    shutil.copy(resources.path("dicts") / f"{pair}.txt", f"{pair}.txt")
    _, out, _ = dicts("check", "--json", f"{pair}.txt")
    [summary] = json.loads(out)
    assert summary["hit_rate"] > 0.3 and summary["warning"] is None
    backwards = f"{target}-{source}.txt"
    shutil.copy(f"{pair}.txt", backwards)
    code, out, err = dicts("check", backwards, warnings=1)
    assert code == 0
    assert "words of the text it knows" in out
    assert f"warning: {backwards}: knows " in err
    assert err.endswith(f"it may be the wrong way round; name it {pair}")


def test_check_counts_the_words_of_a_text_of_ones_own(dicts, folder):
    (folder / "en-xx.txt").write_text("tea\tti\nhot\tho\n", encoding="utf-8")
    (folder / "mine.jsonl").write_text('{"a": "Hot tea, or milk", "b": 3}\n', encoding="utf-8")
    _, out, _ = dicts("check", "--json", "en-xx.txt", "--text", "mine.jsonl")
    [summary] = json.loads(out)
    assert (summary["hit_rate"], summary["reverse_hit_rate"]) == (0.5, 0)
    (folder / "mine.jsonl").write_text('{"b": 3}\n', encoding="utf-8")
    code, _, err = dicts("check", "en-xx.txt", "--text", "mine.jsonl")
    assert code == 2 and err.startswith("mine.jsonl: no text in it")


def test_check_names_pairs_with_listed_words(dicts, folder):
    pairs = "Rot\tx\na rot b\ty\nrotten\tz\ntea\tROT\ntea\tROT\nice\tcafe\u0301\nice\tok\n"
    (folder / "x.tsv").write_text(pairs, encoding="utf-8")
    (folder / "list.txt").write_text("\ufeffrot\r\n\nCAF\xc9\nan ice\n", encoding="utf-8")
    code, out, _ = dicts("check", "x.tsv", "--word-list", "list.txt")
    assert code == 0
    assert "x.tsv: listed Rot = x, a rot b = y, tea = ROT, ice = cafe\u0301\n" in out
    _, out, _ = dicts("check", "x.tsv", "--word-list", "list.txt", "--json")
    assert len(json.loads(out)[0]["listed"]) == 4
    (folder / "list.txt").write_text("coffee\n", encoding="utf-8")
    _, out, _ = dicts("check", "x.tsv", "--word-list", "list.txt")
    assert "x.tsv: listed" not in out
    for content, message in (
        (b" \n", "no words in it"),
        (b"\xff\n", "not UTF-8"),
        (b"\n<!DOCTYPE html>\n", "a web page, XML or JSON"),
        (b'["rot"]\n', "a web page, XML or JSON"),
    ):
        (folder / "list.txt").write_bytes(content)
        code, out, err = dicts("check", "x.tsv", "--word-list", "list.txt")
        assert (code, out) == (2, "") and err.startswith("list.txt:") and message in err
    code, _, err = dicts("check", "x.tsv", "--word-list", "none.txt")
    assert code == 2 and err.startswith("none.txt: no such file")
    assert dicts("check", "x.tsv", "--word-list", "")[0] == 2


def test_check_finds_what_an_import_may_bring(dicts, folder):
    lines = [
        "source\ttarget\tweight\tlicence",
        *("tea\tचाय\t2\tMIT", "tea\tटी\t1\t", "t\tr\t\tCC0"),
        *("cup\t" + "प्याला" * 9 + "\t\tMIT", "cup\tt प्याला\t\tMIT", "ten\t१०\t\tMIT"),
    ]
    (folder / "en-xx.tsv").write_text("\n".join(lines), encoding="utf-8")
    (folder / "text.jsonl").write_text('{"a": "The tea of the other cup"}\n', encoding="utf-8")
    _, out, _ = dicts("check", "en-xx.tsv", "--text", "text.jsonl")
    rows = dict(line.rsplit(maxsplit=1) for line in out.splitlines()[1:-2])
    assert rows["words with weights"] == "1"
    assert rows["targets in another script"] == "1"
    assert rows["single-letter sources"] == "1"
    assert rows["translations a word"] == "1.50"
    assert rows["function words it lacks"] == "3"
    assert out.splitlines()[-2:] == [
        "en-xx.tsv: lacks the, of, other",
        "en-xx.tsv: licence CC0, MIT, not stated",
    ]
