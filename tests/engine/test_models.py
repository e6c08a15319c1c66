import functools
import json

import gin
import jax
import numpy as np
import pytest
import small_llama
import tiny
from trees import assert_close

from commit_t5x import cli
from commit_t5x.data import pair_features
from commit_t5x.errors import InputError
from commit_t5x.model import llama
from commit_t5x.model.hidden_state_distance import HiddenStateDistance


@pytest.mark.parametrize("packed", [True, False])
def test_tokens_of_id_0_count_and_padding_does_not(packed):
    batch = {
        "decoder_target_tokens": np.array([[0, 5, 0, 2, 0, 0], [7, 0, 0, 0, 0, 0]], np.int32),
        "decoder_loss_weights": np.array([[0, 0, 1, 1, 0, 0], [0, 0, 1, 0, 0, 0]], np.int32),
    }
    batch["decoder_input_tokens"] = np.roll(batch["decoder_target_tokens"], 1, axis=1)
    if packed:
        batch["decoder_segment_ids"] = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0]], np.int32)
    model = tiny.model()
    params = jax.jit(model.get_initial_variables)(jax.random.PRNGKey(0))["params"]
    assert jax.jit(model.loss_fn)(params, batch)[1]["tokens"] == 4 + 3


NETWORK = llama.Llama(small_llama.CONFIG, scan_layers=False)
DISTANCE = HiddenStateDistance("l2", end=1, weight=0.3)


@functools.cache
def params():
    return small_llama.init(NETWORK)


@functools.cache
def batch():
    """A batch with rows of pairs."""
    rng = np.random.default_rng(0)
    found = tiny.batch(3, 10)
    shape = found["decoder_target_tokens"].shape
    pairs = {name: rng.integers(1, 10, shape) for name in pair_features.TASK_FEATURES}
    return found | pairs


def test_the_weighted_distance_is_added_to_the_cross_entropy():
    model = tiny.model(NETWORK, hidden_state_distance=DISTANCE)
    sides = [pair_features.of_side(batch(), side) for side in pair_features.SIDES]

    @jax.jit
    def values(params):
        def of(function):
            return jax.value_and_grad(function, has_aux=True)(params, batch())

        alone = of(lambda params, batch: (DISTANCE(NETWORK, params, *sides), None))
        return of(model.loss_fn), of(model.cross_entropy), alone

    ((loss, sums), grads), ((entropy, _), of_entropy), ((found, _), of_distance) = values(params())
    assert float(loss) == float(sums["loss"]) == pytest.approx(float(entropy + 0.3 * found))
    assert float(sums["hidden_state_distance"]) == pytest.approx(float(found))
    expected = jax.tree.map(lambda a, b: a + 0.3 * b, of_entropy, of_distance)
    assert_close(grads, expected, rtol=1e-3, atol=1e-5)


def test_off_the_loss_is_the_cross_entropy_and_nothing_more():
    off = tiny.model(NETWORK)
    plain = tiny.batch()
    assert str(jax.make_jaxpr(off.loss_fn)(params(), plain)) == str(
        jax.make_jaxpr(off.cross_entropy)(params(), plain)
    )


def test_what_cannot_be_compared_is_refused():
    model = tiny.model(NETWORK, hidden_state_distance=DISTANCE)
    with pytest.raises(InputError, match="HIDDEN_STATE_DISTANCE: 'l2' compares pairs, which"):
        model.loss_fn(params(), tiny.batch())
    with pytest.raises(InputError, match="MIXTURE_OR_TASK_NAME: this task has pairs, and nothing"):
        tiny.model(NETWORK).loss_fn(params(), batch())


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


@pytest.mark.slow
def test_a_run_writes_the_distance_and_notices_another(tmp_path, capsys):
    assert run(tmp_path, "hidden_states/l2.gin", HIDDEN_STATE_WEIGHT=0.5) == 0
    first, second = lines(tmp_path)
    assert 0 < second["hidden_state_distance"] != first["hidden_state_distance"] > 0
    entropy = first["loss"] - 0.5 * first["hidden_state_distance"]
    assert entropy == pytest.approx(np.log(3072), rel=0.1)
    capsys.readouterr()
    assert run(tmp_path, "hidden_states/cos.gin", HIDDEN_STATE_WEIGHT=0.5) == 0
    assert "HIDDEN_STATE_DISTANCE = 'cos' (was 'l2')" in capsys.readouterr().out


@pytest.mark.parametrize(
    "files, macros, message",
    [
        pytest.param(
            *(["main_results/alpaca.gin"], {"HIDDEN_STATE_DISTANCE": "l2"}, "'l2' compares pairs"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *(["hidden_states/cos.gin"], {"HIDDEN_STATE_DISTANCE": None}, "this task has pairs"),
            marks=pytest.mark.slow,
        ),
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
