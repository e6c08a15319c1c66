import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commit_t5x.mixing import characters

ALL = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


@given(st.text())
def test_canonically_equivalent_words_have_one_key(word):
    keys = {
        characters.lookup_key(unicodedata.normalize(form, word)) for form in ("NFC", "NFD", "NFC")
    }
    assert len(keys) == 1
    [key] = keys
    assert characters.lookup_key(key) == key


@pytest.mark.parametrize("character", characters.UNSEEN)
def test_what_is_not_seen_is_not_looked_up(character):
    assert unicodedata.category(character) == "Cf"
    assert characters.lookup_key(f"{character}a{character}b{character}") == "ab"


@pytest.mark.parametrize("character", characters.JOINERS)
def test_joiners_count_within_a_word_only(character):
    assert characters.lookup_key(f"a{character}b{character}") == f"a{character}b"


def test_edges_in_every_canonically_equivalent_spelling():
    edges = set(characters.edge_characters())
    extenders = set(characters.extenders())
    equivalents = {
        c
        for c in ALL
        if c not in edges
        and (spelt := unicodedata.normalize("NFD", c))[0] in edges
        and set(spelt[1:]) <= extenders
    }
    assert equivalents == set(characters.EDGE_EQUIVALENTS)


def test_every_mark_extends_the_character_before():
    extenders = set(characters.extenders())
    assert extenders >= {c for c in ALL if unicodedata.category(c)[0] == "M"}
    assert extenders >= set("\u200c\u200d\U0001f3fb\u0e33")
    assert not extenders & set("aก水\u0e32" + characters.SPACES)


@pytest.mark.parametrize(
    "letter, script",
    [
        *(("a", "Latin"), ("µ", ""), ("2", ""), ("।", "")),
        *(("δ", "Greek"), ("ก", "Thai"), ("漢", "Han"), ("ᱚ", "Ol_Chiki")),
    ],
)
def test_scripts(letter, script):
    assert characters.script(letter) == script
