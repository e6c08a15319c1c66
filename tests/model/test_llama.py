import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_llama import CONFIG, apply, init, random_tokens

from commit_t5x.model import llama
from commit_t5x.model.llama import Llama
from commit_t5x.model.lora import Lora

DROPOUT_RATES = ["residual_dropout_rate", "embedding_dropout_rate", "attention_dropout_rate"]
MODULE = Llama(CONFIG)
PARAMS = init(MODULE)


@pytest.mark.parametrize(
    "changes",
    [{}, {"tied_embeddings": True}, {"attention_bias": True, "mlp_bias": True}],
    ids=["plain", "tied", "biased"],
)
def test_num_parameters(changes):
    config = dataclasses.replace(CONFIG, **changes)
    leaves = jax.tree.leaves(init(Llama(config)))
    assert sum(leaf.size for leaf in leaves) == config.num_parameters


@pytest.mark.parametrize(
    "module, stddev",
    [(MODULE, 0.02), (dataclasses.replace(MODULE, init_stddev=0.1), 0.1)],
    ids=["default", "wider"],
)
def test_initial_weights(module, stddev):
    tokens = jnp.ones((1, 2), jnp.int32)
    params = jax.jit(functools.partial(module.init, enable_dropout=False))(
        jax.random.key(0), tokens, tokens
    )["params"]
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        if path[-1].key == "scale":
            assert (leaf == 1).all()
        else:
            # Kernels of the layers are under the option; embedding and head stay.
            expected = stddev if path[0].key == "layers" else 0.02
            assert np.std(leaf) == pytest.approx(expected, rel=0.1)
            assert np.mean(leaf) == pytest.approx(0.0, abs=0.1 * expected)
    first, second, _ = params["layers"]["mlp"]["wo"]["kernel"]
    assert not np.array_equal(first, second)


def test_logical_axes():
    tokens = jnp.ones((1, 2), jnp.int32)
    variables = jax.eval_shape(
        lambda: MODULE.init(jax.random.key(0), tokens, tokens, enable_dropout=False)
    )
    named = {
        "/".join(entry.key for entry in path if hasattr(entry, "key")): metadata.names
        for path, metadata in jax.tree_util.tree_flatten_with_path(
            variables["params_axes"], is_leaf=lambda x: hasattr(x, "names")
        )[0]
    }
    attention, mlp = "layers/self_attention", "layers/mlp"
    assert named == {
        "token_embedder/embedding_axes": ("vocab", "embed"),
        "layers/pre_self_attention_layer_norm/scale_axes": ("layers", "embed"),
        f"{attention}/query/kernel_axes": ("layers", "embed", "joined_kv"),
        f"{attention}/key/kernel_axes": ("layers", "embed", "joined_kv"),
        f"{attention}/value/kernel_axes": ("layers", "embed", "joined_kv"),
        f"{attention}/out/kernel_axes": ("layers", "joined_kv", "embed"),
        "layers/pre_mlp_layer_norm/scale_axes": ("layers", "embed"),
        f"{mlp}/wi_0/kernel_axes": ("layers", "embed", "mlp"),
        f"{mlp}/wi_1/kernel_axes": ("layers", "embed", "mlp"),
        f"{mlp}/wo/kernel_axes": ("layers", "mlp", "embed"),
        "decoder_norm/scale_axes": ("embed",),
        "logits_dense/kernel_axes": ("embed", "vocab"),
    }


@pytest.mark.parametrize(
    "layers, remat, unroll", [(4, "none", 4), (5, "none", 1), (4, "minimal", 1), (4, "full", 1)]
)
def test_few_layers_are_looped_over_for_remat_alone(layers, remat, unroll):
    module = Llama(dataclasses.replace(CONFIG, num_layers=layers), remat_policy=remat)
    params = jax.eval_shape(functools.partial(init, module))
    program = jax.make_jaxpr(functools.partial(apply, module))(params, random_tokens(1))
    assert re.findall(r"unroll=(\d+)", str(program)) == [str(unroll)]


def test_unrolled_equals_scanned():
    unrolled = Llama(CONFIG, scan_layers=False)
    params = llama.unstack_layers(PARAMS)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, init(unrolled))
    tokens = random_tokens(1)
    np.testing.assert_allclose(
        apply(unrolled, params, tokens), apply(MODULE, PARAMS, tokens), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(
    "policy, scan_layers",
    [
        ("minimal", True),
        pytest.param("full", True, marks=pytest.mark.slow),
        pytest.param("full", False, marks=pytest.mark.slow),
    ],
)
def test_rematerialisation_changes_no_gradient(policy, scan_layers):
    config = dataclasses.replace(CONFIG, num_layers=2)
    params = init(Llama(config, scan_layers=scan_layers))
    tokens = random_tokens(2)

    def gradient(remat_policy):
        module = Llama(config, scan_layers=scan_layers, remat_policy=remat_policy)
        loss = jax.jit(jax.grad(lambda p: jnp.sum(jnp.square(apply(module, p, tokens)))))
        return loss(params)

    def assert_close(actual, expected):
        scale = np.abs(expected).max()
        np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5 * scale)

    jax.tree.map(assert_close, gradient(policy), gradient("none"))


