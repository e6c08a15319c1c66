"""Attention and its masks against plain NumPy statements."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_llama import normal

from commit_t5x.model import attention, rotary


def test_decoder_mask():
    segments = jnp.array([[1, 1, 2, 2]])
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    np.testing.assert_array_equal(attention.decoder_mask(4, segments)[0, 0], expected)
    prefix = jnp.array([[1, 1, 0, 0]])
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    np.testing.assert_array_equal(attention.decoder_mask(4, None, prefix)[0, 0], expected)


def test_forgetful_mask_hides_keys_at_a_ratio_of_each_example():
    mask = attention.forgetful_mask(jax.random.key(0), batch=400, length=500, max_ratio=0.4)
    assert mask.shape == (400, 1, 1, 500)  # all queries and heads share it
    assert mask[..., 0].all()
    hidden = 1 - np.mean(mask[:, 0, 0, 1:], axis=-1)
    # Ratios are uniform on [0, 0.4): mean 0.2, quarters evenly filled.
    assert hidden.mean() == pytest.approx(0.2, abs=0.02)
    quarters = np.histogram(hidden, bins=4, range=(0, 0.4))[0]
    assert quarters.min() > 70


def test_forgetful_mask_keeps_the_first_key_of_each_segment():
    segments = jnp.array([[1, 1, 1, 2, 2, 3, 0, 0]] * 64)
    mask = attention.forgetful_mask(jax.random.key(0), 64, 8, 0.99, segments)[:, 0, 0]
    assert mask[:, jnp.array([0, 3, 5, 6])].all()
    assert not mask[:, jnp.array([1, 2, 4, 7])].all()


def attention_inputs(length=6, heads=4, kv_heads=2, dim=8, width=16):
    params = {
        name: {"kernel": 0.3 * normal(width, count * dim)}
        for name, count in (("query", heads), ("key", kv_heads), ("value", kv_heads))
    }
    params["out"] = {"kernel": normal(heads * dim, width)}
    frequencies = rotary.frequencies(dim, 10000.0, None)
    context = attention.AttentionContext(
        mask=attention.decoder_mask(length),
        rotary_table=rotary.table(jnp.arange(length)[None], frequencies),
    )
    module = attention.Attention(heads, kv_heads, dim, tuple(frequencies.tolist()))
    return module, params, normal(2, length, width), context


def test_attention_dropout_drops_weights_and_scales_the_rest():
    module, params, x, context = attention_inputs()
    training = context.replace(deterministic=False)
    # At a rate near 0 the path that drops weights equals the fused one.
    kept = jax.jit(module.clone(dropout_rate=1e-9).apply)(
        {"params": params}, x, training, rngs={"dropout": jax.random.key(0)}
    )
    # On average over masks, dropout changes nothing.
    dropping = module.clone(dropout_rate=0.5)
    draw = jax.vmap(
        lambda rng: dropping.apply({"params": params}, x, training, rngs={"dropout": rng})
    )
    draws = np.array(jax.jit(draw)(jax.random.split(jax.random.key(1), 1000)))
    standard_error = draws.std(axis=0) / np.sqrt(1000)
    assert standard_error.min() > 0
    assert np.abs((draws.mean(axis=0) - kept) / standard_error).max() < 5
    # Out of training it is off.
    still = jax.jit(dropping.apply)({"params": params}, x, context)
    np.testing.assert_allclose(still, kept, rtol=1e-3, atol=1e-4)
