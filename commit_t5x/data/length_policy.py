"""What becomes of sequences that are too long for a row: SeqIO preprocessors on batches."""

import logging
from collections.abc import Mapping

import gin
import numpy as np
import tensorflow as tf

from commit_t5x.errors import InputError

Features = Mapping[str, tf.Tensor]

_POLICIES = ("cut_input", "cut_response", "drop", "keep")

_LOGGER = logging.getLogger(__name__)


@gin.configurable
def fit_prompt_response(
    ds: tf.data.Dataset,
    sequence_length: Mapping[str, int] | None,
    *,
    too_long: str = "cut_input",
) -> tf.data.Dataset:
    """Makes examples fit a row, by a named policy; those cut or dropped are counted and logged.

    Args:
      ds: what `encode_prompt_response` returns.
      sequence_length: SeqIO's; None leaves every sequence as it is.
      too_long: "cut_input" cuts the end of the example's `input`, and drops the example if that is
        not enough; "cut_response" goes on to cut the end of the response, EOS and all, and drops
        the example only if no token with loss is left; "drop" drops every such example; "keep"
        leaves them to stream packing, for which no sequence is too long.
    """
    if too_long not in _POLICIES:
        raise InputError(f"too_long {too_long!r}: unknown; use one of {', '.join(_POLICIES)}")
    longest = (sequence_length or {}).get("targets")
    if too_long == "keep" or longest is None:
        return ds
    counter = _TooLong(longest)

    def fit(batch: Features) -> Features:
        excess = tf.maximum(batch["targets"].row_lengths() - longest, 0)
        return tf.cond(tf.reduce_any(excess > 0), lambda: cut(batch, excess), lambda: batch)

    def cut(batch: Features, excess: tf.Tensor) -> Features:
        targets = batch["targets"]
        rows = targets.value_rowids()
        keep, fits = tf.ones_like(rows, tf.bool), excess == 0
        if too_long != "drop":
            cuttable = tf.cast(batch["targets_cuttable"].flat_values, tf.int64)
            before, total = _count_before(cuttable, rows)
            keep = (cuttable == 0) | (before < tf.gather(total - excess, rows))
            fits = total >= excess
        if too_long == "cut_response":
            before, _ = _count_before(tf.cast(keep, tf.int64), rows)
            keep &= before < longest
            loss = tf.where(keep, batch["targets_loss_weights"].flat_values, 0)
            fits |= tf.math.segment_sum(loss, rows) > 0
        fits = tf.numpy_function(counter.count, [fits, excess], tf.bool)
        fits.set_shape([None])
        keep &= tf.gather(fits, rows)
        lengths = tf.math.segment_sum(tf.cast(keep, tf.int64), rows)[fits]
        return {
            name: tf.RaggedTensor.from_row_lengths(
                tokens.flat_values[keep], lengths, validate=False
            )
            for name, tokens in batch.items()
        }

    return ds.map(fit, num_parallel_calls=tf.data.AUTOTUNE)


@gin.configurable
def fit_documents(
    ds: tf.data.Dataset, sequence_length: Mapping[str, int] | None, *, too_long: str = "split"
) -> tf.data.Dataset:
    """Makes documents fit a row.

    Args:
      ds: what `encode_documents` returns.
      sequence_length: SeqIO's; None leaves every sequence as it is.
      too_long: "split" cuts a document into rows; "keep" leaves it to stream packing.
    """
    if too_long not in ("split", "keep"):
        raise InputError(f"too_long {too_long!r}: unknown; use 'split' or 'keep'")
    longest = (sequence_length or {}).get("targets")
    if too_long == "keep" or longest is None:
        return ds

    def split(batch: Features) -> Features:
        lengths = batch["targets"].row_lengths()
        # A row of 7 tokens becomes rows of 3, 3 and 1.
        parts = -(-lengths // longest)
        part = tf.ragged.range(parts).flat_values
        rest = tf.repeat(lengths, parts) - part * longest
        lengths = tf.minimum(rest, longest)
        return {
            name: tf.RaggedTensor.from_row_lengths(tokens.flat_values, lengths, validate=False)
            for name, tokens in batch.items()
        }

    return ds.map(split, num_parallel_calls=tf.data.AUTOTUNE)


def _count_before(flags: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Counts in each row the flags ahead of each place, and all of them.

    Args:
      flags: int64 [tokens], 0 or 1.
      rows: int64 [tokens], the row of each token; none is empty.

    Returns:
      int64 [tokens] and int64 [rows].
    """
    total = tf.math.segment_sum(flags, rows)
    before_row = tf.cumsum(total, exclusive=True)
    return tf.cumsum(flags, exclusive=True) - tf.gather(before_row, rows), total


class _TooLong:
    """Counts and logs the sequences that are too long for a row."""

    def __init__(self, longest: int):
        self._longest = longest
        self._cut = self._dropped = self._logged = 0

    def count(self, fits: np.ndarray, excess: np.ndarray) -> np.ndarray:
        """Returns `fits`; the two say of each sequence whether it is kept and what it was over."""
        self._cut += int(np.sum(fits & (excess > 0)))
        self._dropped += int(np.sum(~fits))
        # Twice as many before each further line.
        if self._cut + self._dropped >= max(1, 2 * self._logged):
            self._logged = self._cut + self._dropped
            _LOGGER.warning(
                "Sequences over the row's %d tokens so far: %d cut, %d dropped.",
                *(self._longest, self._cut, self._dropped),
            )
        return fits
