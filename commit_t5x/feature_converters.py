"""Token sequences with loss weights to the features a decoder-only model is fed."""

from collections.abc import Mapping

import gin
import seqio
import tensorflow as tf

from commit_t5x.errors import InputError

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

    "stream" is the paper's packing: BOS and targets of all examples form one stream, 1 5 6 2 1 7 2,
    cut into rows anywhere, without padding, segments or positions; only the end of a finite data
    set is padded:

      decoder_target_tokens = [5, 6, 2, 1, 7, 2]
       decoder_input_tokens = [1, 5, 6, 2, 1, 7]
       decoder_loss_weights = [0, 1, 1, 0, 1, 1]

    For a task with `inputs` and `targets` (evaluation by generation) it is SeqIO's
    PrefixLMFeatureConverter with this vocabulary's BOS.

    Args:
      pack: put several sequences into a row; else one a row, padded.
      use_custom_packing_ops: as in SeqIO.
      packing: "segments" or "stream".
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
        vocabulary: seqio.Vocabulary = gin.REQUIRED,
    ):
        if packing not in ("segments", "stream"):
            raise InputError(f"packing {packing!r}: unknown; use 'segments' or 'stream'")
        self._stream = pack and packing == "stream"
        super().__init__(
            # A stream has neither segments nor positions, which is what `pack` means to SeqIO.
            pack=pack and not self._stream,
            use_custom_packing_ops=use_custom_packing_ops,
            # Into a stream, sequences of any length flow.
            apply_length_check=not self._stream,
            bos_id=vocabulary.bos_id,
        )

    def __call__(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        if "inputs" in task_feature_lengths:
            prefix_lm = seqio.PrefixLMFeatureConverter(pack=False, bos_id=self.bos_id)
            lengths = {name: task_feature_lengths[name] for name in ("inputs", "targets")}
            return prefix_lm(ds, lengths)
        return super().__call__(ds, task_feature_lengths)

    def _convert_features(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        if self._stream:
            return _pack_stream(ds, task_feature_lengths["targets"], self.bos_id)
        # SeqIO's packing takes a sequence's length from its number of non-zero values, and so would
        # cut loss weights (and a token 0): all values are one higher on the way through it.
        ds = ds.map(lambda example: {n: example[n] + 1 for n in self.TASK_FEATURES})
        ds = self._pack_or_pad(ds, task_feature_lengths)
        ds = ds.map(lambda row: row | {n: tf.nn.relu(row[n] - 1) for n in self.TASK_FEATURES})
        return ds.map(self._convert_example, num_parallel_calls=tf.data.AUTOTUNE)

    def _convert_example(self, features: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        segments = features.get("targets_segment_ids")
        converted = {
            "decoder_target_tokens": features["targets"],
            "decoder_input_tokens": seqio.utils.make_autoregressive_inputs(
                features["targets"], sequence_id=segments, bos_id=self.bos_id
            ),
            "decoder_loss_weights": features["targets_loss_weights"],
        }
        if self.pack:
            # SeqIO begins the padding with BOS too, as if it were a segment.
            converted["decoder_input_tokens"] *= tf.sign(segments)
            converted["decoder_segment_ids"] = segments
            converted["decoder_positions"] = features["targets_positions"]
        return converted

    def get_model_feature_lengths(
        self, task_feature_lengths: Mapping[str, int]
    ) -> Mapping[str, int]:
        names = [*self.MODEL_FEATURES, *(self.PACKING_FEATURE_DTYPES if self.pack else ())]
        return dict.fromkeys(names, task_feature_lengths["targets"])


_GROUP = 64  # sequences joined to the stream at a time


def _pack_stream(ds: tf.data.Dataset, length: int, bos_id: int) -> tf.data.Dataset:
    """Cuts the stream of all sequences, BOS before each, into rows of `length`."""

    def with_bos(example):
        return (
            tf.concat([[bos_id], example["targets"]], axis=0),
            tf.concat([[0], example["targets_loss_weights"]], axis=0),
        )

    def cut(rest, group):
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

    padding = tf.zeros([1, length], tf.int32)
    padding = tf.data.Dataset.from_tensors((tf.RaggedTensor.from_tensor(padding),) * 2)
    ds = ds.map(with_bos, num_parallel_calls=tf.data.AUTOTUNE).ragged_batch(_GROUP)
    ds = ds.concatenate(padding)
    empty = tf.zeros([0], tf.int32)
    ds = ds.scan((empty, empty), cut).unbatch()
    return ds.filter(lambda row: tf.reduce_any(row["decoder_target_tokens"] > 0))
