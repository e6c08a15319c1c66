"""The whole network, its dropout and its masking, against plain NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import naive_llama
import numpy as np
import pytest
from flax import linen as nn
from small_llama import CONFIG, apply, init, random_tokens

from commit_t5x.model import attention, layers
from commit_t5x.model.llama import Llama

TOKENS = random_tokens(3)
VARIETIES = {
    "grouped": CONFIG,
    "multi_head": dataclasses.replace(CONFIG, num_kv_heads=CONFIG.num_heads),
    "one_kv_head": dataclasses.replace(CONFIG, num_kv_heads=1),
    "tied": dataclasses.replace(CONFIG, tied_embeddings=True),
    "biased": dataclasses.replace(CONFIG, attention_bias=True, mlp_bias=True),
    "wide_heads": dataclasses.replace(CONFIG, head_dim=14, rope_theta=500000.0, norm_eps=1e-5),
}


@pytest.mark.parametrize("config", VARIETIES.values(), ids=VARIETIES)
def test_forward_pass(config):
    module = Llama(config, scan_layers=False)
    params = init(module)
    actual = apply(module, params, TOKENS)
    expected = naive_llama.logits(jax.device_get(params), config, np.asarray(TOKENS))
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)


def test_dropout_and_forgetful_masking(monkeypatch):
    module = Llama(
        CONFIG,
        scan_layers=False,
        residual_dropout_rate=0.3,
        embedding_dropout_rate=0.2,
        attention_dropout_rate=0.4,
        forgetful_mask_max_ratio=0.9,
    )
    params = init(module)
    factors, kept_keys = [], []  # of each dropout, in order; of forgetful masking

    def record(call, args, kwargs, context):
        result = call(*args, **kwargs)
        if isinstance(context.module, layers.Dropout):
            dropped = np.float64(args[0])
            factors.append(
                (context.module.rate, np.float64(result) / np.where(dropped, dropped, 1))
            )
        return result

    draw = attention.forgetful_mask

    def recorded_mask(*args, **kwargs):
        kept_keys.append(np.asarray(draw(*args, **kwargs)))
        return draw(*args, **kwargs)

    monkeypatch.setattr(attention, "forgetful_mask", recorded_mask)
    with nn.intercept_methods(record):
        actual = module.apply(
            {"params": params}, TOKENS, enable_dropout=True, rngs={"dropout": jax.random.key(5)}
        )

    # A factor is 0 or 1 / (1 - rate), each about as often as its rate says.
    places = ["embedding"]
    for layer in range(CONFIG.num_layers):
        places += [("attention", layer), ("residual", layer, 0), ("residual", layer, 1)]
    assert len(factors) == len(places)
    for place, (rate, factor) in zip(places, factors, strict=True):
        expected = {"embedding": 0.2, "attention": 0.4, "residual": 0.3}
        assert rate == expected[place if place == "embedding" else place[0]]
        drawn = factor[factor > 0]
        np.testing.assert_allclose(drawn, 1 / (1 - rate), rtol=1e-5)
    by_place = dict(zip(places, (factor for _, factor in factors), strict=True))
    residual = by_place["residual", 0, 0]
    assert np.mean(residual == 0) == pytest.approx(0.3, abs=0.08)

    def drop(place, row, x):
        return x * by_place[place][row].reshape(x.shape)

    (kept,) = kept_keys
    hidden = ~kept[:, 0, 0]
    assert hidden.any() and not hidden.all()
    expected = naive_llama.logits(jax.device_get(params), CONFIG, np.asarray(TOKENS), hidden, drop)
    np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-3)
    plain = naive_llama.logits(jax.device_get(params), CONFIG, np.asarray(TOKENS))
    assert np.abs(plain - expected).max() > 1  # all this changes something


def test_half_precision_computes_near_single_and_keeps_its_weights():
    module = Llama(CONFIG, dtype="bfloat16", scan_layers=False)
    params = init(module)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(params))
    actual, stored = module.apply(
        {"params": params}, TOKENS, enable_dropout=False, capture_intermediates=True, mutable=True
    )
    assert actual.dtype == jnp.float32
    outputs = jax.tree.leaves(stored["intermediates"]["layers_1"]["mlp"])
    assert all(leaf.dtype == jnp.bfloat16 for leaf in outputs)
    expected = naive_llama.logits(jax.device_get(params), CONFIG, np.asarray(TOKENS))
    error = np.abs(actual - expected)
    # 8 bits of mantissa: errors of a hundredth or so of what the logits amount to, never none.
    assert 0 < error.mean() < 0.02 * np.abs(expected).max()
