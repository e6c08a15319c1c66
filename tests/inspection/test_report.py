import pytest

from commit_t5x.inspection import texts
from commit_t5x.inspection.examples import Example, Token
from commit_t5x.inspection.report import Tally
from commit_t5x.mixing.mixer import Piece


def example(mixer, text, tokens):
    """An example whose tokens are (loss, row)."""
    parts = texts.mix(mixer, text, [(0, "text")], (0, 0), 1.0)
    rows = {row for _, row in tokens if row is not None}
    tokens = tuple(Token(0, 0, 0, loss, row) for loss, row in tokens)
    return Example(0, texts.Text(tuple(parts)), tokens, len(rows), True, 8, 10)


@pytest.fixture
def tally(mixer):
    tally = Tally()
    # Seven words; in Hindi: tea, hot milk; 2 is of no language, radio stays.
    tally.add(example(mixer, "tea, a a hot milk 2 radio", [(False, 0)] * 3 + [(True, 0)]))
    tally.add(example(mixer, "Tea A A", [(True, 0)] * 3 + [(True, None)] * 4))  # cut
    tally.add(example(mixer, "tea", [(True, None)] * 9))  # dropped
    tally.add(example(mixer, "a cup", [(True, 0)] * 4 + [(True, 1)] * 2))  # split
    return tally


def test_words(tally):
    report = tally.report(row_length=4)
    assert (report.examples, report.words, report.hits) == (4, 13, 6)
    assert (report.replaced, report.unchanged) == (6, 1)
    assert report.hit_rate == report.effective_ratio == 6 / 13
    # 3 of 6, 0 of 3, 1 of 1, 1 of 2
    assert report.code_mixing_index == pytest.approx((50 + 0 + 0 + 50) / 4)
    assert report.switch_points == 3 + 0 + 0 + 1
    assert report.switch_points_per_100_words == pytest.approx(100 * 4 / 13)
    assert report.tokens_per_word_before == pytest.approx(32 / 13)
    assert report.tokens_per_word_after == pytest.approx(40 / 13)
    assert report.top_replacements[0] == ("tea", "चाय", 2)
    assert report.top_unknown == (("a", 5), ("tea", 1))


def test_tokens_and_fates(tally):
    report = tally.report(row_length=4)
    assert (report.over, report.cut, report.dropped, report.split) == (3, 1, 1, 1)
    assert report.tokens == 4 + 3 + 6
    assert report.loss_share == (1 + 3 + 6) / 13
    assert (report.length_median, report.length_p95, report.length_longest) == (7, 9, 9)
    assert tally.report(row_length=None).over == 0


def test_packing(tally):
    report = tally.report(4, row_fill=0.9, examples_per_row=1.6, batch_size=16)
    assert (report.examples_per_row, report.examples_per_step) == (1.6, 25.6)
    assert report.row_fill == 0.9
    assert tally.report(4).examples_per_step is None


def test_a_report_without_words():
    tally = Tally()
    tally.add(Example(0, texts.Text(()), (), 1, False, 0, 0))
    report = tally.report(8)
    assert (report.hit_rate, report.loss_share, report.code_mixing_index) == (0, 0, 0)


@pytest.mark.parametrize(
    "text, index, switches",
    [("a", 0, 0), ("tea", 0, 0), ("a tea", 50, 1), ("tea a 2 a tea a", 40, 3)],
)
def test_measures_of_mixing(mixer, text, index, switches):
    tally = Tally()
    tally.add(example(mixer, text, [(True, 0)]))
    report = tally.report(8)
    assert report.code_mixing_index == pytest.approx(index)
    assert report.switch_points == switches


@pytest.mark.parametrize(
    "response, tokens, counts",
    [
        (" Rye", [(7, 0, 4), (8, 4, 8), (9, 8, 10), (7, 10, 14)], (1, 0)),
        ("Rye", [(7, 0, 4), (8, 4, 8), (9, 8, 11), (5, 11, 13)], (1, 1)),
        (" Oat", [(7, 0, 4), (8, 4, 8), (9, 8, 10), (6, 10, 14)], (0, 0)),
    ],
)
def test_first_words_that_the_prompt_spells_otherwise(response, tokens, counts):
    parts = [
        texts.Part(Piece(text, text), role, mixable=False)
        for text, role in ((" Rye is", "input"), ("\n#:", "template"), (response, "output"))
    ]
    tally = Tally()
    tokens = tuple(Token(id_, start, end, True, 0) for id_, start, end in tokens)
    tally.add(Example(0, texts.Text(tuple(parts)), tokens, 1, False, 0, 0))
    report = tally.report(8)
    assert (report.copied, report.copied_otherwise) == counts
