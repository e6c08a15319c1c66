import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util
from small_llama import CONFIG, apply, init, random_tokens

from commit_t5x.errors import InputError
from commit_t5x.model import lora
from commit_t5x.model.llama import Llama
from commit_t5x.model.lora import Lora

ALL = (*lora.LINEAR, lora.EMBEDDING)
TIED = dataclasses.replace(CONFIG, tied_embeddings=True, attention_bias=True)


def whole(params, options):
    """The plain network's weights that kept ones and their factors stand for."""
    leaves = traverse_util.flatten_dict(params, sep="/")
    merged = {}
    for name, leaf in leaves.items():
        module, _, last = name.rpartition("/")
        if last in (*lora.FACTORS, lora.SCALE):
            continue
        beside = (leaves.get(f"{module}/{other}") for other in (lora.SCALE, *lora.FACTORS))
        is_weight = last in ("kernel", "embedding")
        merged[name] = lora.merged(leaf, *beside, options.scaling) if is_weight else leaf
    return traverse_util.unflatten_dict(merged, sep="/")


@pytest.mark.parametrize(
    "config, scan, options",
    [
        (CONFIG, True, Lora(4, alpha=8, targets=(*ALL, lora.HEAD))),
        (CONFIG, True, Lora(4, base_dtype="int8")),
        (TIED, True, Lora(4, targets=ALL, base_dtype="int8")),
        (TIED, False, Lora(4, targets=ALL, base_dtype="bfloat16", trained_parts=("scale",))),
    ],
    ids=["all", "int8", "int8, tied", "tied, unrolled"],
)
def test_unmerged_logits_are_the_merged_networks(config, scan, options):
    module = Llama(config, scan_layers=scan, lora=options)
    params, tokens = init(module), random_tokens(1)
    if options.base_dtype == "int8":  # drawn weights are far below 1
        params = jax.tree.map(
            lambda leaf: jnp.int8(leaf * 400) if leaf.dtype == jnp.int8 else leaf, params
        )
        params = jax.tree_util.tree_map_with_path(
            lambda path, leaf: leaf * 0.01 if path[-1].key == lora.SCALE else leaf, params
        )
    merged = whole(params, options)
    expected = apply(Llama(config, scan_layers=scan), merged, tokens)
    exact = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(apply(module, params, tokens), expected, rtol=1e-5, atol=exact)
    head = module.apply({"params": params}, method="output_kernel")
    plain = Llama(config, scan_layers=scan).apply({"params": merged}, method="output_kernel")
    np.testing.assert_allclose(head, plain, rtol=0, atol=1e-6)
    trained, frozen = options.split(params)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(trained)} == {"float32"}
    jax.tree.map(np.testing.assert_array_equal, lora.joined(trained, frozen), params)


def test_factors_begin_at_nothing_and_drop_what_enters_them():
    options = Lora(4, dropout=0.5)
    module = Llama(CONFIG, lora=options)
    tokens = random_tokens(1)
    fresh = jax.jit(functools.partial(module.init, enable_dropout=False))(
        jax.random.key(0), tokens, tokens
    )["params"]
    mlp = fresh["layers"]["mlp"]["wo"]
    assert np.abs(mlp["lora_a"]).max() > 0 and np.abs(mlp["lora_b"]).max() == 0
    params = init(module)
    quiet = apply(module, params, tokens)
    loud = apply(module, params, tokens, enable_dropout=True, rng=jax.random.key(1))
    assert np.abs(quiet - loud).max() > 1e-3
    base = lora.factors(params, present=False)
    plain = apply(Llama(CONFIG), base, tokens, enable_dropout=True, rng=jax.random.key(1))
    np.testing.assert_array_equal(plain, apply(Llama(CONFIG), base, tokens))


def test_each_channel_of_each_layer_has_a_scale():
    kernel = np.random.default_rng(0).normal(size=(3, 64, 32)).astype(np.float32)
    kernel[1] *= 100
    kernel[:, :, 5] = 0
    kept, scale = lora.quantize(kernel)
    assert kept.dtype == np.int8 and scale.shape == (3, 32)
    error = np.abs(lora.merged(kept, scale) - kernel)
    assert np.all(error <= scale[:, None] / 2 * 1.001)
    assert not error[:, :, 5].any()
    relative = np.linalg.norm(error) / np.linalg.norm(kernel)
    assert relative < 0.01  # 0.9 % on Gaussian weights


@pytest.mark.parametrize(
    "config, options, message",
    [
        (CONFIG, dict(rank=33), "LORA_RANK: 33 is above the width of query, 32"),
        (CONFIG, dict(rank=17), "LORA_RANK: 17 is above the width of key, 16"),
        (
            CONFIG,
            dict(rank=4, targets=("q_proj",)),
            "LORA_TARGETS: q_proj is none of the network's; choose from query, key, value, out, "
            "wi_0, wi_1, wo, token_embedder, logits_dense",
        ),
        (TIED, dict(rank=4, targets=("logits_dense",)), "from query, .*, token_embedder"),
        (CONFIG, dict(rank=4, targets=()), r"LORA_TARGETS: \(\) names no module"),
        (CONFIG, dict(rank=4, targets=("key", "key")), "LORA_TARGETS: key is there twice"),
    ],
)
def test_factors_that_do_not_fit_the_network(config, options, message):
    with pytest.raises(InputError, match=message):
        init(Llama(config, lora=Lora(**options)))


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(alpha=5), "LORA_ALPHA: 5 is for low-rank factors"),
        (dict(dropout=0.1), "LORA_DROPOUT: 0.1 is for low-rank factors"),
        (dict(targets=("q",)), r"LORA_TARGETS: \('q',\) is for low-rank factors"),
        (dict(base_dtype="int8"), "BASE_DTYPE: 'int8' is for low-rank factors.*set LORA_RANK"),
        (dict(trained_parts=["scale"]), r"TRAINED_PARTS: \('scale',\) is for low-rank factors"),
    ],
)
def test_what_only_factors_allow(options, message):
    with pytest.raises(InputError, match=message):
        Lora(**options)


def test_parts_that_do_not_exist():
    options = Lora(4, trained_parts=("norm",))
    with pytest.raises(InputError, match="TRAINED_PARTS: norm is none.*decoder_norm.*scale"):
        options.split({"decoder_norm": {"scale": 1.0}, "mlp": {"kernel": 1.0, "lora_a": 1.0}})
