import dataclasses
import functools
import itertools
import json

import gin
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny
from small_llama import CONFIG, init

from commit_t5x import cli
from commit_t5x.data import pair_features
from commit_t5x.engine.hidden_state_distance import METRIC, HiddenStateDistance
from commit_t5x.engine.trainer import Trainer
from commit_t5x.errors import InputError
from commit_t5x.model import llama
from commit_t5x.model.hidden_states import hidden_states

MODULE = llama.Llama(CONFIG, scan_layers=False)
KINDS = ("l2", "avgdist", "cos")
ROWS, LENGTH = 3, 10


@functools.cache
def params():
    return init(MODULE)


@functools.cache
def batch(segments=True):
    """Rows of pairs with padding, and tokens of no unit; the last row has no unit at all."""
    rng = np.random.default_rng(0)
    found = tiny.batch(ROWS, LENGTH)
    for side, used in ((pair_features.PLAIN, (7, 10, 4)), (pair_features.MIXED, (10, 8, 6))):
        inside = np.arange(LENGTH) < np.array(used)[:, None]
        units = np.sort(rng.integers(1, 6, (ROWS, LENGTH)), axis=1)
        units *= (rng.random((ROWS, LENGTH)) < 0.8) * np.array([1, 1, 0])[:, None]
        found[f"{side}_tokens"] = rng.integers(1, CONFIG.vocab_size, (ROWS, LENGTH)) * inside
        found[f"{side}_units"] = units * inside
        if segments:
            found[f"{side}_segment_ids"] = (1 + (np.arange(LENGTH) > 4)) * inside
    return found


@functools.cache
def states(segments):
    """The states of the plain rows and of the mixed ones, as NumPy has them."""

    def of(side):
        features = batch(segments)
        arguments = features[f"{side}_tokens"], features.get(f"{side}_segment_ids")
        return np.asarray(
            hidden_states(MODULE, params(), *map(_array, arguments), last=3), np.float64
        )

    return of(pair_features.PLAIN), of(pair_features.MIXED)


def _array(values):
    return None if values is None else jnp.asarray(values)


def of_positions(kind, plain, mixed):
    """One state's distance as REFERENCE has it: [rows, length, embed] each."""
    if kind == "l2":
        return np.sqrt(np.mean((plain - mixed) ** 2))
    if kind == "avgdist":
        return np.sqrt(np.mean((plain.mean((0, 1)) - mixed.mean((0, 1))) ** 2))
    pairs = zip(plain.mean(1), mixed.mean(1), strict=True)
    return -np.mean([a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in pairs])


def of_words(kind, plain, mixed):
    """The same of the mean states of the units that both sides have, by loops."""
    sides = [batch()[f"{side}_units"] for side in pair_features.SIDES]
    rows = []
    for row in range(ROWS):
        common = sorted(({*sides[0][row]} & {*sides[1][row]}) - {0})
        means = [
            [state[row][units[row] == unit].mean(0) for unit in common]
            for state, units in zip((plain, mixed), sides, strict=True)
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
    def found(params, batch):
        return [
            HiddenStateDistance(kind, start, end, places=places)(MODULE, params, batch)
            for kind, places in cases
        ]

    for (kind, places), distance in zip(cases, found(params(), batch(segments)), strict=True):
        pairs = zip(*(side[start : end + 1] for side in states(segments)), strict=True)
        expected = sum(options[places](kind, *pair) for pair in pairs)
        assert float(distance) == pytest.approx(expected, rel=1e-6, abs=1e-6), (kind, places)


def test_the_weighted_distance_is_added_to_the_cross_entropy():
    distance = HiddenStateDistance("l2", end=1, weight=0.3)
    model = tiny.model(MODULE, hidden_state_distance=distance)

    @jax.jit
    def values(params):
        def of(function):
            return jax.value_and_grad(function, has_aux=True)(params, batch())

        alone = of(lambda params, batch: (distance(MODULE, params, batch), None))
        return of(model.loss_fn), of(model.cross_entropy), alone

    ((loss, sums), grads), ((entropy, _), of_entropy), ((found, _), of_distance) = values(params())
    assert float(loss) == float(sums["loss"]) == pytest.approx(float(entropy + 0.3 * found))
    assert float(sums[METRIC]) == pytest.approx(float(found))
    jax.tree.map(
        lambda both, a, b: np.testing.assert_allclose(both, a + 0.3 * b, rtol=1e-3, atol=1e-5),
        *(grads, of_entropy, of_distance),
    )


def same_on_both_sides():
    names = [name for name in batch() if name.startswith("pair_")]
    return {name: batch()[name.replace("mixed", "plain")] for name in names}


def test_dropout_falls_on_both_sides():
    module = dataclasses.replace(MODULE, embedding_dropout_rate=0.2)
    distance = jax.jit(functools.partial(HiddenStateDistance("l2", end=0), module, params()))
    assert distance(same_on_both_sides()) == 0
    assert distance(same_on_both_sides(), jax.random.PRNGKey(0)) > 0.1


def test_equal_sides_have_finite_gradients():
    distances = [HiddenStateDistance(kind, end=0) for kind in KINDS]

    @jax.jit
    def values(params):
        arguments = params, same_on_both_sides()
        return [jax.value_and_grad(d, argnums=1)(MODULE, *arguments) for d in distances]

    for kind, (found, grads) in zip(KINDS, values(params()), strict=True):
        assert float(found) == pytest.approx(-1 if kind == "cos" else 0, abs=1e-6)
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(grads))


