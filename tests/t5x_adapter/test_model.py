"""The losses, scores and answers of T5X's model over this project's network."""

import functools
import typing

import jax
import jax.numpy as jnp
import needs_t5x  # noqa: F401
import numpy as np
import pytest
import tiny
from jax.sharding import PartitionSpec
from small_llama import CONFIG, apply, init, random_tokens
from t5x import decoding, optimizers, trainer
from t5x import models as t5x_models
from trees import assert_close

from commit_t5x.data import pair_features
from commit_t5x.engine import decoding as engine_decoding
from commit_t5x.engine import losses, models
from commit_t5x.errors import InputError
from commit_t5x.model import llama, new_rows, optim
from commit_t5x.model.hidden_state_distance import HiddenStateDistance
from commit_t5x.t5x_adapter import adapter

pytestmark = pytest.mark.t5x
MODULE = llama.Llama(CONFIG)
LENGTH = 24


@functools.cache
def params():
    return init(MODULE)


def batch(rows=4):
    """Rows with two segments, padding, and different numbers of loss-bearing tokens."""
    rng = np.random.default_rng(0)
    targets = rng.integers(3, CONFIG.vocab_size, (rows, LENGTH)).astype(np.int32)
    targets[:, 20:] = 0
    segments = np.where(np.arange(LENGTH) < 9, 1, 2) * (targets != 0)
    places = np.arange(LENGTH)
    inputs = np.pad(targets, [(0, 0), (1, 0)])[:, :-1]
    inputs[:, [0, 9]] = 1
    bearing = (places >= np.linspace(1, 19, rows).astype(int)[:, None]) & (targets != 0)
    return {
        "decoder_target_tokens": targets,
        "decoder_input_tokens": inputs,
        "decoder_loss_weights": bearing.astype(np.int32),
        "decoder_segment_ids": segments.astype(np.int32),
        "decoder_positions": np.broadcast_to(np.where(places < 9, places, places - 9), (rows, 24)),
    }


def prompts():
    """A batch for answers: prompts of 4 and 6 tokens, room for 8 more."""
    tokens = np.asarray(random_tokens(1, batch=2, length=14, vocab_size=61)).copy()
    tokens = np.maximum(tokens, 3)
    prefix = np.array([4, 6])[:, None]
    tokens = np.where(np.arange(14) < prefix, tokens, 0)
    inputs = np.pad(tokens, [(0, 0), (1, 0)], constant_values=1)[:, :-1]
    return {
        "decoder_target_tokens": tokens,
        "decoder_input_tokens": inputs,
        "decoder_loss_weights": np.zeros_like(tokens),
        "decoder_causal_attention": (np.arange(14) <= prefix).astype(np.int32),
    }


def gradients(model):
    return jax.jit(jax.value_and_grad(model.loss_fn, has_aux=True))


def plain(**options):
    return t5x_models.DecoderOnlyModel(MODULE, tiny.VOCABULARY, None, **options)


@pytest.mark.parametrize("factor", typing.get_args(losses.NormalizingFactor))
def test_loss_and_metrics_are_the_native_engines(factor):
    options = {"loss_normalizing_factor": factor, "z_loss": 1e-3, "loss_chunk_length": 7}
    native = models.DecoderOnlyModel(MODULE, tiny.VOCABULARY, **options)
    model = adapter.DecoderOnlyModel(MODULE, tiny.VOCABULARY, **options)
    loss, metrics = model.loss_fn(params(), batch(), None)
    expected, sums = native.loss_fn(params(), batch())
    assert loss == expected
    assert metrics["loss"].compute() == expected
    assert metrics["z_loss"].compute() == sums["z_loss"]
    assert metrics["accuracy"].compute() == sums["correct"] / sums["loss_tokens"]
    assert metrics["loss_tokens"].compute() == batch()["decoder_loss_weights"].sum()


def test_evaluation_leaves_filling_rows_out():
    model = adapter.DecoderOnlyModel(MODULE, tiny.VOCABULARY)
    filled = jax.tree.map(lambda x: np.pad(x, [(0, 2), (0, 0)]), batch())
    loss, metrics = model.eval_fn(params(), filled)
    assert loss == pytest.approx(float(model.loss_fn(params(), batch(), None)[0]), rel=1e-6)
    assert metrics["loss"].compute() == loss


@pytest.mark.parametrize("factor", typing.get_args(losses.NormalizingFactor))
def test_microbatches_leave_the_gradients(factor):
    model = adapter.DecoderOnlyModel(
        MODULE, tiny.VOCABULARY, optim.adamw(1e-3), loss_normalizing_factor=factor
    )
    (loss, _), expected = gradients(model)(params(), batch(), None)

    class State:
        params = params()
        flax_mutables = {}

    @jax.jit
    def accumulate():
        whole = model.with_denominator(batch())
        return trainer.accumulate_grads_microbatched(
            model, State, whole, jax.random.key(0), 2, None
        )[:2]

    grads, sums = accumulate()
    assert_close(grads, expected, rtol=1e-3, atol=1e-5)
    assert sums["loss"].replace_steps(1).compute() == pytest.approx(float(loss), rel=1e-6)


