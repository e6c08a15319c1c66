import pytest

from commit_t5x.mixing import hit_rate


def test_words_are_found_as_texts_write_them():
    entries = {"tea": ("चाय",), "nai\u0308ve": ("भोला",)}
    rates = hit_rate.measure(entries, "en", ["Tea or TEA, na\xefve", "and milk चाय"])
    assert rates == (3 / 7, 1 / 7)
    assert not rates.wrong_way_round


def test_scripts_without_spaces():
    assert hit_rate.measure({"น้ำ": ("water",)}, "th", ["น้ำใส"]).sources == 0.5


@pytest.mark.parametrize("texts", [[], [""], ["..."]])
def test_texts_without_words(texts):
    rates = hit_rate.measure({"tea": ("चाय",)}, "en", texts)
    assert rates == (0, 0)
    assert not rates.wrong_way_round


def test_a_dictionary_the_wrong_way_round():
    # Names stand on both sides.
    entries = {"चाय": ("tea",), "गर्म": ("hot",), "bbc": ("bbc",)}
    rates = hit_rate.measure(entries, "en", ["BBC: hot tea"])
    assert rates == (1 / 3, 1)
    assert rates.wrong_way_round
