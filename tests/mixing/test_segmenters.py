import re
import sys
import unicodedata

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import WORDS, texts

from commit_t5x.errors import InputError
from commit_t5x.mixing import graph_segmenters
from commit_t5x.mixing.segmenters import (
    PROTECTED,
    LongestMatchSegmenter,
    ProtectingSegmenter,
    PyThaiNLPSegmenter,
    SpaceSegmenter,
    WhitespaceSegmenter,
    get_segmenter,
)

SEGMENTERS = {
    "space": SpaceSegmenter(),
    "whitespace": WhitespaceSegmenter(),
    "longest_match": LongestMatchSegmenter(WORDS),
    "longest_match of nothing": LongestMatchSegmenter([]),
    "pythainlp": PyThaiNLPSegmenter(),
    "protected": get_segmenter("whitespace", "en", list, [*PROTECTED, "tea|\\(.*\\)"]),
    "protected longest_match": get_segmenter("longest_match", "th", lambda: WORDS, ["number"]),
}
each_segmenter = pytest.mark.parametrize("segmenter", SEGMENTERS.values(), ids=SEGMENTERS)


def segment_tf(segmenter, batch):
    pieces = graph_segmenters.segment(segmenter, tf.constant(batch, tf.string))
    assert pieces.flat_values.dtype == tf.string
    return [[piece.decode() for piece in row] for row in pieces.to_list()]


def words(segmenter, text):
    return [word for word in segmenter.segment(text)[::2] if word]


@each_segmenter
@given(text=texts)
def test_the_pieces_put_together_are_the_text(segmenter, text):
    pieces = segmenter.segment(text)
    assert "".join(pieces) == text
    assert len(pieces) % 2 == 1


@each_segmenter
@given(text=texts)
def test_words_begin_and_end_with_neither_white_space_nor_punctuation(segmenter, text):
    for word in words(segmenter, text):
        for end in (word[0], word[-1]):
            assert end.isalnum() or not end.isascii()
            assert not re.match("P|Zs", unicodedata.category(end))


@each_segmenter
@settings(max_examples=30)
@given(batch=st.lists(texts, min_size=5, max_size=20))
def test_tensorflow_cuts_at_the_same_places(segmenter, batch):
    assert segment_tf(segmenter, batch) == [segmenter.segment(text) for text in batch]


@each_segmenter
@pytest.mark.parametrize("batch", [[], [""], ["", "", ""], [" "], ["a", "", "b"]])
def test_batches_with_nothing_in_them(segmenter, batch):
    assert segment_tf(segmenter, batch) == [segmenter.segment(text) for text in batch]


@each_segmenter
def test_segmenters_work_inside_a_pipeline(segmenter):
    batch = ["น้ำแข็ง tea", "x\0y  z", ""]
    ds = (
        tf.data.Dataset.from_tensor_slices(batch)
        .batch(2)
        .map(lambda texts: graph_segmenters.segment(segmenter, texts))
    )
    rows = [[p.decode() for p in row] for pieces in ds for row in pieces.to_list()]
    assert rows == [segmenter.segment(text) for text in batch]


def test_space_cuts_at_u0020_only():
    cut = SpaceSegmenter().segment
    assert cut("") == [""]
    assert cut("a b") == ["a", " ", "b"]
    assert cut("  a  ") == ["", "  ", "a", "  ", ""]
    assert cut("(a,) ... b") == ["", "(", "a", ",) ... ", "b"]
    assert cut("don't") == ["don't"]
    assert cut("a\nb\tc\xa0d\u3000e\u2028f") == ["a\nb\tc\xa0d\u3000e\u2028f"]


def test_whitespace_cuts_at_every_run_of_white_space():
    cut = WhitespaceSegmenter().segment
    assert cut(" a\n\tb\xa0c\u3000d\u2028e\x85f\u2003g") == [
        *("", " ", "a", "\n\t", "b", "\xa0", "c", "\u3000", "d", "\u2028", "e", "\x85", "f"),
        *("\u2003", "g"),
    ]
    # The zero-width space parts words, as in Khmer; so does a byte-order mark.
    assert cut("\ufeffa\u200bb") == ["", "\ufeff", "a", "\u200b", "b"]
    # Joiners aren't white space, nor are the separators that only Python's \s knows.
    assert cut("a\u200db\u200cc\x1cd\x1fe\0f") == ["a\u200db\u200cc\x1cd\x1fe\0f"]


def test_marks_of_direction_are_no_part_of_a_word():
    text = "\u202etea\u202c (\u200fmilk\u200e)"
    assert words(WhitespaceSegmenter(), text) == words(LongestMatchSegmenter([]), text)
    assert words(WhitespaceSegmenter(), text) == ["tea", "milk"]
    assert words(SpaceSegmenter(), text)[0] == "\u202etea\u202c"  # to the paper's code they are