def test_t5x_own_model_trains_the_network():
    model = plain(loss_normalizing_factor="NUM_REAL_TARGET_TOKENS")
    native = models.DecoderOnlyModel(
        MODULE, tiny.VOCABULARY, loss_normalizing_factor=losses.NUM_REAL_TARGET_TOKENS
    )
    variables = model.get_initial_variables(jax.random.key(0), {"decoder_input_tokens": (2, 8)})
    assert jax.tree.structure(dict(variables)["params"]).num_leaves == len(
        jax.tree.leaves(params())
    )
    (loss, _), grads = gradients(model)(params(), batch(), None)
    (expected, _), expected_grads = gradients(native)(params(), batch(), None)
    assert loss == pytest.approx(float(expected), rel=1e-6)
    assert_close(grads, expected_grads, rtol=1e-3, atol=1e-5)


def test_t5x_own_model_scores():
    scores = plain().score_batch(params(), batch())
    packing = {name: batch()[name] for name in ("decoder_segment_ids", "decoder_positions")}
    logits = apply(MODULE, params(), batch()["decoder_input_tokens"], **packing)
    targets = batch()["decoder_target_tokens"][..., None]
    log_probs = jnp.take_along_axis(jax.nn.log_softmax(logits), targets, -1)[..., 0]
    expected = jnp.sum(log_probs * batch()["decoder_loss_weights"], axis=-1)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def unrolled():
    return engine_decoding.unrolled(MODULE, dict(params()))  # which takes the layers out


@functools.cache
def native_answers():
    module, weights = unrolled()
    rows = [[1, *row[row != 0].tolist()] for row in prompts()["decoder_target_tokens"]]
    return engine_decoding.decode(module, weights, rows, 5, eos_id=tiny.VOCABULARY.eos_id)


@pytest.mark.parametrize("scan_layers", [True, False])
def test_t5x_own_model_answers_greedily(scan_layers):
    module, weights = MODULE, params()
    if not scan_layers:
        module, weights = unrolled()
    greedy = functools.partial(decoding.temperature_sample, temperature=0.0, max_decode_steps=4)
    model = t5x_models.DecoderOnlyModel(module, tiny.VOCABULARY, None, decode_fn=greedy)
    tokens = jax.jit(model.predict_batch)(weights, prompts())
    assert [row[row != 0].tolist() for row in np.asarray(tokens)] == native_answers()


def test_an_answer_ends_in_eos_to_the_rows_end():
    model = adapter.DecoderOnlyModel(
        MODULE, tiny.VOCABULARY, decode_fn=adapter.decode_fn(max_new_tokens=5)
    )
    tokens = np.asarray(jax.jit(model.predict_batch)(params(), prompts()))
    for row, answer in zip(tokens.tolist(), native_answers(), strict=True):
        assert row == answer + [2] * (len(row) - len(answer))


def test_sampling_depends_on_the_seed():
    def answers(**options):
        sampled = adapter.decode_fn(temperature=5.0, max_new_tokens=5, **options)
        model = adapter.DecoderOnlyModel(MODULE, tiny.VOCABULARY, decode_fn=sampled)
        tokens = jax.jit(model.predict_batch)(params(), prompts(), jax.random.PRNGKey(3))
        return [row[:5] for row in np.asarray(tokens).tolist()]

    assert answers() != answers(seed=1)
    assert answers(top_k=1) == native_answers()  # the likeliest, whatever is drawn


def test_options_that_t5x_cannot_combine():
    with pytest.raises(InputError, match="T5X takes one of the two"):
        adapter.decode_fn(temperature=1.0, top_k=3, top_p=0.5)
    with pytest.raises(InputError, match="temperature: -1 doesn't fit"):
        adapter.decode_fn(temperature=-1)


def test_new_rows_alone(tmp_path):
    (tmp_path / new_rows.FILE).write_text('{"old_tokens": 2}')
    optimizer = new_rows.first(optim.adamw(0.1), 1, str(tmp_path))
    wrapped = optimizers.OptaxWrapper(optimizer)
    table = {"token_embedder": {"embedding": jnp.ones((3, 4))}}
    made = wrapped.create(table)
    axes = {"token_embedder": {"embedding": PartitionSpec("vocab", "embed")}}
    assert wrapped.derive_logical_axes(made, axes).target == axes
    params, state = wrapped.apply_gradient(None, table, made.state, table)
    moved = params["token_embedder"]["embedding"] != 1
    np.testing.assert_array_equal(moved.all(axis=1), [False, False, True])
    params, _ = wrapped.apply_gradient(None, table, state, table)
    assert np.all(params["token_embedder"]["embedding"] != 1)


def test_hidden_states_are_compared_as_in_the_native_engine():
    options = {"hidden_state_distance": HiddenStateDistance("l2", end=2, weight=0.3)}
    rng = np.random.default_rng(1)
    pairs = {name: rng.integers(1, 9, (4, LENGTH)) for name in pair_features.TASK_FEATURES}
    whole = batch() | pairs
    native = models.DecoderOnlyModel(MODULE, tiny.VOCABULARY, **options)
    model = adapter.DecoderOnlyModel(MODULE, tiny.VOCABULARY, optim.adamw(1e-3), **options)
    loss, metrics = jax.jit(model.loss_fn)(params(), model.with_denominator(whole), None)
    expected, sums = jax.jit(native.loss_fn)(params(), whole)
    assert loss == metrics["loss"].compute() == pytest.approx(float(expected), rel=1e-6)
    distance = sums["hidden_state_distance"]
    assert metrics["hidden_state_distance"].compute() == pytest.approx(float(distance), rel=1e-6)
    evaluated, _ = jax.jit(model.eval_fn)(params(), whole)
    assert float(evaluated) == pytest.approx(float(expected - 0.3 * distance), rel=1e-5)
    with pytest.raises(InputError, match="NUM_MICROBATCHES: 2 parts of a batch have other"):
        adapter.Trainer(2, model=model)
