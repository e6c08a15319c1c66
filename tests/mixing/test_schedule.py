import numpy as np
import pytest
import seqio
import tensorflow as tf

from commit_t5x.errors import InputError
from commit_t5x.mixing.schedule import MixSchedule, number_epochs


def numbered(seed, size=12, epochs=3, shards=1, batch=5):
    """Returns (epoch_seed, position) of each epoch, in the source's order, from `shards` shards."""
    results = []
    for shard in range(shards):
        ds = tf.data.Dataset.from_tensor_slices({"index": np.arange(size, dtype=np.int64)})
        with seqio.utils.map_seed_manager(seed):
            ds = number_epochs(ds.shard(shards, shard).repeat(epochs).batch(batch))
        ds = ds.unbatch().as_numpy_iterator()
        rows = [(int(r["epoch_seed"]), int(r["position"])) for r in ds]
        results.append(rows)
    together = [row for group in zip(*results, strict=True) for row in group]
    return [together[i : i + size] for i in range(0, len(together), size)]


def test_a_seed_fixes_those_of_its_epochs():
    epochs = numbered(seed=1)
    seeds = [{seed for seed, _ in epoch} for epoch in epochs]
    assert all(len(group) == 1 for group in seeds)
    assert len(set.union(*seeds)) == 3
    assert numbered(seed=1) == epochs
    assert numbered(seed=2)[0][0][0] not in set.union(*seeds)


def test_positions_count_on_over_epochs():
    positions = [position for epoch in numbered(seed=1) for _, position in epoch]
    assert positions == list(range(36))


@pytest.mark.parametrize("batch", [1, 4, 12, 13, 100])
def test_the_size_of_batches_changes_nothing(batch):
    assert numbered(seed=1, batch=batch) == numbered(seed=1)


@pytest.mark.parametrize("shards", [2, 4])
def test_seeds_do_not_depend_on_the_number_of_shards(shards):
    whole, sharded = numbered(seed=1), numbered(seed=1, shards=shards)
    assert [[seed for seed, _ in epoch] for epoch in sharded] == [
        [seed for seed, _ in epoch] for epoch in whole
    ]
    # Steps are the same, too, where a shard's share of their examples is given.
    for one, other in zip(sum(sharded, []), sum(whole, []), strict=True):
        assert one[1] // (8 // shards) == other[1] // 8


def test_places_in_the_data_need_not_follow_each_other():
    ds = tf.data.Dataset.from_tensor_slices({"index": np.array([5, 1 << 40, 3], np.int64)})
    with seqio.utils.map_seed_manager(1):
        [batch] = number_epochs(ds.repeat(2).batch(9)).as_numpy_iterator()
    assert batch["position"].tolist() == [0, 1, 2, 3, 4, 5]
    assert len(set(batch["epoch_seed"][:3])) == len(set(batch["epoch_seed"][3:])) == 1
    assert batch["epoch_seed"][0] != batch["epoch_seed"][3]


@pytest.mark.parametrize(
    "position, factor",
    [(0, 0.2), (16, 0.2), (32, 0.4), (40, 0.5), (64, 0.8), (999, 0.8)],
)
def test_the_factor_is_linear_between_the_points(position, factor):
    schedule = MixSchedule(((16, 0.2), (64, 0.8)))
    assert schedule.factor_tf(tf.constant([position], tf.int64)).numpy() == pytest.approx(factor)


def test_without_points_the_factor_is_1():
    assert MixSchedule().factor_tf(tf.constant([0, 10**9], tf.int64)).numpy().tolist() == [1, 1]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"factors": ((5, 0.1), (5, 0.2))}, "don't rise"),
        ({"factors": ((0, 1.2),)}, "factors: .* a number from 0 to 1"),
    ],
)
def test_schedules_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        MixSchedule(**options)
