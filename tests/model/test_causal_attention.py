"""The attention core in blocks of queries against a plain statement without blocks."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from commit_t5x.errors import InputError
from commit_t5x.model import attention, causal_attention

DIM = 8
attend = jax.jit(causal_attention.attend, static_argnames=("is_causal", "dropout"))


def inputs(length, heads, kv_heads, dtype=jnp.float32, seed=0):
    rng = np.random.default_rng(seed)
    return [
        jnp.asarray(rng.normal(size=(2, length, count, DIM)), dtype)
        for count in (heads, kv_heads, kv_heads)
    ]


def plain(query, key, value, mask):
    result = np.zeros(query.shape, np.float64)
    groups = query.shape[2] // key.shape[2]
    mask = np.broadcast_to(mask, (query.shape[0], 1, query.shape[1], key.shape[1]))
    for row in range(query.shape[0]):
        for head in range(query.shape[2]):
            scores = np.float64(query[row, :, head]) @ np.float64(key[row, :, head // groups]).T
            scores = np.where(mask[row, 0], scores / np.sqrt(DIM), -np.inf)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            result[row, :, head] = weights @ np.float64(value[row, :, head // groups])
    return result


@pytest.mark.parametrize("heads, kv_heads", [(4, 2), (3, 1)])
@pytest.mark.parametrize("length", [1, 64, 65, 200])
def test_blocks_of_any_length(length, heads, kv_heads):
    arrays = inputs(length, heads, kv_heads)
    segments = jnp.arange(length)[None] // 70 + jnp.array([[0], [5]])
    mask = attention.decoder_mask(length, segments)
    actual = attend(*arrays, mask, is_causal=True)
    np.testing.assert_allclose(actual, plain(*arrays, mask), rtol=1e-3, atol=1e-5)


def test_softmax_is_in_fp32_whatever_the_operands_are():
    # Scores of 600 to 610: bf16 tells apart steps of 4 there, fp32 steps far below 1.
    query = jnp.full((1, 1, 1, DIM), np.sqrt(DIM), jnp.bfloat16)
    key = np.zeros((1, 3, 1, DIM), np.float32)
    key[0, :, 0, :2] = [[600, 2], [608, 0], [604, 1]]
    key = jnp.asarray(key, jnp.bfloat16)
    value = jnp.eye(3, DIM, dtype=jnp.bfloat16)[None, :, None]
    mask = jnp.ones((1, 1, 1, 3), bool)
    actual = attend(query, key, value, mask, is_causal=False)
    assert actual.dtype == jnp.bfloat16
    expected = plain(np.float32(query), np.float32(key), np.float32(value), mask)
    np.testing.assert_allclose(np.float32(actual), expected, rtol=0.02, atol=1e-4)


def test_gradients_are_those_without_blocks():
    arrays = inputs(200, 4, 2)
    mask = attention.decoder_mask(200)

    @functools.partial(jax.jit, static_argnums=1)
    @jax.grad
    def gradient(arrays, is_causal):
        return jnp.sum(jnp.sin(attend(*arrays, mask, is_causal=is_causal)))

    blocks, whole = gradient(arrays, True), gradient(arrays, False)
    for ours, expected in zip(blocks, whole, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5)


def test_dropout_is_drawn_anew_for_each_block():
    arrays = inputs(200, 2, 2)
    seen = []

    def dropout(weights):
        seen.append(weights.shape)
        return weights * 2

    mask = attention.decoder_mask(200)
    doubled = attend(*arrays, mask, is_causal=True, dropout=dropout)
    whole = attend(*arrays, mask, is_causal=True)
    np.testing.assert_allclose(doubled, 2 * whole, rtol=1e-5)
    # The work above the diagonal is left out.
    assert [shape[-2:] for shape in seen] == [(64, 64), (64, 128), (64, 192), (8, 200)]


def masks(length):
    """Yields those of recipes: packed rows, keys hidden from all queries, an open prefix."""
    segments = jnp.arange(length)[None] // 70 + jnp.array([[0], [5]])
    prefix = (jnp.arange(length) < 100).astype(jnp.int32)[None]
    packed = attention.decoder_mask(length, segments)
    yield packed, True
    yield packed & attention.forgetful_mask(jax.random.key(0), 2, length, 0.5, segments), True
    yield attention.decoder_mask(length, None, prefix), False


def test_masks_in_blocks_and_what_the_fused_kernel_is_asked_for():
    arrays = inputs(130, 4, 2)
    for mask, is_causal in masks(130):
        blocks = attend(*arrays, mask, is_causal=is_causal)
        # The same call as for cuDNN's, by JAX's own operations.
        fused = causal_attention.fused(*arrays, mask, is_causal=is_causal, implementation="xla")
        for actual in (blocks, fused):
            np.testing.assert_allclose(actual, plain(*arrays, mask), rtol=1e-3, atol=1e-5)


def refusal(arrays, dropout=None):
    mask = attention.decoder_mask(arrays[0].shape[1])
    with pytest.raises(InputError) as caught:
        causal_attention.attend(*arrays, mask, is_causal=True, dropout=dropout, kernel="cudnn")
    return str(caught.value)


def test_cudnn_where_it_cannot_be():
    assert "ATTENTION_KERNEL: cuDNN's attention needs an NVIDIA GPU" in refusal(inputs(8, 2, 2))


def test_what_cudnn_does_not_take(monkeypatch):
    card = types.SimpleNamespace(compute_capability="7.5")
    monkeypatch.setattr(jax, "devices", lambda: [card])
    half = functools.partial(inputs, heads=2, kv_heads=2, dtype=jnp.bfloat16)
    assert "8.0 (Ampere)" in refusal(half(8))
    card.compute_capability = "9.0"
    monkeypatch.setattr(jax, "__version_info__", (0, 10, 2))
    assert "needs JAX 0.11 or later" in refusal(half(8))
    monkeypatch.setattr(jax, "__version_info__", (0, 11, 0))
    assert "not float32 (DTYPE)" in refusal(inputs(8, 2, 2))
    assert "no dropout (DROPOUT_RATE); change that, or take 'xla'" in refusal(
        half(8), lambda weights: weights
    )
    assert "an even length, not 7" in refusal(half(7))
    assert "not 4" in refusal([x[..., :4] for x in half(8)])
