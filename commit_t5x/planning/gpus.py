"""GPUs by name or by their memory: one, or several of one host."""

import dataclasses
import math
import re

from commit_t5x.errors import InputError

_GIB = 2**30
# JAX takes this share of a GPU's memory by default, and this one is the most that is safe to ask
# for: CUDA itself needs some.
DEFAULT_SHARE, LARGEST_SHARE = 0.75, 0.92
FRACTION = f"XLA_PYTHON_CLIENT_MEM_FRACTION={LARGEST_SHARE:g}".replace("=0.", "=.")


@dataclasses.dataclass(frozen=True)
class Card:
    """A kind of GPU, by its maker's data sheet.

    Attributes:
      memory: bytes that the driver reports, error correction taken off where it is on by default.
      bfloat16: FLOP/s of dense products that are summed in fp32. A T4 computes them in fp32.
      float32: the same; XLA lets tensor cores round fp32 operands to TF32 where they can.
      bandwidth: bytes of memory a second.
    """

    memory: float
    bfloat16: float
    float32: float
    bandwidth: float


CARDS = {
    "t4": Card(15.0 * _GIB, 8.1e12, 8.1e12, 320e9),
    "rtx3060": Card(12.0 * _GIB, 25e12, 12.7e12, 360e9),
    "rtx3090": Card(24.0 * _GIB, 71e12, 35.6e12, 936e9),
    "rtx4080": Card(16.0 * _GIB, 97.5e12, 48.7e12, 717e9),
    "rtx4090": Card(24.0 * _GIB, 165e12, 82.6e12, 1008e9),
    "rtx5090": Card(31.8 * _GIB, 209e12, 104.8e12, 1792e9),
    "a10g": Card(22.5 * _GIB, 70e12, 35e12, 600e9),
    "l4": Card(22.5 * _GIB, 121e12, 60e12, 300e9),
    "l40s": Card(45.0 * _GIB, 362e12, 183e12, 864e9),
    "a6000": Card(48.0 * _GIB, 155e12, 77.4e12, 768e9),
    "a100-40": Card(40.0 * _GIB, 312e12, 156e12, 1555e9),
    "a100-80": Card(80.0 * _GIB, 312e12, 156e12, 2039e9),
    "h100": Card(79.6 * _GIB, 989e12, 495e12, 3350e9),
    "h200": Card(140.4 * _GIB, 989e12, 495e12, 4800e9),
}
# Nothing is known of the speed of a GPU that is named by its memory; that of this one is taken.
_TYPICAL = "rtx3090"
_BYTES = {"GiB": _GIB, "GB": 1e9, "MiB": 2**20, "MB": 1e6, "": 1}


@dataclasses.dataclass(frozen=True)
class Gpus:
    """GPUs of one host, all of a kind.

    Example:
      >>> gpus = parse("a100-80x8")
      >>> gpus.num_devices, gpus.peak("bfloat16"), gpus.larger(3.5)
      (8, 312000000000000.0, 'a100-80x32')
    """

    name: str
    kind: str
    card: Card
    num_devices: int

    has_compiler = False

    @property
    def summary(self) -> str:
        speed = f", taken to be as fast as {_TYPICAL}" if self.kind not in CARDS else ""
        return f"{self.num_devices} GPU{'s' * (self.num_devices > 1)}{speed}"

    @property
    def capacity(self) -> float:
        return LARGEST_SHARE * self.card.memory

    @property
    def default_capacity(self) -> float:
        """Bytes that JAX takes where the environment doesn't say."""
        return DEFAULT_SHARE * self.card.memory

    @property
    def memory_bandwidth(self) -> float:
        return self.card.bandwidth

    def larger(self, times: float) -> str:
        # The sides of weights divide by powers of two.
        return f"{self.kind}x{2 ** math.ceil(math.log2(self.num_devices * max(times, 2)))}"

    def peak(self, dtype: str) -> float:
        return self.card.bfloat16 if dtype == "bfloat16" else self.card.float32


def parse(name: str) -> Gpus | None:
    """Returns the GPUs of a name, such as rtx4090, a100-80x8 or gpu:24GiB; None if it is none.

    Raises:
      InputError: no memory, or no GPU.
    """
    several = re.fullmatch(r"(.+)x(\d+)", name) if name.lower() not in CARDS else None
    kind, count = (several[1], int(several[2])) if several else (name, 1)
    if kind.lower() in CARDS:
        kind = kind.lower()
    card = CARDS.get(kind)
    if size := re.fullmatch(r"gpu:(-?\d+(?:\.\d+)?)(GiB|GB|MiB|MB|)", kind):
        memory = float(size[1]) * _BYTES[size[2]]
        card = dataclasses.replace(CARDS[_TYPICAL], memory=memory)
    if card is None:
        return None
    if card.memory < _GIB or not count:
        raise InputError(
            f"--topology={name}: {'no GPU' if not count else 'less than 1 GiB'}; write the memory "
            "of one with its unit, gpu:24GiB, and how many behind it, gpu:24GiBx2"
        )
    return Gpus(name, kind, card, count)
