"""The mesh of devices, and functions compiled over it.

The rules are those of commit_t5x.model.partitioning.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from absl import logging
from flax.linen import partitioning as flax_partitioning
from jax.experimental import mesh_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from commit_t5x import ranges
from commit_t5x.errors import InputError

# Re-exported, so that gin files name all of partitioning by one import, as T5X's do.
from commit_t5x.model.partitioning import (
    LogicalAxisRules,
    fully_sharded_logical_axis_rules,
    standard_logical_axis_rules,
)

__all__ = [
    "PartitionedFunction",
    "PjitPartitioner",
    "fully_sharded_logical_axis_rules",
    "standard_logical_axis_rules",
]


class PartitionedFunction:
    """A jitted function that is traced and run under a mesh and logical axis rules."""

    def __init__(self, function: Callable, partitioner: "PjitPartitioner"):
        self._function = function
        self._partitioner = partitioner

    def __call__(self, *args):
        with self._partitioner.scope():
            return self._function(*args)

    def lower(self, *args):
        """Returns the lowered function for arguments or `jax.ShapeDtypeStruct`s."""
        with self._partitioner.scope():
            return self._function.lower(*args)

    def trace(self, *args):
        """Returns the traced function for arguments or `jax.ShapeDtypeStruct`s."""
        with self._partitioner.scope():
            return self._function.trace(*args)


class PjitPartitioner:
    """Splits arrays over a mesh of devices with the axes `data` and `model`.

    Args:
      num_partitions: devices on the `model` axis; the others are on `data`. None: all of them.
      logical_axis_rules: see commit_t5x.model.partitioning; T5X's standard rules by default.
      devices: the host's devices by default. Others serve to compile for a machine that isn't here.

    Raises:
      InputError: num_partitions does not divide the number of devices.

    Example (8 devices):
      >>> PjitPartitioner(num_partitions=2).mesh.shape
      OrderedDict([('data', 4), ('model', 2)])
    """

    def __init__(
        self,
        num_partitions: ranges.Positive | None = 1,
        logical_axis_rules: LogicalAxisRules | None = None,
        devices: Sequence[jax.Device] | None = None,
    ):
        devices = list(jax.devices() if devices is None else devices)
        num_partitions = num_partitions or len(devices)
        if len(devices) % num_partitions:
            raise InputError(
                f"NUM_PARTITIONS: {num_partitions} does not divide the number of devices, "
                f"{len(devices)}; --gin.NUM_PARTITIONS=None takes those that are there"
            )
        shape = (len(devices) // num_partitions, num_partitions)
        grid = mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
        self.mesh = Mesh(grid, ("data", "model"), axis_types=(AxisType.Auto, AxisType.Auto))
        if logical_axis_rules is None:
            logical_axis_rules = standard_logical_axis_rules()
        self.logical_axis_rules = tuple(tuple(rule) for rule in logical_axis_rules)

    @functools.cached_property
    def replicated(self) -> NamedSharding:
        """The sharding of an array that every device holds whole."""
        return NamedSharding(self.mesh, PartitionSpec())

    @functools.cached_property
    def data_sharding(self) -> NamedSharding:
        """The sharding of a batch's features [batch, ...]."""
        spec = flax_partitioning.logical_to_mesh_axes(("batch",), self.logical_axis_rules)
        return NamedSharding(self.mesh, spec)

    def check_batch_size(self, batch_size: int, name: str = "batch_size") -> None:
        """Raises InputError if the devices of the `data` axis can't share `batch_size` rows."""
        mesh_axis = self.data_sharding.spec[0]
        shards = 1 if mesh_axis is None else self.mesh.shape[mesh_axis]
        if batch_size % shards:
            raise InputError(
                f"{name}: {batch_size} is not a multiple of the {shards} data-parallel devices; "
                "change BATCH_SIZE, NUM_MICROBATCHES or NUM_PARTITIONS"
            )

    def sharding(self, axes: Sequence[str | None] | None, shape: Sequence[int]) -> NamedSharding:
        """Returns the sharding of an array with the logical `axes` and the given shape.

        An axis that the devices can't share evenly stays whole, e.g. 4 key and value heads over 8
        model partitions.
        """
        if axes is None:
            return self.replicated
        spec = flax_partitioning.logical_to_mesh_axes(tuple(axes), self.logical_axis_rules)
        even = []
        for size, mesh_axis in zip(shape, spec, strict=True):
            shards = 1 if mesh_axis is None else self.mesh.shape[mesh_axis]
            if size % shards:
                logging.info("%s %s: %d is not shared by %d devices", axes, shape, size, shards)
            even.append(None if size % shards else mesh_axis)
        return NamedSharding(self.mesh, PartitionSpec(*even))

    def put_batch(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
        """Starts copying a batch of features [batch, ...] to the devices; does not wait."""
        return jax.device_put(batch, self.data_sharding)

    def partition(
        self,
        function: Callable,
        in_shardings: Any = None,
        out_shardings: Any = None,
        donate_argnums: Sequence[int] = (),
    ) -> PartitionedFunction:
        """Returns `function` jitted over the mesh, under the rules; see `jax.jit`.

        None leaves a sharding to the argument or to the compiler.
        """
        jitted = jax.jit(
            function,
            in_shardings=in_shardings,
            out_shardings=out_shardings,
            donate_argnums=tuple(donate_argnums),
        )
        return PartitionedFunction(jitted, self)

    @contextlib.contextmanager
    def scope(self) -> Iterator[None]:
        """Makes the mesh and the rules those of the jitted functions called inside."""
        with jax.set_mesh(self.mesh), flax_partitioning.axis_rules(self.logical_axis_rules):
            yield
