import sys
import unicodedata

from commit_t5x.mixing import casing


def test_upper_case_is_unicodes_but_in_languages_of_their_own():
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if character.upper() != character:
            expected = unicodedata.normalize("NFC", character.upper())
            assert casing.upper(character) == casing.upper(character, "el") == expected


def test_greek_capitals():
    words = {
        "μάιος": "ΜΑΪΟΣ",
        "άυλος": "ΑΫΛΟΣ",
        "αϊτός": "ΑΪΤΟΣ",
        "ταΐζω": "ΤΑΪΖΩ",
        "παίζω": "ΠΑΙΖΩ",
    }
    words |= {"ὁδός": "ΟΔΟΣ", "ή": "Ή", "η": "Η", "ᾳ": "ΑΙ", "ό,τι": "Ο,ΤΙ"}
    assert {word: casing.upper(word, "el") for word in words} == words
    assert list(casing.spellings_in_capitals("μάιος", "el")) == ["ΜΑΪΟΣ", "ΜΆΙΟΣ", "ΜΑΙΟΣ"]
    assert list(casing.spellings_capitalised("άλλα", "el")) == ["Άλλα", "Αλλα"]


def test_dotted_and_dotless_i():
    for language in ("tr", "az"):
        assert casing.upper("ılık iyi", language) == "ILIK İYİ"
        assert casing.capitalised("ılık", language) == "Ilık"
        assert casing.capitalised("iyi", language) == "İyi"
        assert casing.capitalised("i̇yi", language) == "İyi"
    assert casing.upper("ılık iyi") == "ILIK IYI"


def test_a_first_letter_is_in_title_case():
    assert [casing.capitalised(word) for word in ("ǆak", "ჩაი", "ﬁn", "tea", "")] == [
        *("ǅak", "ჩაი", "Fin", "Tea", "")
    ]
