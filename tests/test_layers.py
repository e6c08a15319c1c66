"""Each layer against a plain NumPy statement of its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from commit_t5x import layers
from commit_t5x.llama_config import RopeScaling

RNG = np.random.default_rng(0)


def normal(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


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


def test_rotary_turns_half_split_pairs():
    x, dim = normal(1, 5, 2, 8), 8
    frequencies = layers.rotary_frequencies(dim, 10000.0, None)
    positions = np.array([[0, 1, 2, 7, 3]])
    actual = layers.apply_rotary(x, layers.rotary_table(positions, frequencies))
    for token, position in enumerate(positions[0]):
        for pair in range(dim // 2):
            angle = position * 10000.0 ** (-2 * pair / dim)
            first, second = x[0, token, :, pair], x[0, token, :, pair + dim // 2]
            turned = first * np.cos(angle) - second * np.sin(angle)
            np.testing.assert_allclose(actual[0, token, :, pair], turned, rtol=1e-4, atol=1e-5)


def test_rotary_scores_depend_on_distance_only():
    query, key = normal(1, 1, 1, 16), normal(1, 1, 1, 16)
    frequencies = layers.rotary_frequencies(16, 10000.0, None)

    def score(query_position, key_position):
        turned = [
            layers.apply_rotary(x, layers.rotary_table(np.array([[position]]), frequencies))
            for x, position in ((query, query_position), (key, key_position))
        ]
        return float(np.vdot(*turned))

    assert score(9, 4) == pytest.approx(score(105, 100), abs=1e-4)
    assert score(9, 4) != pytest.approx(score(9, 5), abs=1e-4)


def test_scaled_frequencies():
    plain = layers.rotary_frequencies(64, 500000.0, None)
    linear = layers.rotary_frequencies(64, 500000.0, RopeScaling("linear", 4.0))
    np.testing.assert_allclose(linear, plain / 4, rtol=1e-6)
    llama3 = layers.rotary_frequencies(64, 500000.0, RopeScaling("llama3", 8.0))
    wavelengths = 2 * np.pi / plain
    short, long = wavelengths < 8192 / 4, wavelengths > 8192
    np.testing.assert_allclose(llama3[short], plain[short], rtol=1e-6)
    np.testing.assert_allclose(llama3[long], plain[long] / 8, rtol=1e-6)
    between = llama3[~short & ~long]
    assert between.size > 0
    assert np.all(between < plain[~short & ~long])
    assert np.all(between > plain[~short & ~long] / 8)


def test_decoder_mask():
    segments = jnp.array([[1, 1, 2, 2]])
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    np.testing.assert_array_equal(layers.decoder_mask(4, segments)[0, 0], expected)
    prefix = jnp.array([[1, 1, 0, 0]])
    expected = [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    np.testing.assert_array_equal(layers.decoder_mask(4, None, prefix)[0, 0], expected)


def test_forgetful_mask_hides_keys_at_a_ratio_of_each_example():
    mask = layers.forgetful_mask(jax.random.key(0), batch=400, length=500, max_ratio=0.4)
    assert mask.shape == (400, 1, 1, 500)  # all queries and heads share it
    assert mask[..., 0].all()
    hidden = 1 - np.mean(mask[:, 0, 0, 1:], axis=-1)
    # Ratios are uniform on [0, 0.4): mean 0.2, quarters evenly filled.
    assert hidden.mean() == pytest.approx(0.2, abs=0.02)
    quarters = np.histogram(hidden, bins=4, range=(0, 0.4))[0]
    assert quarters.min() > 70


def test_forgetful_mask_keeps_the_first_key_of_each_segment():
    segments = jnp.array([[1, 1, 1, 2, 2, 3, 0, 0]] * 64)
    mask = layers.forgetful_mask(jax.random.key(0), 64, 8, 0.99, segments)[:, 0, 0]
    assert mask[:, jnp.array([0, 3, 5, 6])].all()
    assert not mask[:, jnp.array([1, 2, 4, 7])].all()


def attention_inputs(length=6, heads=4, kv_heads=2, dim=8, width=16):
    params = {
        name: {"kernel": 0.3 * normal(width, count * dim)}
        for name, count in (("query", heads), ("key", kv_heads), ("value", kv_heads))
    }
    params["out"] = {"kernel": normal(heads * dim, width)}
    frequencies = layers.rotary_frequencies(dim, 10000.0, None)
    context = layers.AttentionContext(
        mask=layers.decoder_mask(length),
        rotary=layers.rotary_table(jnp.arange(length)[None], frequencies),
    )
    module = layers.Attention(heads, kv_heads, dim, tuple(frequencies.tolist()))
    return module, params, normal(2, length, width), context


def naive_attention(module, params, x, context):
    batch, length, _ = x.shape

    def project(name):
        y = (x @ params[name]["kernel"]).reshape(batch, length, -1, module.head_dim)
        return y if name == "value" else np.array(layers.apply_rotary(y, context.rotary))

    query, key, value = project("query"), project("key"), project("value")
    result = np.zeros((batch, length, module.num_heads, module.head_dim), np.float32)
    for head in range(module.num_heads):
        shared = head // (module.num_heads // module.num_kv_heads)
        scores = query[:, :, head] @ key[:, :, shared].swapaxes(1, 2) / np.sqrt(module.head_dim)
        scores = np.where(context.mask[:, 0], scores, -np.inf)
        result[:, :, head] = softmax(scores) @ value[:, :, shared]
    return result.reshape(batch, length, -1) @ params["out"]["kernel"]


def test_grouped_query_attention():
    module, params, x, context = attention_inputs()
    actual = jax.jit(module.apply)({"params": params}, x, context)
    np.testing.assert_allclose(
        actual, naive_attention(module, params, x, context), rtol=1e-3, atol=1e-4
    )


def test_attention_dropout_drops_weights_and_scales_the_rest():
    module, params, x, context = attention_inputs()
    training = context.replace(deterministic=False)
    # At a rate near 0 the path that drops weights equals the fused one.
    kept = jax.jit(module.clone(dropout_rate=1e-9).apply)(
        {"params": params}, x, training, rngs={"dropout": jax.random.key(0)}
    )
    np.testing.assert_allclose(
        kept, naive_attention(module, params, x, context), rtol=1e-3, atol=1e-4
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
