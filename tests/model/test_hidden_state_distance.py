import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_llama import CONFIG, init

from commit_t5x.errors import InputError
from commit_t5x.model import llama
from commit_t5x.model.hidden_state_distance import HiddenStateDistance
from commit_t5x.model.hidden_states import hidden_states

MODULE = llama.Llama(CONFIG, scan_layers=False)
KINDS = ("l2", "avgdist", "cos")
ROWS, LENGTH = 3, 10


@functools.cache
def params():
    return init(MODULE)


@functools.cache
def sides(segments=True):
    """Rows of pairs with padding, and tokens of no unit; the last row has no unit at all."""
    rng = np.random.default_rng(0)
    found = []
    for used in ((7, 10, 4), (10, 8, 6)):
        inside = np.arange(LENGTH) < np.array(used)[:, None]
        units = np.sort(rng.integers(1, 6, (ROWS, LENGTH)), axis=1)
        units *= (rng.random((ROWS, LENGTH)) < 0.8) * np.array([1, 1, 0])[:, None]
        side = {
            "tokens": rng.integers(1, CONFIG.vocab_size, (ROWS, LENGTH)) * inside,
            "units": units * inside,
        }
        if segments:
            side["segment_ids"] = (1 + (np.arange(LENGTH) > 4)) * inside
        found.append({name: jnp.asarray(values) for name, values in side.items()})
    return found


@functools.cache
def states(segments):
    """The states of the plain rows and of the mixed ones."""
    found = jax.jit(functools.partial(hidden_states, MODULE, last=3))
    return [
        np.float64(found(params(), side["tokens"], side.get("segment_ids")))
        for side in sides(segments)
    ]


def of_positions(kind, plain, mixed):
    """One state's distance as the original has it, of [rows, length, embed] each."""
    if kind == "l2":
        return np.sqrt(np.mean((plain - mixed) ** 2))
    if kind == "avgdist":
        return np.sqrt(np.mean((plain.mean((0, 1)) - mixed.mean((0, 1))) ** 2))
    pairs = zip(plain.mean(1), mixed.mean(1), strict=True)
    return -np.mean([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs])


def of_words(kind, plain, mixed):
    """The same of the mean states of the units that both sides have, by loops."""
    plain_units, mixed_units = (np.asarray(side["units"]) for side in sides())
    rows = []
    for row in range(ROWS):
        common = sorted(({*plain_units[row]} & {*mixed_units[row]}) - {0})
        means = [
            [state[row][units[row] == unit].mean(0) for unit in common]
            for state, units in ((plain, plain_units), (mixed, mixed_units))
        ]
        if common:
            rows.append(np.array(means))
    if kind == "cos":
        return np.mean([of_positions(kind, *(side[None] for side in row)) for row in rows])
    return of_positions(kind, *np.concatenate(rows, axis=1)[:, None])


@pytest.mark.parametrize("start, end, segments", [(0, 3, True), (2, 2, False)])
def test_distances_are_numpys(start, end, segments):
    options = {"positions": of_positions, "words": of_words}
    cases = list(itertools.product(KINDS, options))

    @jax.jit  # all at once, as compiling takes the time
    def found(params, plain, mixed):
        return [
            HiddenStateDistance(kind, start, end, places=places)(MODULE, params, plain, mixed)
            for kind, places in cases
        ]

    distances = found(params(), *sides(segments))
    for (kind, places), distance in zip(cases, distances, strict=True):
        pairs = zip(*(side[start : end + 1] for side in states(segments)), strict=True)
        expected = sum(options[places](kind, *pair) for pair in pairs)
        assert float(distance) == pytest.approx(expected, rel=1e-6, abs=1e-6), (kind, places)


def test_dropout_falls_on_both_sides():
    module = dataclasses.replace(MODULE, embedding_dropout_rate=0.2)
    distance = jax.jit(functools.partial(HiddenStateDistance("l2", end=0), module, params()))
    plain, _ = sides()
    assert distance(plain, plain) == 0
    assert distance(plain, plain, jax.random.PRNGKey(0)) > 0.1


def test_equal_sides_have_finite_gradients():
    distances = [HiddenStateDistance(kind, end=0) for kind in KINDS]

    @jax.jit
    def values(params):
        plain, _ = sides()
        return [jax.value_and_grad(d, 1)(MODULE, params, plain, plain) for d in distances]

    for kind, (found, grads) in zip(KINDS, values(params()), strict=True):
        assert float(found) == pytest.approx(-1 if kind == "cos" else 0, abs=1e-6)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(grads))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="HIDDEN_STATE_START: 3 is above HIDDEN_STATE_END, 2"):
        HiddenStateDistance("l2", 3, 2)
    with pytest.raises(InputError, match="HIDDEN_STATE_END: 4 is above the network's 3 layers"):
        HiddenStateDistance("l2", end=4).check_layers(3)
    with pytest.raises(InputError, match="NUM_MICROBATCHES: 2 parts of a batch have other"):
        HiddenStateDistance("l2").check_microbatches(2)
    HiddenStateDistance(end=4).check_layers(3)
    HiddenStateDistance("l2").check_microbatches(1)