@pytest.mark.parametrize(
    ("words", "text", "pieces"),
    [
        (["น้ำ", "น้ำแข็ง", "ใส"], "น้ำแข็งใส", ["น้ำแข็ง", "ใส"]),  # the longest, not the first
        (["น้ำ", "แข็ง"], "น้ำแข็งใส", ["น้ำ", "แข็ง", "ใส"]),
        (["ใส"], "น้ำแข็งใสๆ", ["น้ำแข็ง", "ใส", "ๆ"]),  # what no word covers stays together
        (["น"], "น้ำ", ["น้ำ"]),  # MAI THO follows: the word would lose its mark
        (["น", "น้"], "น้ำ", ["น้ำ"]),  # so it would without SARA AM, a letter
        (["ก", "กิ"], "กินา", ["กิ", "นา"]),
        (["ก", "กิ"], "กิน", ["กิน"]),  # a bare consonant ends its syllable
        (["กิ", "กิน"], "กิน้", ["กิ", "น้"]),  # the longest ends before a mark, so the next one
        (["กา", "แฟ"], "กา แฟ\nกาแฟ", ["กา", " ", "แฟ", "\n", "กา", "แฟ"]),
        (["กา แฟ"], "กา แฟ", ["กา", " ", "แฟ"]),  # runs end at white space
        (["กา"], "กา!กา", ["กา", "!", "กา"]),
        (["e"], "ee\u0301e", ["ee\u0301e"]),
        ([], "น้ำแข็ง", ["น้ำแข็ง"]),
        ([""], "น้ำ", ["น้ำ"]),
        (["水", "水果"], "水果水", ["水果", "水"]),
        (["ผู\u0e49"], "ผ\u0e49\u0e39", ["ผ\u0e49\u0e39"]),  # marks in another order
        (["กาใส"], "กา\u2060ใส", ["กา\u2060ใส"]),
        (["กา"], "กา\u2060ใส", ["กา", "\u2060", "ใส"]),
        (["id"], "ที่Riverside", ["ที่Riverside"]),
        (["ที่"], "ที่Riverside", ["ที่", "Riverside"]),
        (["หล่า", "คน"], "คนเหล่านี้", ["คน", "เหล่านี้"]),
        (["นอ"], "ชาวนอร์เวย์", ["ชาวนอร์เวย์"]),
    ],
)
def test_longest_match(words, text, pieces):
    segmenter = LongestMatchSegmenter(words)
    cut = segmenter.segment(text)
    assert [piece for piece in cut if piece] == pieces
    assert segment_tf(segmenter, [text]) == [cut]


def test_neighbouring_words_have_nothing_between_them():
    segmenter = LongestMatchSegmenter(["น้ำแข็ง", "ใส"])
    assert segmenter.segment("น้ำแข็งใส!") == ["น้ำแข็ง", "", "ใส", "!", ""]


def test_pythainlp_cuts_thai():
    assert words(PyThaiNLPSegmenter(), "ฉันดื่มน้ำแข็ง (ทุกวัน)") == ["ฉัน", "ดื่ม", "น้ำแข็ง", "ทุกวัน"]


@pytest.mark.parametrize(
    "kind, text, found",
    [
        ("code", "run `for i in x` now", ["run", "now"]),
        ("code", "see\n```\nfor i in x\n```\nnow", ["see", "now"]),
        ("url", "at https://a.b/the/tea?x=1 now", ["at", "now"]),
        ("url", "mail the.tea@a.org now", ["mail", "now"]),
        ("number", "in 1984, 3.5 of x2 and 2nd", ["in", "of", "x2", "and", "2nd"]),
        ("placeholder", "dear {name}, <b>the</b> [MASK]", ["dear", "the"]),
        ("t[a-z]*", "take me to the sea", ["me", "sea"]),
    ],
)
def test_protected_spans_hold_no_words(kind, text, found):
    segmenter = get_segmenter("whitespace", "en", list, [kind])
    assert words(segmenter, text) == found
    assert segment_tf(segmenter, [text]) == [segmenter.segment(text)]


def test_a_protected_span_parts_the_words_around_it():
    segmenter = ProtectingSegmenter(SpaceSegmenter(), "-")
    assert segmenter.segment("a-b") == ["a", "", "", "-", "", "", "b"]


@pytest.mark.parametrize(
    ("name", "language", "kind"),
    [
        ("space", "th", SpaceSegmenter),
        ("whitespace", "th", WhitespaceSegmenter),
        ("longest_match", "en", LongestMatchSegmenter),
        ("language", "en", WhitespaceSegmenter),
        ("language", "hi", WhitespaceSegmenter),
        ("language", "th", LongestMatchSegmenter),
        ("language", "zh", LongestMatchSegmenter),
    ],
)
def test_segmenters_by_name(name, language, kind):
    segmenter = get_segmenter(name, language, lambda: ["น้ำ"])
    assert type(segmenter) is kind
    if kind is LongestMatchSegmenter:
        assert segmenter.segment("น้ำใส") == ["น้ำ", "", "ใส"]


def test_an_unknown_name_is_an_input_error():
    with pytest.raises(InputError, match=r"segmenter 'spaces': unknown; use 'space'.*'language'"):
        get_segmenter("spaces", "en", list)


@pytest.mark.parametrize("pattern, problem", [("(", "missing"), ("a*", "no character")])
def test_a_protected_pattern_that_is_none(pattern, problem):
    with pytest.raises(InputError, match=f"protected {re.escape(repr(pattern))}: .*{problem}"):
        get_segmenter("space", "en", list, [pattern])


@pytest.mark.parametrize("pattern", ["a(?=b)", r"(a)\1"])
def test_a_protected_pattern_that_only_python_reads(pattern):
    segmenter = get_segmenter("space", "en", list, ["code", pattern])
    assert words(segmenter, "x") == ["x"]
    with pytest.raises(
        InputError, match="protected .*: RE2, which mixes in TensorFlow, can't read it"
    ):
        segment_tf(segmenter, ["x"])


def test_pythainlp_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythainlp.tokenize", None)
    with pytest.raises(InputError, match="pip install pythainlp"):
        get_segmenter("pythainlp", "th", list)
