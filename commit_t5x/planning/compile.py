"""Compiling a step for a TPU that isn't there, by the compiler that libtpu carries."""

import dataclasses
import importlib.util
import os
import re
import time
from typing import Any

import jax
from jax.experimental import topologies as jax_topologies

from commit_t5x.errors import InputError
from commit_t5x.planning.topologies import Topology

INSTALL = "pip install 'commit-t5x[plan]'"
_GIB = 2**30
# What the compiler says of a program that needs more memory than a device has.
_NO_ROOM = re.compile(r"\(([\d.]+)([KMGT]?)\) exceeds available HBM \(([\d.]+)([KMGT]?)\)")
_ENVIRONMENT = {
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # else it aborts where another process has loaded it
    "TPU_SKIP_MDS_QUERY": "1",  # no TPU host's metadata server to ask
    "TPU_ACCELERATOR_TYPE": "v3-8",  # any will do: the topology counts
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_MIN_LOG_LEVEL": "3",
    "TPU_STDERR_LOG_LEVEL": "3",
}
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": _GIB, "T": 2**40}


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A compiled program.

    Attributes:
      text: the optimised program.
      peak_memory: bytes a device that arguments, results and temporaries take together at most.
      code: bytes a device of the program itself.
      seconds: that compiling took.
    """

    text: str
    peak_memory: int
    code: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class DoesNotFit:
    """What the compiler says instead of a program.

    Attributes:
      needed: bytes a device; None where it doesn't say.
      capacity: bytes a device that it may have; None where it doesn't say.
      seconds: that compiling took.
    """

    needed: float | None
    capacity: float | None
    seconds: float


def has_compiler() -> bool:
    """Returns whether libtpu is installed."""
    return importlib.util.find_spec("libtpu") is not None


def prepare() -> None:
    """Keeps JAX off this machine's accelerators, and libtpu off the network and its lock file.

    Call it before JAX computes anything.
    """
    jax.config.update("jax_platforms", "cpu")
    # What a program needs is read off the compiler's answer, not off a program that was kept.
    jax.config.update("jax_enable_compilation_cache", False)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def devices(topology: Topology) -> list[jax.Device]:
    """Returns devices to compile for; nothing can run on them.

    Raises:
      InputError: libtpu knows no such slice.
    """
    options = dict(topology.generation.options)
    try:
        described = jax_topologies.get_topology_desc(
            platform="tpu", topology_name=topology.compiler_name, **options
        )
    except jax.errors.JaxRuntimeError as error:
        raise InputError(
            f"--topology={topology.name}: libtpu has no {topology.compiler_name} "
            f"({str(error).splitlines()[0]}); choose another size"
        ) from error
    return list(described.devices)[: topology.num_devices]


def compile_step(lowered: Any) -> Compiled | DoesNotFit:
    """Compiles what `Step.lower` returns, for devices that `devices` returned.

    Takes about a minute for a 7B model.
    """
    start = time.perf_counter()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return DoesNotFit(*_sizes(str(error)), time.perf_counter() - start)
    memory = compiled.memory_analysis()
    return Compiled(
        text=compiled.as_text(),
        peak_memory=memory.peak_memory_in_bytes,
        code=memory.generated_code_size_in_bytes,
        seconds=time.perf_counter() - start,
    )


def _sizes(message: str) -> tuple[float | None, float | None]:
    """Returns the bytes that a program needs and those that there are.

    Example:
      >>> _sizes("... HLO temporaries (19.3G) exceeds available HBM (15.48G).")
      (20723217203.2, 16621523435.52)
    """
    match = _NO_ROOM.search(message)
    if match is None:
        return None, None
    needed, unit, capacity, capacity_unit = match.groups()
    return float(needed) * _UNITS[unit], float(capacity) * _UNITS[capacity_unit]
