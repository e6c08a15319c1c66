"""The base's data: a SeqIO task that weighs a document's answers five times as much as the rest.

benchmarks/miniature/base.gin trains on it.
"""

from collections.abc import Iterator, Mapping

import seqio
import tensorflow as tf

from commit_t5x.data import feature_converters, records, sources
from commit_t5x.tasks import features
from commit_t5x.vocabularies import configured

NAME = "miniature_pretraining"
_ANSWER = 1 << 20  # added to the ids of an answer's tokens on their way to the feature converter
_WEIGHT = 5


def _examples() -> Iterator[Mapping[str, list[int]]]:
    vocabulary = configured.get_vocabulary()
    for _, record in records.read_records(sources.Locations().wikipedia):
        # Spans count characters, and tokens' starts bytes: the world's text is ASCII.
        ids, starts, _ = vocabulary.encode_batch([record["text"].encode("ascii")])
        for start, end in record["answers"]:
            ids[(starts >= start) & (starts < end)] += _ANSWER
        yield {"inputs": [], "targets": [*ids, vocabulary.eos_id]}


def _dataset(split: str, shuffle_files: bool, seed: int | None = None) -> tf.data.Dataset:
    del split, shuffle_files, seed
    examples = list(_examples())  # in memory, so that tf.data can save its place in them
    columns = {
        name: tf.ragged.constant([e[name] for e in examples], tf.int32) for name in examples[0]
    }
    return tf.data.Dataset.from_tensor_slices(columns).map(
        lambda row: {name: tf.convert_to_tensor(tokens) for name, tokens in row.items()}
    )


class WeightedConverter(feature_converters.DecoderFeatureConverter):
    """Rows as usual, but for loss weights of 5 on answers; on other tokens they are 1."""

    def _convert_features(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        def weigh(row: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
            is_answer = row["decoder_target_tokens"] // _ANSWER
            return {
                **row,
                "decoder_target_tokens": row["decoder_target_tokens"] % _ANSWER,
                "decoder_input_tokens": row["decoder_input_tokens"] % _ANSWER,
                "decoder_loss_weights": row["decoder_loss_weights"]
                * (1 + (_WEIGHT - 1) * is_answer),
            }

        return super()._convert_features(ds, task_feature_lengths).map(weigh)


seqio.TaskRegistry.add(
    NAME,
    source=seqio.FunctionDataSource(_dataset, splits=["train"]),
    preprocessors=[],
    output_features=features.FEATURES,
)
