import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commit_t5x import resources
from commit_t5x.errors import InputError
from commit_t5x.lexicon import Lexicon, load_dictionary

PAIRS = [("water", "पानी"), ("tea", "चाय"), ("water", "जल"), ("water", "पानी"), ("I", "मैं")]
ENTRIES = {"water": ("पानी", "जल", "पानी"), "tea": ("चाय",), "I": ("मैं",)}


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


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
    "blank.txt": "\n \n\t\n" + lines("\t", "\n\r\n\n") + "   ",
    "blank.csv": "\n  \n" + lines(",", "\n\n"),
    "muse.txt.gz": gzip.compress(lines("\t").encode()),
    "spaces.tsv.gz": gzip.compress(lines(" ").encode()),
    "commas.csv.gz": gzip.compress(lines(",").encode()),
    "name.with.dots.txt": lines("\t"),
    "no_suffix": lines("\t"),
}


def test_translations_keep_file_order_and_repeats():
    lexicon = Lexicon.from_pairs(PAIRS)
    assert lexicon.translations("water") == ("पानी", "जल", "पानी")
    assert lexicon.translations("Water") == lexicon.translations("") == ()
    assert list(lexicon) == ["water", "tea", "I"]
    assert dict(lexicon.items()) == ENTRIES
    assert len(lexicon) == 3
    assert "tea" in lexicon and "Tea" not in lexicon


@pytest.mark.parametrize("name", FORMATS)
def test_formats(tmp_path, name):
    path = write(tmp_path / name, FORMATS[name])
    lexicon = Lexicon.load(path)
    assert dict(lexicon.items()) == ENTRIES
    assert lexicon.report.path == str(path)
    assert (lexicon.report.pairs, lexicon.report.skipped) == (5, ())
    assert dict(Lexicon.load(str(path)).items()) == ENTRIES


def test_a_tab_lets_entries_hold_spaces(tmp_path):
    lexicon = Lexicon.load(write(tmp_path / "x.txt", "ice cream\tmatka kulfi\n"))
    assert lexicon.translations("ice cream") == ("matka kulfi",)


def test_a_csv_entry_may_hold_commas_and_quotes(tmp_path):
    lexicon = Lexicon.load(write(tmp_path / "x.csv", '"a, b","say ""c"""\n'))
    assert lexicon.translations("a, b") == ('say "c"',)


@pytest.mark.parametrize("odd", ["a\u2028b", "a\u0085b", "a\x0bb", "a\x0cb", "a\xa0b", "a\u3000b"])
def test_only_line_feeds_end_lines_and_only_spaces_and_tabs_end_columns(tmp_path, odd):
    lexicon = Lexicon.load(write(tmp_path / "x.txt", f"{odd}\tα\nβ {odd}\n"))
    assert dict(lexicon.items()) == {odd: ("α",), "β": (odd,)}


word = st.text(st.characters(codec="utf-8", exclude_characters="\t\r\n \ufeff"), min_size=1)


@given(st.lists(st.tuples(word, word), min_size=1))
def test_any_pairs_come_back(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("lexicon") / "x.txt"
    write(path, "".join(f"{source}\t{target}\n" for source, target in pairs))
    assert dict(Lexicon.load(path).items()) == dict(Lexicon.from_pairs(pairs).items())


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
    ("x.csv", 'a,"b\n' + "x" * 200_000, ":2", "not CSV"),
    ("x.txt", b"a b\nc \xff\n", ":2", "not UTF-8"),
    ("x.txt", b"\xef\xbb\xbfa b\n\xff c\n", ":2", "not UTF-8"),
    ("x.txt.gz", gzip.compress(b"a b\nc d\nx \xc3"), ":3", "not UTF-8"),
    ("x.txt", "", "", "no word pairs"),
    ("x.txt", " \n\n", "", "no word pairs"),
    ("x.csv", "", "", "no word pairs"),
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
    with pytest.raises(InputError) as caught:
        Lexicon.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}{where}: ")
    assert what in message
    assert "\n" not in message


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match=r"x\.txt: no such dictionary; .*DICT_DIR"):
        Lexicon.load(tmp_path / "x.txt")
    with pytest.raises(InputError, match="cannot be read"):
        Lexicon.load(tmp_path)