def test_off_the_loss_is_the_cross_entropy_and_nothing_more():
    off = tiny.model(MODULE)
    plain = tiny.batch(ROWS, LENGTH)
    assert str(jax.make_jaxpr(off.loss_fn)(params(), plain)) == str(
        jax.make_jaxpr(off.cross_entropy)(params(), plain)
    )


def test_what_cannot_be_compared_is_refused():
    model = tiny.model(MODULE, hidden_state_distance=HiddenStateDistance("l2", end=3))
    with pytest.raises(InputError, match="HIDDEN_STATE_START: 3 is above HIDDEN_STATE_END, 2"):
        HiddenStateDistance("l2", 3, 2)
    with pytest.raises(InputError, match="HIDDEN_STATE_END: 4 is above the network's 3 layers"):
        tiny.model(MODULE, hidden_state_distance=HiddenStateDistance("l2", end=4))
    with pytest.raises(InputError, match="HIDDEN_STATE_DISTANCE: 'l2' compares pairs, which"):
        model.loss_fn(params(), tiny.batch())
    with pytest.raises(InputError, match="MIXTURE_OR_TASK_NAME: this task has pairs, and nothing"):
        tiny.model(MODULE).loss_fn(params(), batch())
    with pytest.raises(InputError, match="NUM_MICROBATCHES: 2 parts of a batch have other"):
        Trainer(model, tiny.partitioner(), {}, num_microbatches=2)


FLAGS = {
    "LANGUAGE": "hi",
    **dict.fromkeys(("DICT_DIR", "ALPACA_PATH", "TOKENIZER"), "samples"),
    "HIDDEN_STATE_END": 1,
    **{"INITIAL_CHECKPOINT_PATH": None, "VOCAB_SIZE": 3072, "NUM_PARTITIONS": 1},
    **{"NUM_LAYERS": 1, "EMBED_DIM": 16, "MLP_DIM": 16, "NUM_HEADS": 2, "REMAT_POLICY": "none"},
    **{"BATCH_SIZE": 2, "SEQUENCE_LENGTH": 48, "TRAIN_STEPS": 2, "WARMUP_STEPS": 0},
}


def run(model_dir, *files, **macros):
    macros = {"MODEL_DIR": str(model_dir), **FLAGS, **macros}
    gin.clear_config()
    return cli.main(
        [
            "train",
            *(f"--gin_file={name}" for name in (*files, "models/debug.gin")),
            *(f"--gin.{name}={value!r}" for name, value in macros.items()),
        ]
    )


def lines(model_dir):
    return [json.loads(line) for line in (model_dir / "metrics.jsonl").read_text().splitlines()]


def test_a_run_writes_the_distance_and_notices_another(tmp_path, capsys):
    assert run(tmp_path, "hidden_states/l2.gin", HIDDEN_STATE_WEIGHT=0.5) == 0
    first, second = lines(tmp_path)
    assert 0 < second[METRIC] != first[METRIC] > 0
    assert first["loss"] > 0.5 * first[METRIC] + 5  # a cross entropy of about log(3072)
    capsys.readouterr()
    assert run(tmp_path, "hidden_states/cos.gin", HIDDEN_STATE_WEIGHT=0.5) == 0
    note = "Without effect, as it was trained with others: HIDDEN_STATE_DISTANCE"
    assert note in capsys.readouterr().out


@pytest.mark.parametrize(
    "files, macros, message",
    [
        (["main_results/alpaca.gin"], {"HIDDEN_STATE_DISTANCE": "l2"}, "'l2' compares pairs"),
        (["hidden_states/cos.gin"], {"HIDDEN_STATE_DISTANCE": None}, "this task has pairs, and"),
        (["hidden_states/cos.gin"], {"NUM_MICROBATCHES": 2}, "NUM_MICROBATCHES: 2 parts"),
        (["hidden_states/cos.gin"], {"HIDDEN_STATE_WEIGHT": -1.0}, "HIDDEN_STATE_WEIGHT: -1.0 doe"),
        (["hidden_states/cos.gin"], {"HIDDEN_STATE_END": 2}, "above the network's 1 layers"),
    ],
)
def test_a_run_that_cannot_compare_ends_before_it_begins(files, macros, message, tmp_path, capsys):
    macros = macros if "alpaca" not in files[0] else {**macros, "LANGUAGE": None, "DICT_DIR": None}
    assert run(tmp_path / "out", *files, **macros) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
