"""Prints, as JSON, what a network on one device and on a 2x2 mesh decodes; see test_decoding."""

import json
import os
import pathlib
import sys

# Little optimisation, as compiling is what takes the time here.
os.environ["XLA_FLAGS"] = (
    "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"
)
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import flax
import jax
from flax.linen import partitioning as nn_partitioning
from small_llama import CONFIG, init, random_tokens

from commit_t5x.engine import decoding, partitioning
from commit_t5x.engine.sampling import Sampling
from commit_t5x.model.llama import Llama


def main():
    module = Llama(CONFIG)
    params = init(module)
    prompts = [[1, 5, 6], [1], [1, 7, 8, 9], [1, 2]]

    def decode(module, params):
        greedy = decoding.decode(module, params, prompts, max_new_tokens=12, eos_id=0)
        options = {"sampling": Sampling(0.8, top_k=9, top_p=0.9), "seed": 1}
        return greedy, decoding.decode(module, params, prompts, 12, eos_id=0, **options)

    partitioner = partitioning.PjitPartitioner(num_partitions=2)
    tokens = random_tokens(0)
    variables = jax.eval_shape(
        lambda: module.init(jax.random.key(0), tokens, tokens, enable_dropout=False)
    )
    axes = flax.core.unfreeze(nn_partitioning.get_axis_names(variables["params_axes"]))
    shardings = jax.tree.map(
        lambda names, leaf: partitioner.sharding(tuple(names), leaf.shape),
        axes,
        params,
        is_leaf=lambda x: isinstance(x, jax.sharding.PartitionSpec),
    )
    sharded = jax.device_put(params, shardings)
    unrolled, sharded = decoding.unrolled(module, sharded)
    kernel = sharded["layers_0"]["mlp"]["wi_0"]["kernel"]
    with partitioner.scope():
        on_mesh = decode(unrolled, sharded)
    share = kernel.addressable_shards[0].data.size / kernel.size
    print(json.dumps({"single": decode(module, params), "mesh": on_mesh, "share": share}))


if __name__ == "__main__":
    main()
