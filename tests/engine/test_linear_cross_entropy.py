"""The fused head and loss against the same by whole logits and automatic differentiation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_llama import CONFIG, init, random_tokens
from trees import assert_close

from commit_t5x.engine import losses
from commit_t5x.engine.linear_cross_entropy import linear_cross_entropy
from commit_t5x.model import llama

BATCH, LENGTH, WIDTH, VOCAB = 3, 10, 8, 17


def inputs(dtype=np.float32):
    rng = np.random.default_rng(0)
    hidden = jnp.asarray(rng.normal(size=(BATCH, LENGTH, WIDTH)), dtype)
    kernel = jnp.asarray(rng.normal(size=(WIDTH, VOCAB)), jnp.float32)
    targets = jnp.asarray(rng.integers(0, VOCAB, (BATCH, LENGTH)))
    weights = jnp.asarray(rng.random((BATCH, LENGTH)) * (rng.random((BATCH, LENGTH)) < 0.7))
    return hidden, kernel, targets, weights.astype(jnp.float32)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
def by_autodiff(hidden, kernel, targets, weights, z_loss):
    logits = hidden.astype(jnp.float32) @ kernel
    log_z = jnp.log(jnp.sum(jnp.exp(logits), axis=-1))
    chosen = jnp.sum(logits * jax.nn.one_hot(targets, VOCAB), axis=-1)
    loss = jnp.sum(weights * (log_z - chosen + z_loss * log_z**2))
    correct = jnp.sum((jnp.argmax(logits, axis=-1) == targets) & (weights > 0))
    return loss, (jnp.sum(weights * z_loss * log_z**2), correct)


@pytest.mark.parametrize("z_loss", [0.0, 0.1])
@pytest.mark.parametrize("chunk_length", [None, 4, 5, 99])
def test_sums_and_gradients(chunk_length, z_loss):
    hidden, kernel, targets, weights = inputs()
    (loss, others), grads = by_autodiff(hidden, kernel, targets, weights, z_loss)

    def tripled(hidden, kernel):  # what comes after the loss reaches its gradients
        sums = linear_cross_entropy(hidden, kernel, targets, weights, z_loss, chunk_length)
        return 3 * sums[0], sums

    gradients = jax.jit(jax.value_and_grad(tripled, argnums=(0, 1), has_aux=True))
    (_, actual), actual_grads = gradients(hidden, kernel)
    not_differentiated = jax.jit(linear_cross_entropy, static_argnums=(4, 5))(
        hidden, kernel, targets, weights, z_loss, chunk_length
    )
    for sums in (actual, not_differentiated):
        np.testing.assert_allclose(sums[0], loss, rtol=1e-5)
        np.testing.assert_allclose(sums[1], others[0], rtol=1e-5)
        assert sums[2] == others[1] > 0
    for ours, expected in zip(actual_grads, grads, strict=True):
        np.testing.assert_allclose(ours / 3, expected, rtol=1e-4, atol=1e-6)


def test_half_precision_operands_and_single_precision_logits():
    hidden, kernel, targets, weights = inputs(jnp.bfloat16)
    rounded = kernel.astype(jnp.bfloat16).astype(jnp.float32)
    exact = hidden.astype(jnp.float32)
    (loss, _), expected = by_autodiff(exact, rounded, targets, weights, 0.0)

    def ours(hidden, kernel):
        return linear_cross_entropy(hidden, kernel, targets, weights, 0.0, 4)[0]

    actual, grads = jax.jit(jax.value_and_grad(ours, argnums=(0, 1)))(hidden, kernel)
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, loss, rtol=1e-5)
    assert [grad.dtype for grad in grads] == [jnp.bfloat16, jnp.float32]
    for ours, other in zip(grads, expected, strict=True):
        np.testing.assert_allclose(np.float32(ours), other, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("tied", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_is_the_networks_own_head(tied):
    config = llama.LlamaConfig(**{**vars(CONFIG), "tied_embeddings": tied})
    module = llama.Llama(config)
    params, tokens = init(module), random_tokens(1)
    targets, weights = random_tokens(2), jnp.ones(tokens.shape) / tokens.size

    def whole(params):
        logits = module.apply({"params": params}, tokens, enable_dropout=False)
        return jnp.sum(losses.cross_entropy(logits, targets)[0] * weights)

    def fused(params):
        hidden = module.apply({"params": params}, tokens, enable_dropout=False, method="hidden")
        kernel = module.apply({"params": params}, method="output_kernel")
        return linear_cross_entropy(hidden, kernel, targets, weights, 0.0, 5)[0]

    expected, expected_grads = jax.jit(jax.value_and_grad(whole))(params)
    actual, grads = jax.jit(jax.value_and_grad(fused))(params)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    assert_close(grads, expected_grads, rtol=1e-3, atol=1e-5)


def test_logits_of_the_whole_batch_never_exist():
    hidden, kernel, targets, weights = inputs()

    def loss(hidden, kernel):
        return linear_cross_entropy(hidden, kernel, targets, weights, 0.0, 2)[0]

    text = str(jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(hidden, kernel))
    assert f"f32[{BATCH},2,{VOCAB}]" in text
    assert f"f32[{BATCH},{LENGTH},{VOCAB}]" not in text and "f32[5,3,2,17]" not in text
