"""Counter-based random numbers, the same to the bit in Python and in a TensorFlow graph.

The n-th number of a stream is SplitMix64's output function (Steele, Lea and Flood, OOPSLA 2014)
of key + n * gamma: no state is carried, so any number can be drawn anywhere, in any order.
"""

import tensorflow as tf

_GAMMA = 0x9E3779B97F4A7C15
_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_MASK = (1 << 64) - 1


def _finalise(z: int) -> int:
    z = ((z ^ (z >> 30)) * _MULTIPLIERS[0]) & _MASK
    z = ((z ^ (z >> 27)) * _MULTIPLIERS[1]) & _MASK
    return z ^ (z >> 31)


def key(seed: tuple[int, int]) -> int:
    """Returns the 64-bit key of the stream that a pair of integers (taken modulo 2^64) names."""
    return _finalise((_finalise(seed[0] & _MASK) + _GAMMA + seed[1]) & _MASK)


def bits(stream: int, counter: int) -> int:
    """Returns the `counter`-th 32-bit number of a stream."""
    return _finalise((stream + (counter + 1) * _GAMMA) & _MASK) >> 32


# The same two functions on tensors.


def _u64(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint64)


def _finalise_tf(z: tf.Tensor) -> tf.Tensor:
    for shift, multiplier in zip((30, 27), _MULTIPLIERS, strict=True):
        z = tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, _u64(shift))) * _u64(multiplier)
    return tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, _u64(31)))


def key_tf(seeds: tf.Tensor) -> tf.Tensor:
    """`key` of each row: int64 [n, 2] -> uint64 [n]."""
    seeds = tf.bitcast(tf.cast(seeds, tf.int64), tf.uint64)
    return _finalise_tf(_finalise_tf(seeds[:, 0]) + _u64(_GAMMA) + seeds[:, 1])


def bits_tf(streams: tf.Tensor, counters: tf.Tensor) -> tf.Tensor:
    """`bits`, elementwise: uint64 [n], int64 [n] -> int64 [n], each below 2^32."""
    steps = (tf.cast(counters, tf.uint64) + _u64(1)) * _u64(_GAMMA)
    return tf.cast(tf.bitwise.right_shift(_finalise_tf(streams + steps), _u64(32)), tf.int64)
