"""Token sequences with loss weights to the features a decoder-only model is fed."""

from collections.abc import Callable, Mapping

import gin
import seqio
import tensorflow as tf

from commit_t5x.errors import InputError
from commit_t5x.mixing import pointer_jumping
from commit_t5x.vocabularies.tokenizer import Tokenizer

Features = Mapping[str, tf.Tensor]

_SPEC = seqio.FeatureConverter.FeatureSpec(dtype=tf.int32)


@gin.configurable
class DecoderFeatureConverter(seqio.FeatureConverter):
    """Shifts BOS in, and packs or pads sequences into rows.

    For a task with `targets` and `targets_loss_weights` (training), given
    `{"targets": 6, "targets_loss_weights": 6}` and BOS 1:

      ds = [{"targets": [5, 6, 2], "targets_loss_weights": [0, 1, 1]},
            {"targets": [7, 2], "targets_loss_weights": [1, 1]}]

    "segments" packs with SeqIO's segment ids and positions, so that attention can be kept within
    an example:

      decoder_target_tokens = [5, 6, 2, 7, 2, 0]
       decoder_input_tokens = [1, 5, 6, 1, 7, 0]
       decoder_loss_weights = [0, 1, 1, 1, 1, 0]
        decoder_segment_ids = [1, 1, 1, 2, 2, 0]
          decoder_positions = [0, 1, 2, 0, 1, 0]

    "filled" is for documents, which may be cut anywhere: it does the same but fills every row, and
    what doesn't fit begins the next row as a segment of its own.

    "stream" is the paper's packing: BOS and targets of all examples form one stream, 1 5 6 2 1 7 2,
    cut into rows anywhere, without padding, segments or positions; only the end of a finite data
    set is padded:

      decoder_target_tokens = [5, 6, 2, 1, 7, 2]
       decoder_input_tokens = [1, 5, 6, 2, 1, 7]
       decoder_loss_weights = [0, 1, 1, 0, 1, 1]

    For a task with `inputs` and `targets` (evaluation by generation) it does what SeqIO's
    PrefixLMFeatureConverter does, with this vocabulary's BOS. SeqIO's takes every token of id 0 for
    padding; in a tokenizer like LLaMA 3's it is text. Given `{"inputs": 3, "targets": 3}`:

      ds = [{"inputs": [8, 9], "targets": [0, 2]}]

        decoder_target_tokens = [8, 9, 0, 2, 0, 0]
         decoder_input_tokens = [1, 8, 9, 0, 2, 0]
         decoder_loss_weights = [0, 0, 1, 1, 0, 0]
     decoder_causal_attention = [1, 1, 1, 0, 0, 0]

    Args:
      pack: put several sequences into a row; else one a row, padded.
      use_custom_packing_ops: as in SeqIO.
      packing: "segments", "filled" or "stream".
      vocabulary: gives the BOS id; SeqIO's default of 0 is not LLaMA's.
    """

    TASK_FEATURES = {"targets": _SPEC, "targets_loss_weights": _SPEC}
    MODEL_FEATURES = {
        "decoder_target_tokens": _SPEC,
        "decoder_input_tokens": _SPEC,
        "decoder_loss_weights": _SPEC,
    }
    PACKING_FEATURE_DTYPES = {"decoder_segment_ids": tf.int32, "decoder_positions": tf.int32}

    def __init__(
        self,
        pack: bool = True,
        use_custom_packing_ops: bool = False,
        *,
        packing: str = "segments",
        vocabulary: Tokenizer = gin.REQUIRED,
    ):
        if packing not in _PACKINGS:
            raise InputError(f"packing {packing!r}: unknown; use one of {', '.join(_PACKINGS)}")
        self._packing = packing if pack else None
        super().__init__(
            # A stream has neither segments nor positions, which is what `pack` means to SeqIO.
            pack=pack and packing != "stream",
            use_custom_packing_ops=use_custom_packing_ops,
            # Packing looks at lengths itself, many sequences at a time, which is much faster.
            apply_length_check=self._packing is None,
            bos_id=vocabulary.bos_id,
        )

    def __call__(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        if "inputs" in task_feature_lengths:
            length = task_feature_lengths["inputs"] + task_feature_lengths["targets"]
            return _prefix_rows(ds, length, self.bos_id)
        return super().__call__(ds, task_feature_lengths)

    def _convert_features(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        length = task_feature_lengths["targets"]
        if self._packing:
            return _PACKINGS[self._packing](ds, length, self.bos_id)

        def pad(example: Features) -> Features:
            targets, weights = (
                tf.reshape(tf.pad(values, [[0, length - tf.size(values)]]), [length])
                for values in (example[name] for name in self.TASK_FEATURES)
            )
            inputs = tf.concat([[self.bos_id], targets[:-1]], axis=0)
            return dict(zip(self.MODEL_FEATURES, (targets, inputs, weights), strict=True))

        return ds.map(pad, num_parallel_calls=tf.data.AUTOTUNE)

    def get_model_feature_lengths(
        self, task_feature_lengths: Mapping[str, int]
    ) -> Mapping[str, int]:
        names = [*self.MODEL_FEATURES, *(self.PACKING_FEATURE_DTYPES if self.pack else ())]
        return dict.fromkeys(names, task_feature_lengths["targets"])


def _prefix_rows(ds: tf.data.Dataset, length: int, bos_id: int) -> tf.data.Dataset:
    """Joins `inputs` and `targets` to rows of `length`; the loss falls on the latter."""
    places = tf.range(length)

    def convert(example: Features) -> Features:
        tokens = tf.concat([example["inputs"], example["targets"]], axis=0)[:length]
        prefix, end = tf.size(example["inputs"]), tf.size(tokens)
        targets = tf.reshape(tf.pad(tokens, [[0, length - end]]), [length])
        inputs = tf.concat([[bos_id], targets[:-1]], axis=0)
        return {
            "decoder_target_tokens": targets,
            "decoder_input_tokens": inputs,
            "decoder_loss_weights": tf.cast((places >= prefix) & (places < end), tf.int32),
            "decoder_causal_attention": tf.cast(places <= prefix, tf.int32),
        }

    return ds.map(convert, num_parallel_calls=tf.data.AUTOTUNE)


_GROUP = 256  # sequences packed at a time

_TOO_LONG = "sequence longer than its row (fit_prompt_response can cut or drop it): tokens, row:"


def _groups(ds: tf.data.Dataset) -> tf.data.Dataset:
    """Returns groups of sequences: (targets, loss weights), int32 ragged [n, (tokens)] each."""
    return ds.map(_pair).ragged_batch(_GROUP)


def _short_groups(ds: tf.data.Dataset) -> tf.data.Dataset:
    """As `_groups`; faster, but a group takes as much memory as if all were like its longest."""

    def group(targets: tf.Tensor, weights: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        lengths = tf.math.count_nonzero(targets != _FILLER, axis=1)
        return tuple(tf.RaggedTensor.from_tensor(x, lengths) for x in (targets, weights))

    return ds.map(_pair).padded_batch(_GROUP, padding_values=(_FILLER, 0)).map(group)


def _pair(example: Features) -> tuple[tf.Tensor, tf.Tensor]:
    return example["targets"], example["targets_loss_weights"]


_FILLER = -1  # no token


def _filler(length: int, token: int = 0) -> tf.data.Dataset:
    """Returns one group of one sequence, which drives out what waits at the end of the data."""
    row = tf.RaggedTensor.from_tensor(tf.fill([1, length], token))
    return tf.data.Dataset.from_tensors((row, row))


def _scan(ds: tf.data.Dataset, start: tuple[tf.Tensor, ...], pack: Callable) -> tf.data.Dataset:
    # Plain graph code, which traces faster.
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

    nothing = tf.zeros([0], tf.int32)
    start = (nothing, nothing, tf.zeros([0], tf.int64))
    return _scan(_short_groups(ds).concatenate(_filler(length)), start, pack)


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

    nothing = tf.zeros([0], tf.int32)
    start = (nothing, nothing, tf.zeros([0], tf.int64))
    return _scan(_groups(ds).concatenate(_filler(length - 1, _FILLER)), start, pack)


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

    def with_bos(targets, weights):
        first = tf.fill([targets.nrows(), 1], bos_id)
        return tf.concat([first, targets], axis=1), tf.concat([0 * first, weights], axis=1)

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

    nothing = tf.zeros([0], tf.int32)
    groups = _groups(ds).map(with_bos).concatenate(_filler(length - 1))
    return _scan(groups, (nothing, nothing), pack)


_PACKINGS = {"segments": _pack_segments, "filled": _pack_filled, "stream": _pack_stream}