def test_casting_all_layers_at_once_changes_no_bit(monkeypatch):
    module = Llama(CONFIG, dtype="bfloat16", lora=Lora(4))
    tokens = random_tokens(2)
    params = jax.tree.map(lambda leaf: leaf + 0.01, init(module))  # one of the factors begins at 0

    def gradient():
        return jax.jit(jax.grad(lambda p: jnp.sum(jnp.square(apply(module, p, tokens)))))(params)

    cast = llama._cast_kernels(jnp.bfloat16)(params["layers"]["mlp"]["wo"])
    assert {name: leaf.dtype for name, leaf in cast.items()} == dict.fromkeys(
        ["kernel", "lora_a", "lora_b"], jnp.bfloat16
    )
    at_once = gradient()
    monkeypatch.setattr(llama, "_cast_kernels", lambda dtype: lambda params: params)
    jax.tree.map(np.testing.assert_array_equal, at_once, gradient())
    assert {leaf.dtype for leaf in jax.tree.leaves(at_once)} == {jnp.dtype("float32")}


def test_attention_is_causal():
    tokens = random_tokens(3)
    changed = tokens.at[:, 7].add(1)
    before, after = apply(MODULE, PARAMS, tokens), apply(MODULE, PARAMS, changed)
    np.testing.assert_array_equal(before[:, :7], after[:, :7])
    assert np.abs(before - after)[:, 7:].max(axis=-1).min() > 1e-4


def test_packed_segments_do_not_leak():
    tokens = random_tokens(4)
    features = dict(
        decoder_segment_ids=jnp.array([[1] * 5 + [2] * 5 + [0] * 2] * 2),
        decoder_positions=jnp.array([[0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 0]] * 2),
    )
    packed = apply(MODULE, PARAMS, tokens, **features)
    changed = apply(MODULE, PARAMS, tokens.at[:, 2].add(1), **features)
    np.testing.assert_array_equal(packed[:, 5:10], changed[:, 5:10])
    # A segment in a packed row is computed as in a row of its own.
    alone = apply(MODULE, PARAMS, tokens[:, 5:10])
    np.testing.assert_allclose(packed[:, 5:10], alone, rtol=1e-4, atol=1e-4)


def test_prefix_is_bidirectional():
    tokens = random_tokens(5)
    prefix = jnp.array([[1] * 4 + [0] * 8] * 2)
    before = apply(MODULE, PARAMS, tokens, decoder_causal_attention=prefix)
    after = apply(MODULE, PARAMS, tokens.at[:, 3].add(1), decoder_causal_attention=prefix)
    assert np.abs(before - after)[:, 0].max() > 1e-3


@pytest.mark.parametrize("rate", DROPOUT_RATES)
def test_each_dropout_follows_its_rng_and_is_off_in_evaluation(rate):
    module = Llama(CONFIG, **{rate: 0.5})
    tokens = random_tokens(6)

    def train(seed):
        return apply(module, PARAMS, tokens, enable_dropout=True, rng=jax.random.key(seed))

    np.testing.assert_array_equal(train(0), train(0))
    assert np.abs(train(0) - train(1)).max() > 1e-3
    np.testing.assert_array_equal(apply(module, PARAMS, tokens), apply(MODULE, PARAMS, tokens))


def test_layers_draw_their_own_dropout():
    # Two layers whose only contribution is a constant, doubled or dropped: were their masks the
    # same, their sum would be 0 or 4 and never 2.
    config = dataclasses.replace(CONFIG, num_layers=2, mlp_bias=True)
    module = Llama(config, residual_dropout_rate=0.5)
    params = jax.tree.map(jnp.zeros_like, init(module))
    params["layers"]["mlp"]["wo"]["bias"] += 1.0
    params["decoder_norm"]["scale"] += 1.0
    hidden = jax.jit(functools.partial(module.apply, enable_dropout=True, method="hidden"))(
        {"params": params}, jnp.ones((1, 50), jnp.int32), rngs={"dropout": jax.random.key(0)}
    )
    # Normalisation keeps the ratio of the values in a row.
    ratios = np.unique(np.round(hidden / hidden.max(axis=-1, keepdims=True), 3))
    np.testing.assert_allclose(ratios, [0.0, 0.5, 1.0], atol=1e-3)


def test_forgetful_masking_is_for_training_and_hides_from_all_layers_alike():
    module = Llama(CONFIG, forgetful_mask_max_ratio=0.9)
    tokens = random_tokens(7)

    def train(tokens):
        return apply(module, PARAMS, tokens, enable_dropout=True, rng=jax.random.key(0))

    np.testing.assert_array_equal(apply(module, PARAMS, tokens), apply(MODULE, PARAMS, tokens))
    # A hidden token influences no position, not even through other layers; its own logits change
    # as its residual stream does.
    before = train(tokens)
    hidden = []
    for position in range(tokens.shape[1] - 1):
        after = train(tokens.at[0, position].set(tokens[0, position] % 60 + 1))
        later = np.abs(before - after)[0, position + 1 :].max()
        assert np.abs(before - after)[0, position].max() > 1e-4
        np.testing.assert_array_equal(before[1], after[1])
        if later == 0:
            hidden.append(position)
    assert 0 < len(hidden) < tokens.shape[1] - 1
    assert 0 not in hidden
