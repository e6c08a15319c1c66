"""When each example is mixed: the seed of its pass over the data, and the ratio of its time."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated

import gin
import seqio
import tensorflow as tf

from commit_t5x import ranges, signatures
from commit_t5x.errors import InputError
from commit_t5x.mixing import graph_random

Features = Mapping[str, tf.Tensor]

_RISING = ((0, 0.0), (500, 1.0))


def number_epochs(ds: tf.data.Dataset) -> tf.data.Dataset:
    """Adds `epoch_seed` and `position`, which mixing goes by, to batches with an `index`.

    SeqIO repeats the data before the preprocessors run; a new epoch is one in which the `index`
    that came first comes again. So an example is mixed alike in every shard and after caching.

    Returns:
      `epoch_seed`, int64: a hash of the data set's seed and the epoch.
      `position`, int64: examples before this one, those of earlier epochs included; of this shard,
        where data is sharded.
    """
    # One element, from SeqIO's own seed manager, as its stochastic preprocessors get theirs.
    draw = seqio.map_over_dataset(lambda _, seed: seed, num_seeds=1)
    first, second = tf.unstack(draw(tf.data.Dataset.from_tensors(0)).get_single_element())
    base = tf.bitcast(graph_random.key(tf.stack([[first, second]])), tf.int64)

    def number(state, batch):
        first_index, epoch, position = state
        index = tf.cast(batch["index"], tf.int64)
        is_first = first_index < 0
        first_index = tf.where(is_first, index[0], first_index)
        # The batch may hold the end of one epoch, whole ones, and the beginning of another.
        begun = tf.cumsum(tf.cast(index == first_index, tf.int64)) - tf.cast(is_first, tf.int64)
        epochs = epoch + begun
        positions = position + tf.range(tf.size(index, tf.int64))
        seeds = graph_random.key(tf.stack([tf.repeat(base, tf.size(epochs)), epochs], 1))
        numbers = {"epoch_seed": tf.bitcast(seeds, tf.int64), "position": positions}
        return (first_index, epochs[-1], positions[-1] + 1), {**batch, **numbers}

    zero = tf.constant(0, tf.int64)
    return ds.scan((zero - 1, zero, zero), tf.autograph.experimental.do_not_convert(number))


@gin.configurable
@dataclasses.dataclass(frozen=True)
class MixSchedule:
    """Scales the mixing ratio as training goes on.

    Attributes:
      factors: (examples, factor) points, with examples rising; the ratio is multiplied by the
        factor, linear between the points and constant before the first and after the last. None:
        always 1. Examples are those seen so far, by this host where several share the data; a step
        sees as many as its batch has rows, and more where rows are packed.

    Raises:
      InputError: a value out of its range, or examples that don't rise.

    Example:
      >>> schedule = MixSchedule(((0, 0.0), (1600, 1.0)))
      >>> schedule.factor_tf(tf.constant([400, 3200])).numpy().tolist()
      [0.25, 1.0]
    """

    factors: (
        Annotated[Sequence[tuple[ranges.NotNegative, ranges.Share]], ranges.Example(_RISING)] | None
    ) = None

    def __post_init__(self):
        signatures.check(type(self), vars(self))
        examples = [seen for seen, _ in self.factors or ()]
        if sorted(set(examples)) != examples:
            raise InputError(f"CODEMIX_SCHEDULE: {examples} don't rise; put the points in order")

    def factor_tf(self, positions: tf.Tensor) -> tf.Tensor:
        """Returns the factor for examples at these positions: int64 [n] -> float64 [n]."""
        seen = tf.cast(positions, tf.float64)
        points = tf.constant(self.factors or [(0, 1)], tf.float64)
        after = tf.searchsorted(points[:, 0], seen, "right")
        low = tf.gather(points, tf.maximum(after - 1, 0))
        high = tf.gather(points, tf.minimum(after, points.shape[0] - 1))
        along = tf.math.divide_no_nan(seen - low[:, 0], high[:, 0] - low[:, 0])
        return low[:, 1] + tf.clip_by_value(along, 0, 1) * (high[:, 1] - low[:, 1])
