"""T5X's mesh of devices, for shapes and settings that it doesn't take."""

import math
from typing import Any

import jax
from flax import traverse_util
from jax.sharding import PartitionSpec
from t5x import partitioning

from commit_t5x import ranges


class PjitPartitioner(partitioning.PjitPartitioner):
    """T5X's partitioner; an axis that the devices can't share evenly stays whole.

    Args:
      num_partitions: as in T5X; None: all devices, unless there is a submesh.
      **options: T5X's.
    """

    def __init__(self, num_partitions: ranges.Positive | None = None, **options: Any):
        if num_partitions is None and options.get("model_parallel_submesh") is None:
            num_partitions = jax.device_count()
        super().__init__(num_partitions, **options)

    def get_mesh_axes(self, train_state):
        axes = super().get_mesh_axes(train_state)
        leaves = traverse_util.flatten_dict(train_state.state_dict(), sep="/")

        def shards(axis):
            names = (axis,) if isinstance(axis, str) else axis or ()
            return math.prod(self.mesh.shape[name] for name in names)

        def even(name, spec):
            if not isinstance(spec, PartitionSpec):
                return spec
            pairs = zip(spec, leaves[name].shape, strict=False)
            return PartitionSpec(*(None if size % shards(axis) else axis for axis, size in pairs))

        specs = traverse_util.flatten_dict(axes.state_dict(), keep_empty_nodes=True, sep="/")
        specs = {name: even(name, spec) for name, spec in specs.items()}
        return axes.restore_state(traverse_util.unflatten_dict(specs, sep="/"))
