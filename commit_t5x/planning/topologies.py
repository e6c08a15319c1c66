"""TPU slices by their Cloud names."""

import dataclasses
import math
import re

from commit_t5x.engine.tpu_generations import GENERATIONS, Generation
from commit_t5x.errors import InputError

EXAMPLES = "v3-8, v4-8, v5e-1, v5e-8, v5p-8, v6e-1, v6e-8, v5e-64"


@dataclasses.dataclass(frozen=True)
class Topology:
    """A slice such as v3-8.

    Example:
      >>> topology = parse("v3-8")
      >>> topology.compiler_name, topology.num_devices, topology.links
      ('v3:2x2', 8, 2)
    """

    name: str
    kind: str
    grid: tuple[int, ...]

    @property
    def generation(self) -> Generation:
        return GENERATIONS[self.kind]

    @property
    def num_chips(self) -> int:
        return math.prod(self.grid)

    @property
    def num_devices(self) -> int:
        return self.num_chips * self.generation.devices

    @property
    def compiler_name(self) -> str:
        """libtpu's name for it; for one chip, which it doesn't know, that of the smallest slice."""
        grid = self.grid if self.num_chips > 1 else _grid(4, self.generation.dimensions)
        return f"{self.kind}:{'x'.join(map(str, grid))}"

    @property
    def links(self) -> int:
        """Links that each chip has at least, wherever it stands in a grid that doesn't wrap."""
        return sum(size > 1 for size in self.grid)

    has_compiler = True

    @property
    def summary(self) -> str:
        return f"{self.num_chips} chips, {self.num_devices} devices"

    @property
    def capacity(self) -> float:
        return self.generation.usable_memory

    @property
    def memory_bandwidth(self) -> float:
        return self.generation.memory_bandwidth / self.generation.devices

    def larger(self, times: float) -> str:
        chips = max(4, self.generation.growth * self.num_chips)
        while chips < times * self.num_chips:
            chips *= self.generation.growth
        return f"{self.kind}-{chips * self.generation.counted_cores}"

    def peak(self, dtype: str) -> float:
        """Peak a device and second, that of bfloat16: by default a TPU rounds operands to it."""
        del dtype
        return self.generation.device_flops


def parse(name: str) -> Topology:
    """Returns the slice of a Cloud name: generation, and the number of cores (v5e, v6e: of chips).

    Raises:
      InputError: no such generation, or a number that makes no slice.

    Example:
      >>> parse("v5e-64").grid
      (8, 8)
    """
    match = re.fullmatch(r"(v\w+?)-(\d+)", name)
    kind = {"v5litepod": "v5e"}.get(match[1], match[1]) if match else ""
    if kind not in GENERATIONS:
        raise InputError(f"--topology={name}: unknown; write it as one of {EXAMPLES}")
    generation, count = GENERATIONS[kind], int(match[2])
    chips, rest = divmod(count, generation.counted_cores)
    if count == 1 and generation.counted_cores == 1:
        return Topology(name, kind, (1,) * generation.dimensions)
    if rest or chips < 4 or chips & (chips - 1):
        smallest = 4 * generation.counted_cores
        counted = "cores" if generation.counted_cores > 1 else "chips"
        raise InputError(
            f"--topology={name}: no slice has {count} {counted}; "
            f"take {smallest} times a power of two, e.g. {kind}-{8 * generation.counted_cores}"
        )
    return Topology(name, kind, _grid(chips, generation.dimensions))


def _grid(chips: int, dimensions: int) -> tuple[int, ...]:
    """Splits a power of two into sides as even as they can be, the smaller ones first.

    Four chips of a three-dimensional grid are 2x2x1, as Cloud has them.
    """
    exponent = chips.bit_length() - 1
    sides = [1 << (exponent + i) // dimensions for i in range(dimensions)]
    return tuple(sides) if chips > 4 else tuple(sorted(sides, reverse=True))
