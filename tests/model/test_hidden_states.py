import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_llama import CONFIG, init, random_tokens
from trees import assert_close

from commit_t5x.model import attention, layers, llama, rotary
from commit_t5x.model.hidden_states import hidden_states
from commit_t5x.model.lora import Lora

SEGMENTS = jnp.array([[1] * 5 + [2] * 7, [1] * 3 + [2] * 4 + [3] * 5])
POSITIONS = jnp.array([[*range(5), *range(7)], [*range(3), *range(4), *range(5)]])


@functools.partial(jax.jit, static_argnums=0, static_argnames="last")
def states(module, params, tokens, segments=None, *, last, rng=None):
    return hidden_states(module, params, tokens, segments, last=last, dropout_rng=rng)


def by_hand(params, tokens, segments=None, positions=None):
    """Returns the states of a network without scan, layer by layer."""
    embed = layers.Embed(CONFIG.vocab_size, CONFIG.emb_dim)
    x = embed.apply({"params": params["token_embedder"]}, tokens)
    positions = jnp.arange(tokens.shape[1])[None] if positions is None else positions
    frequencies = rotary.frequencies(CONFIG.head_dim, CONFIG.rope_theta, None)
    context = attention.AttentionContext(
        mask=attention.decoder_mask(tokens.shape[1], segments),
        rotary_table=rotary.table(positions, jnp.float32(frequencies)),
        is_causal=True,
        deterministic=True,
    )
    found = [x]
    for i in range(CONFIG.num_layers):
        x, _ = llama.DecoderLayer(CONFIG).apply({"params": params[f"layers_{i}"]}, x, context)
        found.append(x)
    norm = layers.RMSNorm(CONFIG.norm_eps)
    found[-1] = norm.apply({"params": params["decoder_norm"]}, found[-1])
    return np.stack(found)


@pytest.mark.parametrize("scan", [True, False])
@pytest.mark.parametrize("segments", [pytest.param(None, marks=pytest.mark.slow), SEGMENTS])
def test_states_are_those_of_each_layer(scan, segments):
    module = llama.Llama(CONFIG, scan_layers=scan)
    params, tokens = init(module), random_tokens(1)
    unrolled = llama.unstack_layers(params) if scan else params
    positions = None if segments is None else POSITIONS
    expected = by_hand(unrolled, tokens, segments, positions)
    for last in (0, 1, CONFIG.num_layers):
        found = states(module, params, tokens, segments, last=last)
        assert len(found) == last + 1
        count = min(last, CONFIG.num_layers - 1) + 1  # the last layer's is normalised
        np.testing.assert_allclose(found[:count], expected[:count], atol=1e-5)
    np.testing.assert_allclose(found[-1], expected[-1], atol=1e-5)


@pytest.mark.parametrize("scan", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_recomputation_leaves_states_and_gradients(scan):
    tokens = random_tokens(1)
    params = init(llama.Llama(CONFIG, scan_layers=scan))

    def results(policy):
        module = llama.Llama(CONFIG, scan_layers=scan, remat_policy=policy)
        return jax.jit(
            jax.value_and_grad(lambda p: jnp.sum(hidden_states(module, p, tokens, last=2) ** 2))
        )(params)

    expected = results("none")
    for policy in ("minimal", "full"):
        assert_close(results(policy), expected, rtol=1e-4, atol=1e-3)
    above = expected[1]["layers"] if scan else expected[1]["layers_2"]
    assert all(not np.any(leaf[2] if scan else leaf) for leaf in jax.tree.leaves(above))


def test_dropout_falls_on_all_states():
    module = llama.Llama(CONFIG, residual_dropout_rate=0.3, embedding_dropout_rate=0.3)
    params, tokens = init(module), random_tokens(1)
    plain = states(module, params, tokens, last=2)
    one, other = (states(module, params, tokens, last=2, rng=jax.random.key(n)) for n in (0, 1))
    assert 0.2 < np.mean(np.asarray(one[0]) == 0) < 0.4
    for found in (one, other):
        assert all(not np.array_equal(*pair) for pair in zip(found, plain, strict=True))
    assert not np.array_equal(one, other)


def test_low_rank_factors_count():
    adapted = dataclasses.replace(llama.Llama(CONFIG), lora=Lora(rank=2))
    params, tokens = init(adapted), random_tokens(1)
    found = states(adapted, params, tokens, last=1)
    weights = {"lora_a", "lora_b"}
    bare = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * 0 if path[-1].key in weights else leaf, params
    )
    assert not np.allclose(found[1], states(adapted, bare, tokens, last=1)[1])
    assert np.array_equal(found[0], states(adapted, bare, tokens, last=1)[0])
