"""Each layer against a plain NumPy statement of its formula."""

import jax.numpy as jnp
import numpy as np

from commit_t5x import layers

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def test_rms_norm():
    x, scale = normal(2, 3, 8), normal(8)
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * scale
    actual = layers.RMSNorm(1e-6).apply({"params": {"scale": scale}}, x)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_rms_norm_computes_in_fp32_whatever_its_dtype():
    x = jnp.full((1, 256), 1e20, jnp.bfloat16) * jnp.linspace(0.1, 1, 256, dtype=jnp.bfloat16)
    y = layers.RMSNorm(1e-6, jnp.bfloat16).apply({"params": {"scale": jnp.ones(256)}}, x / 1e10)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.mean(np.square(np.float32(y))), 1.0, rtol=1e-2)


def test_mlp_is_swiglu():
    x, wi_0, wi_1, wo = normal(2, 3, 4), normal(4, 6), normal(4, 6), normal(6, 4)
    gate = x @ wi_0
    expected = (gate / (1 + np.exp(-gate)) * (x @ wi_1)) @ wo
    params = {"wi_0": {"kernel": wi_0}, "wi_1": {"kernel": wi_1}, "wo": {"kernel": wo}}
    actual = layers.MLP(mlp_dim=6).apply({"params": params}, x)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)
