import types

import jax
import numpy as np
import pytest
import tiny
from flax import traverse_util

from commit_t5x.engine import flops
from commit_t5x.model import llama
from commit_t5x.model.llama_presets import preset

LENGTH = 16


@pytest.mark.parametrize("options", [{}, {"num_kv_heads": 2}, {"tied_embeddings": True}])
def test_flops_are_those_of_the_matrices_that_tokens_meet(options):
    config = llama.LlamaConfig(
        **{"vocab_size": 40, "emb_dim": 12, "mlp_dim": 20, "num_layers": 3, "num_heads": 4}
        | {"num_kv_heads": 4, "head_dim": 6}
        | options
    )
    tokens = jax.ShapeDtypeStruct((1, LENGTH), np.int32)
    network = llama.Llama(config)

    params = jax.eval_shape(
        lambda tokens: network.init(jax.random.PRNGKey(0), tokens, tokens, enable_dropout=False),
        tokens,
    )["params"]
    leaves = traverse_util.flatten_dict(params)
    matrices = [leaf.size for path, leaf in leaves.items() if path[-1] != "scale"]
    embedding = 0 if config.tied_embeddings else config.vocab_size * config.emb_dim
    # Of each layer: queries by keys, and the result by values; a product is 2 FLOPs.
    attention = 2 * 2 * config.num_layers * config.num_heads * config.head_dim * LENGTH
    expected = 3 * (2 * (sum(matrices) - embedding) + attention)
    assert config.training_flops_per_token(LENGTH) == expected


def test_peak_of_a_tpu_is_what_its_maker_states():
    core = types.SimpleNamespace(device_kind="TPU v3")
    assert flops.peak([core] * 8, "float32") == 4 * 123e12


def test_peak_of_other_devices_is_measured():
    (device,) = jax.devices()[:1]
    assert 1e8 < flops.peak([device], "float32") < 1e15


def test_ideal_seconds():
    core = types.SimpleNamespace(device_kind="TPU v3")
    model = tiny.model(llama.Llama(preset("7b")))
    seconds = flops.ideal_seconds(model, [core] * 8, (16, 512))
    assert seconds == pytest.approx(41.4 / 61.5, rel=1e-3)
    assert flops.ideal_seconds(tiny.model(), [core], (16, 512)) is None  # its config can't tell
