"""`stateless_random` inside a TensorFlow graph: the same numbers to the bit."""

import tensorflow as tf

from commit_t5x.mixing.stateless_random import GAMMA, MULTIPLIERS


def key(seeds: tf.Tensor) -> tf.Tensor:
    """Returns `stateless_random.key` of each row: int64 [n, 2] -> uint64 [n]."""
    seeds = tf.bitcast(tf.cast(seeds, tf.int64), tf.uint64)
    return _finalise(_finalise(seeds[:, 0]) + _u64(GAMMA) + seeds[:, 1])


def bits(streams: tf.Tensor, counters: tf.Tensor) -> tf.Tensor:
    """Returns `stateless_random.bits`, elementwise: uint64 [n], int64 [n] -> int64 [n]."""
    steps = (tf.cast(counters, tf.uint64) + _u64(1)) * _u64(GAMMA)
    return tf.cast(tf.bitwise.right_shift(_finalise(streams + steps), _u64(32)), tf.int64)


def _finalise(z: tf.Tensor) -> tf.Tensor:
    for shift, multiplier in zip((30, 27), MULTIPLIERS, strict=True):
        z = tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, _u64(shift))) * _u64(multiplier)
    return tf.bitwise.bitwise_xor(z, tf.bitwise.right_shift(z, _u64(31)))


def _u64(value: int) -> tf.Tensor:
    return tf.constant(value, tf.uint64)
