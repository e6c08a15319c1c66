"""What TPU chips can do, by generation."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Generation:
    """A kind of chip. JAX's devices are its cores, or the whole chip where cores act as one.

    Attributes:
      names: that JAX's devices of it have, their `device_kind`.
      growth: factor from one size of a slice to the next.
      counted_cores: cores a chip by which Cloud counts: a v3-8 has 4 chips, a v5e-8 has 8.
      devices: JAX devices a chip.
      dimensions: of the grid of chips.
      flops: peak a chip and second, bfloat16 (Cloud TPU documentation, as the next two).
      memory_bandwidth: bytes a chip and second.
      link_bandwidth: bytes a link, direction and second.
      clock: Hz; peak over the products that the matrix units finish in a cycle.
      usable_memory: bytes a device that libtpu 0.0.42 lets a program have.
      options: of the compiler's topology.
    """

    names: tuple[str, ...]
    growth: int
    counted_cores: int
    devices: int
    dimensions: int
    flops: float
    memory_bandwidth: float
    link_bandwidth: float
    clock: float
    usable_memory: float
    options: tuple[tuple[str, str], ...] = ()

    @property
    def device_flops(self) -> float:
        """Peak a device and second."""
        return self.flops / self.devices


_GIB = 2**30
_MEGACORE = (("chip_config_name", "megacore"),)
GENERATIONS = {
    "v3": Generation(("TPU v3",), 4, 2, 2, 2, 123e12, 900e9, 82e9, 0.94e9, 15.48 * _GIB),
    "v4": Generation(
        ("TPU v4",), 2, 2, 1, 3, 275e12, 1228e9, 50e9, 1.05e9, 30.75 * _GIB, _MEGACORE
    ),
    "v5e": Generation(
        ("TPU v5 lite", "TPU v5e"), 2, 1, 1, 2, 197e12, 819e9, 50e9, 1.5e9, 15.75 * _GIB
    ),
    "v5p": Generation(
        ("TPU v5", "TPU v5p"), 2, 2, 1, 3, 459e12, 2765e9, 100e9, 1.75e9, 95.74 * _GIB, _MEGACORE
    ),
    "v6e": Generation(
        ("TPU v6 lite", "TPU v6e"), 2, 1, 1, 2, 918e12, 1640e9, 100e9, 1.75e9, 31.25 * _GIB
    ),
}
