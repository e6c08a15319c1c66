"""The same seed gives the same batches: in any number of shards and threads, and after a resume."""

import functools
import itertools

import gin
import numpy as np
import pytest
import seqio
import tensorflow as tf

from commit_t5x.data.feature_converters import DecoderFeatureConverter
from commit_t5x.engine import data, gin_utils, utils

TASKS = ("alpaca_codemix_hi", pytest.param("wikipedia_codemix_th", marks=pytest.mark.slow))
CONVERTER = functools.partial(DecoderFeatureConverter, packing="segments")
LENGTHS = {"inputs": 512, "targets": 512, "row": 512}


@pytest.fixture(autouse=True, scope="module")
def improved():
    macros = {
        **dict.fromkeys(("ALPACA_PATH", "WIKIPEDIA_PATH", "DICT_DIR", "TOKENIZER"), "'samples'"),
        **{"LANGUAGE": "'hi'", "MODEL_DIR": "'out'", "INITIAL_CHECKPOINT_PATH": "None"},
        "BATCH_SIZE": "8",
    }
    gin.clear_config()
    gin_utils.load(["recipes/commit.gin"], [f"{name} = {value}" for name, value in macros.items()])
    yield
    gin.clear_config()


def config(task, **options):
    defaults = {"split": "train", "batch_size": 8, "shuffle": True, "seed": 7}
    return utils.DatasetConfig(task, LENGTHS, **{**defaults, **options})


def take(batches, count):
    return [next(batches) for _ in range(count)]


def assert_same(batches, others):
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name, rows in batch.items():
            np.testing.assert_array_equal(rows, other[name])


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_run_can_be_repeated_and_resumed_in_mid_epoch(task, tmp_path):
    iterator = data.TrainIterator(config(task), CONVERTER)
    begun = take(iterator, 2)
    iterator.save(tmp_path)
    expected = take(iterator, 6)
    again = data.TrainIterator(config(task), CONVERTER)
    assert_same(take(again, 8)[2:], expected)
    again.restore(tmp_path)
    assert_same(take(again, 6), expected)
    other = next(data.TrainIterator(config(task, seed=8), CONVERTER))
    assert not np.array_equal(other["decoder_target_tokens"], begun[0]["decoder_target_tokens"])


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_threads_change_nothing(task):
    def batches(threads):
        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        options.autotune.enabled = False
        rows = data.get_rows(config(task), CONVERTER, num_epochs=2).with_options(options)
        return list(rows.batch(8).as_numpy_iterator())

    assert_same(batches(1), batches(4))


@functools.cache
def examples(task, shards, epochs):
    """Returns the examples of each shard."""
    datasets = [
        seqio.get_mixture_or_task(task).get_dataset(
            LENGTHS,
            split="train",
            shuffle=False,
            seed=7,
            shard_info=seqio.ShardInfo(shard, shards),
            num_epochs=epochs,
        )
        for shard in range(shards)
    ]
    return [list(ds.as_numpy_iterator()) for ds in datasets]


@pytest.mark.slow
def test_shards_put_together_are_the_examples():
    [whole] = examples("alpaca_codemix_hi", 1, epochs=1)
    for shards in (2, 8):
        in_turn = itertools.zip_longest(*examples("alpaca_codemix_hi", shards, epochs=1))
        assert_same(filter(None, itertools.chain.from_iterable(in_turn)), whole)


# Documents are split into rows after sharding, so it is their rows that are the same.
@pytest.mark.parametrize(
    "task, shards",
    [("alpaca_codemix_hi", 2), pytest.param("wikipedia_codemix_th", 8, marks=pytest.mark.slow)],
)
def test_shards_hold_the_same_sequences_in_every_epoch(task, shards):
    def sequences(count):
        # The epochs of a data set are told apart by their mixes.
        return sorted(
            tuple(row["targets"]) for shard in examples(task, count, epochs=2) for row in shard
        )

    assert sequences(shards) == sequences(1)


@pytest.mark.parametrize("task", TASKS)
def test_epochs_differ_in_their_mixes(task):
    [both] = examples(task, 1, epochs=2)
    [first] = examples(task, 1, epochs=1)
    second = both[len(first) :]
    assert_same(both[: len(first)], first)
    assert [tuple(row["targets"]) for row in second] != [tuple(row["targets"]) for row in first]
