"""What a run is planned for, by name: a TPU slice, or GPUs of one host."""

import re
from typing import Protocol

from commit_t5x.errors import InputError
from commit_t5x.planning import gpus, topologies


class Target(Protocol):
    """Devices of one kind; a `topologies.Topology` or a `gpus.Gpus`.

    Attributes:
      name: as it was given.
      summary: of what it is made, in words.
      num_devices: of JAX.
      capacity: bytes a device that a program may have.
      memory_bandwidth: bytes a device and second.
      has_compiler: whether libtpu compiles for it.
    """

    @property
    def name(self) -> str: ...
    @property
    def summary(self) -> str: ...
    @property
    def num_devices(self) -> int: ...
    @property
    def capacity(self) -> float: ...
    @property
    def memory_bandwidth(self) -> float: ...
    @property
    def has_compiler(self) -> bool: ...

    def larger(self, times: float) -> str:
        """Names the next size, or that which has so many times the devices."""
        ...

    def peak(self, dtype: str) -> float:
        """Returns FLOP/s a device for products of matrices of a type."""
        ...


def parse(name: str) -> Target:
    """Returns what has a name.

    Raises:
      InputError: there is no such slice or GPU.

    Example:
      >>> parse("v3-8").num_devices, parse("a100-80x2").num_devices
      (8, 2)
    """
    if re.fullmatch(r"v\d\w*-\d+", name):
        return topologies.parse(name)
    if found := gpus.parse(name):
        return found
    raise InputError(
        f"--topology={name}: unknown; write it as one of {topologies.EXAMPLES}; or a GPU: "
        f"{', '.join(gpus.CARDS)}, or by its memory, gpu:24GiB; several of one host: a100-80x8"
    )
