import numpy as np
import pytest
from small_llama import CONFIG

from commit_t5x.conversion import hf, rules
from commit_t5x.conversion.rules import Entry, Rule
from commit_t5x.errors import InputError


def test_table_must_cover_each_weight_once():
    without = [rule for rule in hf.RULES if not rule.native.endswith("wo/kernel")]
    with pytest.raises(InputError, match="without a rule: layers/mlp/wo/kernel"):
        rules.plan(without, CONFIG)
    twice = [*hf.RULES, Rule("decoder_norm/scale", "model.other_norm.weight")]
    with pytest.raises(InputError, match="with two: decoder_norm/scale"):
        rules.plan(twice, CONFIG)


def test_long_lists_are_cut():
    assert rules.listed([]) == "none"
    assert rules.listed(["a", "b"]) == "a, b"
    assert rules.listed([str(i) for i in range(25)]).endswith("19 and 5 more")


@pytest.mark.parametrize("transposed", [True, False])
def test_rotary_pairs(transposed):
    entry = Entry("q", None, "q", transposed, head_dim=4, shape=(8, 3))
    halves = np.array([["a0", "a1", "b0", "b1", "c0", "c1", "d0", "d1"]] * 3)  # two heads
    neighbours = np.array([["a0", "b0", "a1", "b1", "c0", "d0", "c1", "d1"]] * 3)
    theirs = neighbours.T if transposed else neighbours
    np.testing.assert_array_equal(entry.to_native(theirs), halves)
    np.testing.assert_array_equal(entry.to_foreign(halves), theirs)
