import sys
import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from texts import texts

from commit_t5x.mixing import clusters

# Consonants, vowel signs, tones and other marks of the four scripts, and what may stand by them.
_LETTERS = (
    *"กนรหอเแโไะาำๅิีืุู็่้์ัๆ" + "ກງນລຫອວເແໄະາຳິືັົ່້໌ຽ" + "កខនរសាិេោ់៉្៌៍" + "ကငတနမလေိာါ့်္းျြ",
    *("a", "R", "é", "e\u0301", "7", "๗", "д", "水", "ア", "!", "\u2060", "👩\u200d👧", "🇮", "각"),
)
unspaced = st.lists(st.sampled_from(_LETTERS), max_size=12).map("".join)


@given(unspaced | texts)
def test_no_cut_within_a_cluster_or_a_run_of_letters(text):
    units = clusters.units(text)
    assert "".join(units) == text
    place, cuts = 0, set()
    for unit in units:
        place += len(unit)
        cuts.add(place)
    assert cuts <= {match.end() for match in regex.finditer(r"\X", text)}
    for place in cuts - {len(text)}:
        before, behind = text[place - 1], text[place]
        assert unicodedata.category(behind)[0] != "M" or not before.isalnum()
        assert not (before.isascii() and before.isalnum() and behind.isascii() and behind.isalnum())
        assert not "\u0e40" <= before <= "\u0e44" or not behind.isalpha()  # Thai
        assert not "\u0ec0" <= before <= "\u0ec4" or not behind.isalpha()  # Lao
        assert behind not in "\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3"
        # What closes a syllable stands with it: silenced, asat; and stacked consonants.
        consonant = "\u0e01" <= behind <= "\u0e2e" or "\u1000" <= behind <= "\u1020"
        assert not consonant or text[place + 1 : place + 2] not in ("\u0e4c", "\u103a", "\u1039")
        assert before not in "\u17d2\u1039" or not behind.isalpha()


@pytest.mark.parametrize(
    "text",
    [
        *("ค|น|เหล่า|นี้", "ชา|ว|นอร์|เวย์", "สิทธิ์", "จันทร์", "ภา|พ|ยนตร์", "ศาสตร์"),  # Thai
        *(
            "ก็|เป็น|เพราะ|เสีย|เดิน|เก็บ|มืด",
            "เปลี่ยน",
            "เบิร์น|ตา",
            "แบล็ก",
            "เต|ก็",
            "กา|ร|กา",
            "กา|การ",
            "น้ำ|แข็ง",
            "พ|.|ศ|.",
        ),
        *("ເມືອງ", "ຂອງ", "ສະ|ບາຍ", "ຄົນ|ລາວ", "ຫມາ", "ເຂົ້າ|ໄປ"),  # Lao
        *("ភា|សា|ខ្មែរ", "ចាប់", "ពណ៌"),  # Khmer
        *("လူ|တန်း", "မန္တ|လေး", "မြန်|မာ", "အင်္ဂ|လိပ်"),  # Burmese
        *("ที่|Riverside|กา", "x2y|水|5|.|3", "naïve|水", "дом|ที่", "नमस्ते|水"),  # other scripts
        *("👩\u200d👧|🇮🇳|👍🏽", "e\u0301a|水\ufe00|水", "\r\n|\t", "각|水", "각|水"),
    ],
)
def test_units(text):
    expected = text.split("|")
    assert clusters.units("".join(expected)) == expected


def test_a_mark_is_never_cut_off_a_letter():
    marks = [c for c in map(chr, range(sys.maxunicode)) if unicodedata.category(c)[0] == "M"]
    assert len(marks) > 2000
    assert not [mark for mark in marks if len(clusters.units(f"ก{mark}")) != 1]
