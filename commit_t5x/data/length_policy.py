"""Lengths, and what becomes of examples that are too long: SeqIO preprocessors on batches."""

from collections.abc import Mapping
from typing import Literal

import gin
import tensorflow as tf

from commit_t5x.data import pair_features
from commit_t5x.data.row_features import LENGTHS
from commit_t5x.errors import InputError
from commit_t5x.mixing import counts, ragged_rows

Features = Mapping[str, tf.Tensor]


@gin.configurable
def fit_prompt_response(
    ds: tf.data.Dataset,
    sequence_length: Mapping[str, int] | None,
    *,
    too_long: Literal["cut_input", "cut_response", "drop", "keep"] = "cut_input",
) -> tf.data.Dataset:
    """Makes examples fit their row, by a named policy; those cut or dropped are counted.

    What it returns fits the lengths of `inputs` and of `targets`, and of the row that they share,
    if there is one: SeqIO, which would cut off a prompt's end, finds nothing to trim.

    Args:
      ds: what `encode_prompt_response` returns.
      sequence_length: SeqIO's, which may have a "row"; None leaves every example as it is.
      too_long: "cut_input" cuts the end of the example's `input`, and drops the example if that is
        not enough; "cut_response" goes on to cut the end of the response, EOS and all, and drops
        the example only if the rest of the prompt leaves no room for any of it; "drop" drops every
        such example; "keep" leaves them to stream packing, for which no sequence is too long.

    Raises:
      InputError: no length for the prompt.
    """
    if sequence_length is None:
        return ds
    if "inputs" not in sequence_length and "row" not in sequence_length:
        raise InputError(
            "TASK_FEATURE_LENGTHS: no length for `inputs`, the prompt; give inputs and targets, or "
            "a row for both"
        )
    if too_long == "keep":
        return ds
    longest_inputs, longest_targets, longest_row = (
        tf.constant(sequence_length.get(name, tf.int64.max), tf.int64) for name in LENGTHS
    )
    counter = counts.current()
    described = ", ".join(f"{name} {length}" for name, length in sequence_length.items())

    @tf.autograph.experimental.do_not_convert  # plain graph code traces faster as it is
    def fit(batch: Features) -> Features:
        names = ("inputs", "inputs_cuttable", "targets")
        batch = {**{name: batch[name] for name in names}, **pair_features.carried(batch)}
        inputs, targets = (batch[name].row_lengths() for name in ("inputs", "targets"))
        long = (inputs > longest_inputs) | (targets > longest_targets)
        long |= inputs + targets > longest_row
        fits, batch = tf.cond(
            tf.reduce_any(long), lambda: cut(batch), lambda: (tf.ones_like(long), batch)
        )
        if counter is not None:
            counter.add_examples_tf(fits, long, described)
        return batch

    def cut(batch: Features) -> tuple[tf.Tensor, Features]:
        inputs, targets = (batch[name].row_lengths() for name in ("inputs", "targets"))
        is_cuttable = tf.cast(batch["inputs_cuttable"], tf.int64)
        cuttable = ragged_rows.sums(is_cuttable)
        if too_long != "drop":
            wanted = tf.minimum(targets, longest_targets)
            excess = tf.maximum(inputs - tf.minimum(longest_inputs, longest_row - wanted), 0)
            excess = tf.minimum(excess, cuttable)
            inputs, cuttable = inputs - excess, cuttable - excess
        if too_long == "cut_response":
            room = tf.minimum(longest_targets, longest_row - inputs)
            targets = tf.where(room > 0, tf.minimum(targets, room), targets)
        fits = (inputs <= longest_inputs) & (targets <= longest_targets)
        fits &= inputs + targets <= longest_row

        rows = ragged_rows.ids(is_cuttable)
        flags = is_cuttable.flat_values
        before = tf.concat([[0], tf.cumsum(flags)], axis=0)  # cuttable tokens before each token
        before = before[:-1] - tf.gather(before, tf.gather(is_cuttable.row_starts(), rows))
        keep_inputs = (flags == 0) | (before < tf.gather(cuttable, rows))
        places = tf.ragged.range(batch["targets"].row_lengths())
        keep_targets = places.flat_values < tf.gather(targets, ragged_rows.ids(places))
        keep = {"inputs": keep_inputs, "inputs_cuttable": keep_inputs, "targets": keep_targets}
        kept = {name: _kept(batch[name], keep[name], fits) for name in keep}
        pairs = pair_features.carried(batch)
        return fits, kept | {n: tf.ragged.boolean_mask(pairs[n], fits) for n in pairs}

    return ds.map(fit, num_parallel_calls=tf.data.AUTOTUNE)


@gin.configurable
def fit_documents(
    ds: tf.data.Dataset,
    sequence_length: Mapping[str, int] | None,
    *,
    too_long: Literal["split", "keep"] = "split",
) -> tf.data.Dataset:
    """Makes documents fit a row.

    Args:
      ds: what `encode_documents` returns.
      sequence_length: SeqIO's, which may have a "row"; None leaves every document as it is.
      too_long: "split" cuts a document into rows; "keep" leaves it to stream packing.
    """
    lengths = [length for name, length in (sequence_length or {}).items() if name != "inputs"]
    if too_long == "keep" or not lengths:
        return ds
    longest = min(lengths)

    @tf.autograph.experimental.do_not_convert
    def split(batch: Features) -> Features:
        targets = batch["targets"]
        lengths = targets.row_lengths()
        # A row of 7 tokens becomes rows of 3, 3 and 1.
        parts = -(-lengths // longest)
        part = tf.ragged.range(parts).flat_values
        rest = tf.repeat(lengths, parts) - part * longest
        lengths = tf.minimum(rest, longest)
        none = tf.zeros_like(lengths)
        return {
            name: tf.RaggedTensor.from_row_lengths(batch[name].flat_values, sizes, validate=False)
            for name, sizes in (("inputs", none), ("targets", lengths))
        }

    return ds.map(split, num_parallel_calls=tf.data.AUTOTUNE)


def _kept(ragged: tf.RaggedTensor, keep: tf.Tensor, fits: tf.Tensor) -> tf.RaggedTensor:
    """Returns the tokens to keep, bool [tokens], of the rows that fit, bool [rows]."""
    lengths = ragged_rows.sums(ragged.with_flat_values(tf.cast(keep, tf.int64)))[fits]
    keep &= tf.gather(fits, ragged_rows.ids(ragged))
    return tf.RaggedTensor.from_row_lengths(ragged.flat_values[keep], lengths, validate=False)
