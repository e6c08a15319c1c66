"""Prompts and responses, or documents, to the features a decoder-only model is fed."""

from collections.abc import Callable, Mapping

import gin
import seqio
import tensorflow as tf

from commit_t5x.data import pair_features, pair_rows, row_features
from commit_t5x.mixing import pointer_jumping, ragged_rows
from commit_t5x.vocabularies.tokenizer import Tokenizer

Features = Mapping[str, tf.Tensor]

_SPEC = seqio.FeatureConverter.FeatureSpec(dtype=tf.int32)


@gin.configurable
class DecoderFeatureConverter(seqio.FeatureConverter):
    """Joins `inputs` and `targets`, shifts BOS in, and packs or pads the sequences into rows.

    The loss falls on `targets`. A task without `inputs`, or with empty ones, has documents, which
    bear loss everywhere. Given `{"inputs": 3, "targets": 3}` and BOS 1:

      ds = [{"inputs": [5], "targets": [6, 2]}, {"inputs": [], "targets": [7, 2]}]

    "segments" packs with segment ids and positions, so that attention can be kept within an
    example. `seqio.DecoderFeatureConverter(bos_id=1)` makes the same of the same examples:

      decoder_target_tokens = [5, 6, 2, 7, 2, 0]
       decoder_input_tokens = [1, 5, 6, 1, 7, 0]
       decoder_loss_weights = [0, 1, 1, 1, 1, 0]
        decoder_segment_ids = [1, 1, 1, 2, 2, 0]
          decoder_positions = [0, 1, 2, 0, 1, 0]

    and decoder_causal_attention, by which a network may attend to the whole prompt from each of its
    tokens; training is causal here. (SeqIO also ends a row after so many examples as a row has
    tokens, and begins the padding with a BOS.)

    "filled" is for documents, which may be cut anywhere: it does the same but fills every row, and
    what doesn't fit begins the next row as a segment of its own.

    "stream" is the paper's packing: BOS and tokens of all examples form one stream, 1 5 6 2 1 7 2,
    cut into rows anywhere, without padding, segments or positions; only the end of a finite data
    set is padded:

      decoder_target_tokens = [5, 6, 2, 1, 7, 2]
       decoder_input_tokens = [1, 5, 6, 2, 1, 7]
       decoder_loss_weights = [0, 1, 1, 0, 1, 1]

    Without packing, rows are those of SeqIO's PrefixLMFeatureConverter; T5X decodes from them.
    SeqIO's takes every token of id 0 for padding; in a tokenizer like LLaMA 3's it is text:

      ds = [{"inputs": [8, 9], "targets": [0, 2]}]

        decoder_target_tokens = [8, 9, 0, 2, 0, 0]
         decoder_input_tokens = [1, 8, 9, 0, 2, 0]
         decoder_loss_weights = [0, 0, 1, 1, 0, 0]
     decoder_causal_attention = [1, 1, 1, 0, 0, 0]

    A row holds what the lengths of `inputs` and `targets` add up to, as in SeqIO; or
    `{"inputs": 512, "targets": 512, "row": 512}` makes prompt and response share 512 tokens. Such
    rows have no decoder_causal_attention.

    Examples that have pairs bring features of theirs beside all these; see `pair_rows.beside`.

    Args:
      pack: put several sequences into a row; else one a row, padded.
      use_custom_packing_ops: SeqIO's; not looked at.
      packing: "segments", "filled" or "stream".
      vocabulary: gives the BOS id; SeqIO's default of 0 is not LLaMA's.
    """

    TASK_FEATURES = {"inputs": _SPEC, "targets": _SPEC}
    MODEL_FEATURES = dict.fromkeys(row_features.FEATURES, _SPEC)
    PACKING_FEATURE_DTYPES = dict.fromkeys(row_features.SEGMENTS, tf.int32)

    def __init__(
        self,
        pack: bool = True,
        use_custom_packing_ops: bool = False,
        *,
        packing: row_features.Packing = "segments",
        vocabulary: Tokenizer = gin.REQUIRED,
    ):
        self._row = row_features.RowFeatures(pack, packing=packing)
        super().__init__(
            pack=self._row.pack,
            use_custom_packing_ops=use_custom_packing_ops,
            bos_id=vocabulary.bos_id,
        )

    def __call__(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        """Returns rows.

        Args:
          ds: examples with `targets`, and `inputs` if the task has them, int32 [tokens].
          task_feature_lengths: tokens of each, and of a "row" that they share.

        Raises:
          InputError: other lengths are given. A sequence that is longer than its row is an error
            of tf.data's.
        """
        return self._convert_features(ds, task_feature_lengths)

    def _convert_features(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        rows = self._rows(ds, task_feature_lengths)
        if not pair_features.carried(ds.element_spec):
            return rows
        length = row_features.row_length(task_feature_lengths)
        return pair_rows.beside(rows, ds, length, self.bos_id, segments=self.pack)

    def _rows(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        length = row_features.row_length(task_feature_lengths)
        pairs = _pairs(ds, prompts=not {"inputs", "row"}.isdisjoint(task_feature_lengths))
        if self._row.packing:
            return _PACKINGS[self._row.packing](pairs, length, self.bos_id)
        rows = _padded(pairs, length, self.bos_id)
        names = self.get_model_feature_lengths(task_feature_lengths)
        return rows.map(lambda row: {name: row[name] for name in names})

    def get_model_feature_lengths(
        self, task_feature_lengths: Mapping[str, int]
    ) -> Mapping[str, int]:
        return self._row.get_model_feature_lengths(task_feature_lengths)


_TOO_LONG = (  # without quotes, which TensorFlow would escape
    "sequence longer than its row; raise SEQUENCE_LENGTH, or have LONG_EXAMPLES cut or drop it; "
    "tokens, row:"
)
_NO_LENGTH = "TASK_FEATURE_LENGTHS: no length for `inputs`, which this example has: tokens:"


def _pairs(ds: tf.data.Dataset, prompts: bool) -> tf.data.Dataset:
    """Returns (inputs, targets) of each example, int32 [tokens] each.

    Args:
      ds: examples.
      prompts: whether they may have a prompt.
    """

    @tf.autograph.experimental.do_not_convert  # plain graph code traces faster as it is
    def pair(example: Features) -> tuple[tf.Tensor, tf.Tensor]:
        inputs = example.get("inputs", tf.zeros([0], tf.int32))
        if not prompts:
            size = tf.size(inputs)
            tf.debugging.Assert(size == 0, [_NO_LENGTH, size])
        return inputs, example["targets"]

    # In parallel, handing an example to another thread would cost more than this does.
    return ds.map(pair)


def _padded(ds: tf.data.Dataset, length: int, bos_id: int) -> tf.data.Dataset:
    """Returns a row for each example."""
    places = tf.range(length)

    @tf.autograph.experimental.do_not_convert
    def convert(inputs: tf.Tensor, targets: tf.Tensor) -> Features:
        tokens = tf.concat([inputs, targets], axis=0)
        prefix, end = tf.size(inputs), tf.size(tokens)
        fits = tf.debugging.Assert(end <= length, [_TOO_LONG, end, length])
        with tf.control_dependencies([fits]):
            targets = tf.reshape(tf.pad(tokens, [[0, length - end]]), [length])
        return {
            "decoder_target_tokens": targets,
            "decoder_input_tokens": tf.concat([[bos_id], targets[:-1]], axis=0),
            "decoder_loss_weights": tf.cast((places >= prefix) & (places < end), tf.int32),
            "decoder_causal_attention": tf.cast(places <= prefix, tf.int32),
        }

    return ds.map(convert, num_parallel_calls=tf.data.AUTOTUNE)


_GROUP = 256  # sequences packed at a time


def _groups(ds: tf.data.Dataset) -> tf.data.Dataset:
    """Returns groups of sequences: (tokens, loss weights), int32 ragged [n, (tokens)] each."""
    return ds.ragged_batch(_GROUP).map(_joined)


def _short_groups(ds: tf.data.Dataset) -> tf.data.Dataset:
    """As `_groups`; faster, but a group takes as much memory as if all were like its longest."""

    @tf.autograph.experimental.do_not_convert
    def joined(*padded: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        lengths = (tf.math.count_nonzero(tokens != _FILLER, axis=1) for tokens in padded)
        return _joined(*map(tf.RaggedTensor.from_tensor, padded, lengths))

    return ds.padded_batch(_GROUP, padding_values=_FILLER).map(joined)


@tf.autograph.experimental.do_not_convert
def _joined(
    inputs: tf.RaggedTensor, targets: tf.RaggedTensor
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """Returns the tokens of both, and loss weights, 1 on those of the latter."""
    tokens = ragged_rows.concat([inputs, targets])
    places = tf.ragged.range(tokens.row_lengths())
    in_targets = places.flat_values >= tf.gather(inputs.row_lengths(), ragged_rows.ids(places))
    return tokens, tokens.with_flat_values(tf.cast(in_targets, tf.int32))


_FILLER = -1  # no token


def _filler(length: int, token: int = 0) -> tf.data.Dataset:
    """Returns one group of one sequence, which drives out what waits at the end of the data."""
    row = tf.RaggedTensor.from_tensor(tf.fill([1, length], token))
    return tf.data.Dataset.from_tensors((row, row))


def _scan(ds: tf.data.Dataset, pack: Callable, *dtypes: tf.DType) -> tf.data.Dataset:
    """Returns the rows that `pack` makes of what is left over, nothing at first, and each group."""
    start = tuple(tf.zeros([0], dtype) for dtype in dtypes)
    return ds.scan(start, tf.autograph.experimental.do_not_convert(pack)).unbatch()


def _pack_segments(ds: tf.data.Dataset, length: int, bos_id: int) -> tf.data.Dataset:
    """Fills rows of `length` with whole sequences, in order, as long as the next one fits."""

    def pack(rest, group):
        longest = tf.reduce_max(group[0].row_lengths())
        tf.debugging.Assert(longest <= length, [_TOO_LONG, longest, length])
        new = [*(ragged.flat_values for ragged in group), group[0].row_lengths()]
        targets, weights, lengths = (tf.concat(pair, 0) for pair in zip(rest, new, strict=True))
        ends = tf.cumsum(lengths)
        begins = ends - lengths
        # The row that begins with a sequence ends before the first one that goes over it.
        over = tf.searchsorted(ends, begins + length, "right", tf.int64)
        begins_row = pointer_jumping.visited(over)
        first = tf.where(begins_row)[:, 0]
        # The last row waits for what the next group brings.
        done, used = first[-1], begins[first[-1]]
        lengths, rest = lengths[:done], (targets[used:], weights[used:], lengths[done:])
        row = tf.cumsum(tf.cast(begins_row, tf.int32))[:done] - 1
        segments = tf.repeat(tf.range(done) - tf.gather(first, row), lengths) + 1
        positions = tf.ragged.range(lengths).flat_values
        rows = _with_segments(targets[:used], weights[:used], segments, positions, bos_id)
        splits = tf.gather(begins, first)
        return rest, {
            name: tf.RaggedTensor.from_row_splits(values, splits, validate=False).to_tensor(
                shape=[None, length]
            )
            for name, values in rows.items()
        }

    groups = _short_groups(ds).concatenate(_filler(length))
    return _scan(groups, pack, tf.int32, tf.int32, tf.int64)


def _pack_filled(ds: tf.data.Dataset, length: int, bos_id: int) -> tf.data.Dataset:
    """Fills every row of `length`; a sequence that doesn't fit goes on as another segment."""

    def pack(rest, group):
        new = [*(ragged.flat_values for ragged in group), group[0].row_lengths()]
        targets, weights, lengths = (tf.concat(pair, 0) for pair in zip(rest, new, strict=True))
        places = tf.range(tf.size(targets, tf.int64))
        sequence = tf.repeat(tf.range(tf.size(lengths, tf.int64)), lengths)
        begins = tf.cumsum(lengths, exclusive=True)
        used = tf.size(targets, tf.int64) // length * length
        done, places = sequence[:used], places[:used]
        row_begins = places // length * length
        segments = done - tf.gather(sequence, row_begins) + 1
        positions = places - tf.maximum(tf.gather(begins, done), row_begins)
        rows = _with_segments(targets[:used], weights[:used], segments, positions, bos_id)
        is_sequence = tf.cast(targets[:used] != _FILLER, tf.int32)
        rows = {name: tf.reshape(v * is_sequence, [-1, length]) for name, v in rows.items()}
        left = tf.clip_by_value(begins + lengths - used, 0, lengths)
        return (targets[used:], weights[used:], left[left > 0]), rows

    groups = _groups(ds).concatenate(_filler(length - 1, _FILLER))
    return _scan(groups, pack, tf.int32, tf.int32, tf.int64)


def _with_segments(targets, weights, segments, positions, bos_id) -> Features:
    """Returns the features of sequences that lie one after another, int32 [tokens] each."""
    shifted = tf.concat([[bos_id], targets], axis=0)[:-1]
    return {
        "decoder_target_tokens": targets,
        "decoder_input_tokens": tf.where(positions == 0, bos_id, shifted),
        "decoder_loss_weights": weights,
        "decoder_segment_ids": tf.cast(segments, tf.int32),
        "decoder_positions": tf.cast(positions, tf.int32),
    }


def _pack_stream(ds: tf.data.Dataset, length: int, bos_id: int) -> tf.data.Dataset:
    """Cuts the stream of all sequences, BOS before each, into rows of `length`."""

    @tf.autograph.experimental.do_not_convert
    def with_bos(targets, weights):
        first = tf.fill([targets.nrows()], bos_id)
        parts = ((first, targets), (0 * first, weights))
        return tuple(ragged_rows.concat([ragged_rows.column(a), b]) for a, b in parts)

    def pack(rest, group):
        tokens, weights = (
            tf.concat([left, new.flat_values], axis=0)
            for left, new in zip(rest, group, strict=True)
        )
        # A row of n needs n + 1 tokens, the last of which the next row begins with.
        used = tf.maximum((tf.size(tokens) - 1) // length, 0) * length
        rows = {
            "decoder_target_tokens": tokens[1 : used + 1],
            "decoder_input_tokens": tokens[:used],
            "decoder_loss_weights": weights[1 : used + 1],
        }
        rest = (tokens[used:], weights[used:])
        return rest, {name: tf.reshape(row, [-1, length]) for name, row in rows.items()}

    groups = _groups(ds).map(with_bos).concatenate(_filler(length - 1))
    return _scan(groups, pack, tf.int32, tf.int32)


_PACKINGS = {"segments": _pack_segments, "filled": _pack_filled, "stream": _pack_stream}