def test_skip_malformed_reports_what_it_left_out(tmp_path):
    path = write(tmp_path / "x.txt", "a b\nc\n\nd e f\ng\t\nh h\na z\n")
    lexicon = Lexicon.load(path, skip_malformed=True)
    assert dict(lexicon.items()) == {"a": ("b", "z"), "h": ("h",)}
    report = lexicon.report
    assert (report.path, report.pairs, report.identity) == (str(path), 3, 1)
    assert report.skipped == (
        (2, "expected 2 columns, found 1"),
        (4, "expected 2 columns, found 3"),
        (5, "an empty column"),
    )


def test_skip_malformed_still_wants_one_pair(tmp_path):
    with pytest.raises(InputError, match="no word pairs"):
        Lexicon.load(write(tmp_path / "x.txt", "a\nb\n"), skip_malformed=True)


def test_without_identity_drops_pairs_equal_but_for_case():
    lexicon = Lexicon({"tv": ("TV", "τηλεόραση"), "ok": ("ok", "OK"), "tea": ("τσάι",)})
    kept = dict(lexicon.without_identity().items())
    assert kept == {"tv": ("τηλεόραση",), "tea": ("τσάι",)}


def test_case_variants_carry_the_case_over():
    lexicon = Lexicon({"tea": ("τσάι", "ρόφημα"), "a": ("ένα",)}).with_case_variants()
    assert dict(lexicon.items()) == {
        "tea": ("τσάι", "ρόφημα"),
        "Tea": ("Τσάι", "Ρόφημα"),
        "TEA": ("ΤΣΆΙ", "ΡΌΦΗΜΑ"),
        "a": ("ένα",),
        "A": ("Ένα",),  # one letter: a capitalised word rather than an upper-case one
    }


@pytest.mark.parametrize("order", [1, -1])
def test_an_entry_wins_over_a_variant_wherever_it_stands(order):
    pairs = [("us", "εμάς"), ("US", "ΗΠΑ"), ("turkey", "γαλοπούλα"), ("Turkey", "Τουρκία")]
    lexicon = Lexicon.from_pairs(pairs[::order]).with_case_variants()
    assert lexicon.translations("US") == ("ΗΠΑ",)
    assert lexicon.translations("Us") == ("Εμάς",)
    assert lexicon.translations("Turkey") == ("Τουρκία",)
    assert lexicon.translations("turkey") == ("γαλοπούλα",)


def test_variants_of_scripts_without_case_change_nothing():
    lexicon = Lexicon({"पानी": ("water",), "น้ำ": ("น้ำ",)})
    assert lexicon.with_case_variants().translations("น้ำ") == ("น้ำ",)
    assert len(lexicon.with_case_variants()) == 2


@pytest.mark.parametrize("pair", ["en-hi", "en-el", "en-th", "hi-en", "el-en", "th-en"])
def test_sample_dictionaries_load(bind, pair):
    bind("lexicon.load_dictionary.directory", "samples")
    lexicon = load_dictionary(*pair.split("-"))
    assert lexicon.report.path == str(resources.path("dicts") / f"{pair}.txt")
    assert len(lexicon) > 100


@pytest.mark.parametrize("name", ["en-xx.txt", "en-xx.tsv", "en-xx.csv", "en-xx.txt.gz"])
def test_dictionaries_of_a_folder(bind, tmp_path, name):
    content = "tea,ti\n" if name.endswith(".csv") else "tea\tti\n"
    packed = gzip.compress(content.encode()) if name.endswith(".gz") else content
    write(tmp_path / name, packed)
    bind("lexicon.load_dictionary.directory", str(tmp_path))
    assert load_dictionary("en", "xx").translations("tea") == ("ti",)


def test_the_folder_may_change_between_runs(bind, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "en-xx.txt", f"tea {name}\n")
        bind("lexicon.load_dictionary.directory", str(tmp_path / name))
        assert load_dictionary("en", "xx").translations("tea") == (name,)


def test_a_missing_dictionary_is_named_with_the_remedy(bind, tmp_path):
    bind("lexicon.load_dictionary.directory", str(tmp_path))
    with pytest.raises(InputError) as caught:
        load_dictionary("en", "xx")
    assert str(caught.value).startswith(f"{tmp_path / 'en-xx.txt'}: no dictionary en-xx")
    assert "DICT_DIR" in str(caught.value)
