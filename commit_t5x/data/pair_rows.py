"""Rows of pairs: an example as it is and code-mixed, for training that compares hidden states."""

from collections.abc import Mapping

import tensorflow as tf

from commit_t5x.data.pair_features import SIDES, carried, model_features

Features = Mapping[str, tf.Tensor]


def beside(
    rows: tf.data.Dataset, ds: tf.data.Dataset, length: int, bos_id: int, segments: bool
) -> tf.data.Dataset:
    """Adds to each row the features of a row of pairs.

     The sides of the pairs are appended to two rows in parallel, BOS before each. A pair that makes
     either of them full ends both: what goes over is cut, and the other is padded. Such rows hold
     fewer examples than packed ones, and so the two kinds go through the data by themselves. `rows`
     decides where the data end.

     Given the length 6, BOS 1, and two examples:

       pair_plain_tokens = [5, 6], [7];  pair_plain_units = [1, 2], [1]
       pair_mixed_tokens = [5, 8, 8], [9, 9];  pair_mixed_units = [1, 2, 2], [1, 0]

         pair_plain_tokens = [1, 5, 6, 1, 7, 0]
          pair_plain_units = [0, 1, 2, 0, 3, 0]
    pair_plain_segment_ids = [1, 1, 1, 2, 2, 0]
         pair_mixed_tokens = [1, 5, 8, 8, 1, 9]
          pair_mixed_units = [0, 1, 2, 2, 0, 3]
    pair_mixed_segment_ids = [1, 1, 1, 1, 2, 2]

     Args:
       rows: packed by whatever packing.
       ds: examples with `pair_features.TASK_FEATURES`, int32 [tokens] each.
       length: tokens of a row.
       bos_id: of BOS, which belongs to no unit.
       segments: whether the rows have segment ids.
    """
    names = model_features(segments)

    def pack(row: Features, pair: Features) -> tuple[Features, tuple[tf.Tensor, Features]]:
        sizes = [tf.size(row[f"{side}_tokens"]) for side in SIDES]
        full = tf.reduce_max(sizes) >= length
        done = {name: tf.pad(row[name][:length], [[0, length]])[:length] for name in names}
        done = {name: tf.ensure_shape(values, [length]) for name, values in done.items()}
        begun = {}
        for side, size in zip(SIDES, sizes, strict=True):
            kept = tf.where(full, 0, size)
            tokens, units, numbers = (
                row[f"{side}_{kind}"][:kept] for kind in ("tokens", "units", "segment_ids")
            )
            new, of_new = pair[f"{side}_tokens"], pair[f"{side}_units"]
            last_unit, last = (tf.reduce_max(tf.pad(a, [[1, 0]])) for a in (units, numbers))
            of_new = tf.where(of_new > 0, of_new + last_unit, 0)
            begun[f"{side}_tokens"] = tf.concat([tokens, [bos_id], new], axis=0)
            begun[f"{side}_units"] = tf.concat([units, [0], of_new], axis=0)
            of_pair = tf.fill([tf.size(new) + 1], last + 1)
            begun[f"{side}_segment_ids"] = tf.concat([numbers, of_pair], axis=0)
        return begun, (full, done)

    nothing = dict.fromkeys(model_features(segments=True), tf.zeros([0], tf.int32))
    pairs = ds.map(carried).scan(nothing, tf.autograph.experimental.do_not_convert(pack))
    pairs = pairs.filter(lambda full, _: full).map(lambda _, row: row)
    padding = tf.data.Dataset.from_tensors(dict.fromkeys(names, tf.zeros([length], tf.int32)))
    both = tf.data.Dataset.zip((rows, pairs.concatenate(padding.repeat())))
    return both.map(lambda row, pair: {**row, **pair})
