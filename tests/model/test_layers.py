"""Each layer against a plain NumPy statement of its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_llama import normal

from commit_t5x.model import layers

RNG = np.random.default_rng(0)


def test_rms_norm_computes_in_fp32_whatever_its_dtype():
    x = jnp.full((1, 256), 1e20, jnp.bfloat16) * jnp.linspace(0.1, 1, 256, dtype=jnp.bfloat16)
    y = layers.RMSNorm(1e-6, jnp.bfloat16).apply({"params": {"scale": jnp.ones(256)}}, x / 1e10)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.mean(np.square(np.float32(y))), 1.0, rtol=1e-2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradients_of_a_linear_layer(dtype):
    x, kernel, bias, out = normal(2, 3, 4), normal(4, 6), normal(6), normal(2, 3, 6)
    module = layers.Linear(6, ("embed", "mlp"), use_bias=True, dtype=jnp.dtype(dtype))

    def loss(params, x):
        return jnp.sum(out * module.apply({"params": params}, x))

    params = {"kernel": kernel, "bias": bias}
    grads, x_grad = jax.grad(loss, argnums=(0, 1))(params, x)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 0.05, "atol": 0.1}
    np.testing.assert_allclose(x_grad, out @ kernel.T, **tolerance)
    np.testing.assert_allclose(grads["kernel"], np.einsum("bli,blo->io", x, out), **tolerance)
    np.testing.assert_allclose(grads["bias"], out.sum((0, 1)), **tolerance)
    assert x_grad.dtype == grads["kernel"].dtype == jnp.float32


@pytest.mark.parametrize("rate, shape", [(0.05, (4, 512, 64)), (0.5, (2, 3, 4, 33, 512))])
def test_dropout_meets_its_rate_and_keeps_the_mean(rate, shape):
    x = jnp.asarray(1.0 + RNG.random(shape), jnp.float32)
    module = layers.Dropout(rate, deterministic=False)
    y = module.apply({}, x, rngs={"dropout": jax.random.key(1)})
    kept = np.asarray(y) != 0
    spread = 4 * np.sqrt(rate * (1 - rate) / x.size)
    assert np.mean(kept) == pytest.approx(1 - rate, abs=spread)
    np.testing.assert_allclose(np.asarray(y)[kept], np.asarray(x)[kept] / (1 - rate), rtol=1e-6)
    # Rows that share random words are independent.
    half = -(-shape[-2] // 2)
    low, high = kept[..., : shape[-2] - half, :], kept[..., half:, :]
    assert np.mean(low & high) == pytest.approx((1 - rate) ** 2, abs=6 * spread)


def test_gradient_of_dropout_is_its_mask():
    x, module = jnp.ones((2, 5, 8)), layers.Dropout(0.3, deterministic=False)

    def total(x):
        return module.apply({}, x, rngs={"dropout": jax.random.key(2)}).sum()

    y = module.apply({}, x, rngs={"dropout": jax.random.key(2)})
    np.testing.assert_array_equal(jax.grad(total)(x), y)
