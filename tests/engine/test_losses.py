import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny

from commit_t5x.engine import losses


def _naive(logits, batch, factor, z_loss):
    """Loss and accuracy, one token at a time."""
    rows, correct, count = [], 0, 0
    for row, targets, weights in zip(
        logits, batch["decoder_target_tokens"], batch["decoder_loss_weights"], strict=True
    ):
        tokens = []
        for scores, target, weight in zip(row, targets, weights, strict=True):
            if weight:
                log_z = np.log(np.sum(np.exp(scores)))
                tokens.append(log_z - scores[target] + z_loss * log_z**2)
                correct += np.argmax(scores) == target
                count += 1
        rows.append(tokens)
    if factor == losses.AVERAGE_PER_SEQUENCE:
        loss = sum(sum(tokens) / len(tokens) for tokens in rows if tokens) / len(rows)
    else:
        loss = sum(map(sum, rows)) / count
    return loss, correct, count


@pytest.mark.parametrize("factor", typing.get_args(losses.NormalizingFactor))
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
def test_loss_against_naive(factor, z_loss):
    batch = tiny.batch()
    model = tiny.model(loss_normalizing_factor=factor, z_loss=z_loss)
    params = jax.jit(model.get_initial_variables)(jax.random.PRNGKey(0))["params"]
    tokens = batch["decoder_input_tokens"]
    logits = np.float64(model.module.apply({"params": params}, tokens, None, enable_dropout=False))
    loss, sums = jax.jit(model.loss_fn)(params, batch)
    expected, correct, count = _naive(logits, batch, factor, z_loss)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert (sums["correct"], sums["loss_tokens"]) == (correct, count)
    assert sums["tokens"] == batch["decoder_target_tokens"].size
    assert (sums["z_loss"] > 0) == (z_loss > 0)


def test_a_row_without_loss_tokens_counts_0():
    weights = losses.token_weights(jnp.array([[0, 1, 1], [0, 0, 0]]), losses.AVERAGE_PER_SEQUENCE)
    assert weights.tolist() == [[0.0, 0.5, 0.5], [0.0, 0.0, 0.0]]
    batch = {"decoder_loss_weights": jnp.array([[0, 1, 1], [0, 0, 0]])}
    assert losses.denominator(batch, losses.AVERAGE_PER_SEQUENCE) == 2


def test_a_batch_without_loss_tokens_has_loss_0():
    batch = tiny.batch() | {"decoder_loss_weights": np.zeros((8, tiny.LENGTH), np.int32)}
    for factor in typing.get_args(losses.NormalizingFactor):
        model = tiny.model(loss_normalizing_factor=factor)
        params = jax.jit(model.get_initial_variables)(jax.random.PRNGKey(0))["params"]
        assert jax.jit(model.loss_fn)(params, batch)[0] == 0.0
