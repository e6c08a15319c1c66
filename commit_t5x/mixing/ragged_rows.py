"""What is done with rows of different lengths, in few operations.

TensorFlow's own functions make some seventy of each: adding them to a graph takes a good part of
the time until the first batch, and they run longer, too.
"""

from collections.abc import Sequence

import tensorflow as tf


def ids(ragged: tf.RaggedTensor) -> tf.Tensor:
    """Returns the row of each value, int64 [values], as `RaggedTensor.value_rowids` does.

    Example: [[5, 6], [], [7]] -> [0, 0, 2]
    """
    nothing = tf.zeros(tf.shape(ragged.flat_values), tf.bool)
    sparse = tf.raw_ops.RaggedTensorToSparse(
        rt_nested_splits=[ragged.row_splits], rt_dense_values=nothing
    )
    return sparse.sparse_indices[:, 0]


def concat(parts: Sequence[tf.RaggedTensor]) -> tf.RaggedTensor:
    """Returns the rows of several, end to end, as `tf.concat(parts, axis=1)` does.

    Example: [[5, 6], []] and [[8], [9]] -> [[5, 6, 8], [9]]
    """
    lengths = tf.stack([part.row_lengths() for part in parts])  # [parts, rows]
    values = tf.concat([part.flat_values for part in parts], axis=0)
    pieces = tf.RaggedTensor.from_row_lengths(values, tf.reshape(lengths, [-1]), validate=False)
    order = tf.transpose(tf.reshape(tf.range(tf.size(lengths)), tf.shape(lengths)))
    values = tf.gather(pieces, tf.reshape(order, [-1])).flat_values
    return tf.RaggedTensor.from_row_lengths(values, tf.reduce_sum(lengths, axis=0), validate=False)


def rows(ragged: tf.RaggedTensor, start: tf.Tensor, stop: tf.Tensor) -> tf.RaggedTensor:
    """Returns some of the rows, as `ragged[start:stop]` does."""
    splits = ragged.row_splits[start : stop + 1]
    values = ragged.flat_values[splits[0] : splits[-1]]
    return tf.RaggedTensor.from_row_splits(values, splits - splits[0], validate=False)


def column(values: tf.Tensor) -> tf.RaggedTensor:
    """Returns rows of one value each, of values [rows]."""
    splits = tf.range(tf.size(values, tf.int64) + 1)
    return tf.RaggedTensor.from_row_splits(values, splits, validate=False)


def sums(ragged: tf.RaggedTensor) -> tf.Tensor:
    """Returns the sum of each row, [rows], as `tf.reduce_sum(ragged, axis=1)` does."""
    return tf.math.unsorted_segment_sum(ragged.flat_values, ids(ragged), ragged.nrows())


def join(strings: tf.RaggedTensor) -> tf.Tensor:
    """Joins the strings of each row: string [rows], as `tf.strings.reduce_join` does.

    Example: [["a", "b"], []] -> ["ab", ""]
    """
    return tf.strings.unsorted_segment_join(strings.flat_values, ids(strings), strings.nrows())
