import jax
import numpy as np
import pytest
from small_llama import CONFIG, weights

from commit_t5x.conversion import hf, rules
from commit_t5x.conversion.rules import Entry, Rule
from commit_t5x.errors import InputError

TABLE = hf.RULES


def without(suffix):
    return [rule for rule in TABLE if not rule.native.endswith(suffix)]


def part(leaves, entry):
    leaf = leaves[entry.path]
    return leaf if entry.index is None else leaf[entry.index]


def test_every_weight_goes_out_and_comes_back():
    params = weights()
    leaves = rules.flatten(params)
    entries = rules.plan(TABLE, CONFIG)
    assert len({entry.foreign for entry in entries}) == len(entries) == 3 + 9 * CONFIG.num_layers
    foreign = {entry.foreign: entry.to_foreign(part(leaves, entry)) for entry in entries}
    assert {entry.foreign: entry.shape for entry in entries} == {
        name: tensor.shape for name, tensor in foreign.items()
    }
    back = {path: np.full(leaf.shape, np.nan, np.float32) for path, leaf in leaves.items()}
    for entry in entries:
        part(back, entry)[...] = entry.to_native(foreign[entry.foreign])
    jax.tree.map(np.testing.assert_array_equal, rules.unflatten(back), params)


def test_table_must_cover_each_weight_once():
    with pytest.raises(InputError, match="without a rule: layers/mlp/wo/kernel"):
        rules.plan(without("wo/kernel"), CONFIG)
    twice = [*TABLE, Rule("decoder_norm/scale", "model.other_norm.weight")]
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
