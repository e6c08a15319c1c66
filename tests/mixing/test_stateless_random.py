import itertools

import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st

from commit_t5x.mixing import graph_random, stateless_random

# The first numbers of SplitMix64 as its authors' C code (prng.di.unimi.it/splitmix64.c) gives them.
SPLITMIX64 = {
    0: (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC),
    1234567: (
        *(6457827717110365317, 3203168211198807973, 9817491932198370423),
        *(4593380528125082431, 16408922859458223821),
    ),
}

INTEGERS = st.integers(-(2**80), 2**80)
STREAMS = (0, 1, 1234567, 2**63 - 1, 2**63, 2**64 - 1, 0x9E3779B97F4A7C15)
COUNTERS = (0, 1, 2, 1000, 2**31, 2**32 + 1, 2**62, 2**63 - 1)
SEEDS = (0, 1, -1, 42, 2**31, -(2**31), 2**63 - 1, -(2**63))


def splitmix64(state, steps):
    """Returns the last of so many numbers of the published generator."""
    for _ in range(steps):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = state
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        z = z ^ (z >> 31)
    return z


@pytest.mark.parametrize("seed", SPLITMIX64)
def test_a_stream_is_the_upper_half_of_splitmix64(seed):
    published = SPLITMIX64[seed]
    assert [splitmix64(seed, n + 1) for n in range(len(published))] == list(published)
    bits = [stateless_random.bits(seed, n) for n in range(len(published))]
    assert bits == [number >> 32 for number in published]


@given(st.tuples(INTEGERS, INTEGERS))
def test_a_key_chains_two_steps_of_the_generator_modulo_2_64(seed):
    first = splitmix64((seed[0] - 0x9E3779B97F4A7C15) % 2**64, 1)
    assert stateless_random.key(seed) == splitmix64((first + seed[1]) % 2**64, 1)


def test_neighbouring_seeds_have_different_keys():
    seeds = itertools.product(range(-50, 50), repeat=2)
    assert len({stateless_random.key(seed) for seed in seeds}) == 100 * 100


@given(
    seeds=st.lists(st.tuples(*[st.integers(-(2**63), 2**63 - 1)] * 2), min_size=1),
    draws=st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1)), min_size=1),
)
@example(
    seeds=list(itertools.product(SEEDS, repeat=2)),
    draws=list(itertools.product(STREAMS, COUNTERS)),
)
def test_tensorflow_gives_the_same_keys_and_numbers(seeds, draws):
    keys = graph_random.key(tf.constant(seeds, tf.int64))
    assert keys.dtype == tf.uint64
    assert keys.numpy().tolist() == [stateless_random.key(seed) for seed in seeds]
    streams, counters = zip(*draws, strict=True)
    bits = graph_random.bits(tf.constant(streams, tf.uint64), tf.constant(counters, tf.int64))
    assert bits.dtype == tf.int64
    assert bits.numpy().tolist() == [stateless_random.bits(*draw) for draw in draws]
