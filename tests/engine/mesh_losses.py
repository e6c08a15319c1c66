"""Prints, as JSON, losses of a few steps on meshes of 8 devices; run by test_mesh.py."""

import json
import os

# Little optimisation, as compiling is what takes the time here.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true"
)

import jax
import numpy as np

from commit_t5x.engine import checkpoints, models, partitioning, train_state, trainer
from commit_t5x.model import llama, optim
from commit_t5x.model.lora import Lora

# 2 key and value heads do not divide by 8: they are replicated there.
CONFIG = llama.LlamaConfig(
    vocab_size=64, emb_dim=32, mlp_dim=64, num_layers=2, num_heads=8, num_kv_heads=2, head_dim=4
)


def batch(seed):
    tokens = np.random.default_rng(seed).integers(3, 64, (16, 12)).astype(np.int32)
    return {
        "decoder_input_tokens": tokens,
        "decoder_target_tokens": np.roll(tokens, -1, axis=1),
        "decoder_loss_weights": (tokens % 3 > 0).astype(np.int32),
    }


def run(partitioner, params=None, num_microbatches=1, lora=Lora()):  # noqa: B008, frozen
    """Returns losses, the share of a trained weight that a device holds, and the parameters."""
    network, trained = llama.Llama(CONFIG, lora=lora), "lora_b" if lora.rank else "kernel"
    model = models.DecoderOnlyModel(network, None, optim.adamw(1e-2))
    initializer = train_state.TrainStateInitializer(model, partitioner)
    steps = trainer.Trainer(model, partitioner, initializer.train_state, num_microbatches)
    if params is None:
        params = initializer.init_params(jax.random.PRNGKey(0))
    else:
        shardings = jax.tree.map(lambda leaf: leaf.sharding, initializer.params)
        params = jax.device_put(params, shardings)
    initial = jax.device_get(params)
    state = initializer.from_params(params, jax.random.PRNGKey(1))
    losses = []
    for step in range(4):
        state, metrics = steps.train_step(state, partitioner.put_batch(batch(step)))
        losses.append(float(metrics["loss"]))
    kernel = state.params["layers"]["mlp"]["wi_0"][trained]
    moment = state.param_states[1][0].mu["layers"]["mlp"]["wi_0"][trained]
    assert moment.sharding == kernel.sharding
    return (losses, kernel.addressable_shards[0].data.size / kernel.size), initial


def main(directory):
    found = {}
    single = partitioning.PjitPartitioner(devices=jax.devices()[:1])
    found["1x1"], initial = run(single)
    # Weights that are made in shards are the same ones.
    sharded = partitioning.PjitPartitioner(1, partitioning.fully_sharded_logical_axis_rules())
    found["8x1 fully sharded"], also = run(sharded)
    jax.tree.map(np.testing.assert_array_equal, initial, also)
    found["4x2"], _ = run(partitioning.PjitPartitioner(2), initial, num_microbatches=2)
    found["1x8"], _ = run(partitioning.PjitPartitioner(8), initial)
    # A checkpoint from one device, restored in the shards of eight.
    checkpoints.save_params(directory, initial, CONFIG, None)
    model = models.DecoderOnlyModel(llama.Llama(CONFIG), None)
    abstract = train_state.TrainStateInitializer(model, sharded).params
    restored = checkpoints.load_params(directory, abstract, CONFIG)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(restored), initial)
    assert restored["token_embedder"]["embedding"].sharding.num_devices == 8
    factors = Lora(4, base_dtype="bfloat16")
    found["factors, 1x1"], initial = run(single, lora=factors)
    found["factors, 4x2"], _ = run(partitioning.PjitPartitioner(2), initial, 2, factors)
    found["factors, 8x1 fully sharded"], _ = run(sharded, initial, lora=factors)
    print(json.dumps(found))


if __name__ == "__main__":
    import sys

    main(sys.argv[1])
