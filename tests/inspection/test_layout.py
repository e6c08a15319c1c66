import unicodedata

import pytest
import texts
from hypothesis import given
from hypothesis import strategies as st
from made_examples import make

from commit_t5x.inspection import layout
from commit_t5x.inspection.aligned import Span


def shown(example, limit=1000):
    return [(s.text, run.source) for run in layout.runs(example, limit) for s in run.stretches]


@given(texts.texts, st.lists(st.integers(0, 30), min_size=2, max_size=4))
def test_nothing_is_lost_and_no_character_torn(text, cuts):
    edges = [0, *sorted(cuts)]
    tokens = [(a, b, n % 2 == 0, 0) for n, (a, b) in enumerate(zip(edges, edges[1:], strict=False))]
    example = make(text, tokens)
    stretches = [text for text, _ in shown(example)]
    assert "".join(stretches) == layout.visible(example.text.text)
    for stretch in stretches[1:]:
        assert not unicodedata.category(stretch[0]).startswith("M")
    lines = layout.lines(layout.runs(example, 1000))
    joined = "\n".join("".join(s.text for run in line for s in run.stretches) for line in lines)
    assert joined == "".join(stretches)


def test_replaced_words_and_loss():
    # The loss begins at the vowel sign of चाय: it is shown after its letter and the sign.
    example = make("A tea\x1b!", [(0, 3, False, 0), (3, 7, True, 0)])
    looks = [
        (s.text, run.source, s.loss) for run in layout.runs(example, 99) for s in run.stretches
    ]
    assert looks == [
        ("A ", None, False),
        ("चा", "tea", False),
        ("य", "tea", True),
        ("␛!", None, True),
    ]


def test_template_words_that_were_replaced_are_no_template():
    roles = [Span(0, 7, "template"), Span(7, 12, "input")]
    example = make("A tea: water", [(0, 99, False, 0)], roles=roles)
    looks = [(s.text, s.is_template) for run in layout.runs(example, 99) for s in run.stretches]
    assert looks == [("A ", True), ("चाय", False), (": ", True), ("น้ำ", False)]


def test_what_was_cut_is_marked_but_not_in_a_dropped_example():
    kept = make("abcd", [(0, 2, False, 0), (2, 4, False, None)])
    dropped = make("abcd", [(0, 4, False, None)], rows=0)
    for example, expected in ((kept, [("ab", False), ("cd", True)]), (dropped, [("abcd", False)])):
        [run] = layout.runs(example, 99)
        assert [(s.text, s.cut) for s in run.stretches] == expected


def test_chips():
    tokens = [(0, 0, False, 0), (0, 1, False, 0), (1, 2, True, 0), (1, 2, True, 0), (2, 2, True, 0)]
    got = list(layout.chips(make("a\n", tokens), 1000, bos_id=3))
    expected = [("BOS", (3,)), ("a", (4,)), ("⏎", (5, 6)), ("EOS", (7,))]
    assert [(chip.text, chip.ids) for chip in got] == expected
    assert [chip.is_special for chip in got] == [True, False, False, True]
    assert [chip.loss for chip in got] == [False, False, True, True]


def test_only_so_many_characters_are_shown():
    example = make("a b c d", [(0, 2, False, 0), (2, 7, False, 0)])
    assert shown(example, 2) == [("a ", None)]
    assert len(list(layout.chips(example, 2, bos_id=0))) == 1


@pytest.mark.parametrize("row_length, whole", [(None, 4), (3, 4), (8, 8)])
def test_bar(row_length, whole):
    example = make(
        "abcd", [(0, 1, False, 0), (1, 2, False, None), (2, 3, True, 0), (3, 4, True, 0)]
    )
    assert list(layout.bar(example, row_length)) == [
        ("", 1 / whole),
        ("cut", 1 / whole),
        ("loss", 2 / whole),
    ]


@pytest.mark.parametrize(
    "text, place, begins",
    [
        ("ab", 1, True),
        ("का", 1, False),  # a vowel sign
        ("क्ष", 2, False),  # joined by a virama
        ("क् ", 2, True),
        ("น้", 1, False),  # a tone mark
        ("👩\u200d👧", 2, False),
    ],
)
def test_clusters(text, place, begins):
    assert layout.begins_cluster(text, place) == begins
