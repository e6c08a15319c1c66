"""Counter-based random numbers; `graph_random` draws the same in a TensorFlow graph.

The n-th number of a stream is SplitMix64's output function (Steele, Lea and Flood, OOPSLA 2014)
of key + n * gamma: no state is carried, so any number can be drawn anywhere, in any order.
"""

# SplitMix64's constants.
GAMMA = 0x9E3779B97F4A7C15
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_MASK = (1 << 64) - 1


def _finalise(z: int) -> int:
    z = ((z ^ (z >> 30)) * MULTIPLIERS[0]) & _MASK
    z = ((z ^ (z >> 27)) * MULTIPLIERS[1]) & _MASK
    return z ^ (z >> 31)


def key(seed: tuple[int, int]) -> int:
    """Returns the 64-bit key of the stream that a pair of integers (taken modulo 2^64) names."""
    return _finalise((_finalise(seed[0] & _MASK) + GAMMA + seed[1]) & _MASK)


def bits(stream: int, counter: int) -> int:
    """Returns the `counter`-th 32-bit number of a stream."""
    return _finalise((stream + (counter + 1) * GAMMA) & _MASK) >> 32
