"""Pairs: an example as it is and code-mixed, both as tokens, with what stands for the same word."""

from collections.abc import Callable, Mapping

import gin
import seqio
import tensorflow as tf

from commit_t5x import ranges
from commit_t5x.data import graph_templates, pair_features, preprocessors, templates
from commit_t5x.mixing import ragged_rows
from commit_t5x.mixing.graph_mixer import GraphMixer
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.vocabularies.seqio_vocabulary import TokenizerVocabulary

Features = Mapping[str, tf.Tensor]


@gin.configurable(allowlist=["response_ratio"])
def add_pairs(
    ds: tf.data.Dataset,
    output_features: Mapping[str, seqio.Feature],
    *,
    mixer: Callable[[], CodeMixer],
    prompts: Callable[[], templates.PromptTemplates] = templates.get_prompts,
    response_ratio: ranges.Share | None = None,
) -> tf.data.Dataset:
    """Adds the pair to batches of Alpaca's fields: the filled template before and after mixing.

    The fields are mixed as `preprocessors.fill_prompt` mixes them, template blocked. The units are
    numbered from 1 in each example: a word or phrase, what stands between two, or the template's
    text between two fields. A token belongs to the unit of its first byte, and a leading space to
    the word behind. A unit in which no token begins on one side, as where a token spans two words,
    is no unit on the other, either: its tokens have 0.

    Args:
      ds: as for `fill_prompt` with a mixer.
      output_features: SeqIO's; gives the vocabulary.
      mixer: gives the mixer.
      prompts: gives the templates.
      response_ratio: as for `fill_prompt`.

    Returns:
      What was there, and `pair_features.TASK_FEATURES`, int32 [tokens] each, without BOS and EOS.
    """
    vocabulary = output_features["targets"].vocabulary
    prompts, mixer = prompts(), GraphMixer(mixer())

    def add(batch: Features) -> Features:
        fields = {name: batch[name] for name in preprocessors.FIELDS}
        arguments = preprocessors.mixing_arguments(mixer, batch, fields, {"output": response_ratio})
        texts, *units = mixer.aligned(*arguments)
        mixed = dict(zip(fields, tf.split(texts, len(fields)), strict=True))
        count, without_input = tf.size(fields["input"]), fields["input"] == ""
        whole, lengths = [], []
        for values, lengths_of_all in zip((fields, mixed), units, strict=True):
            of_field = {
                name: ragged_rows.rows(lengths_of_all, place * count, (place + 1) * count)
                for place, name in enumerate(fields)
            }
            both = prompts.without_input, prompts.with_input
            filled = [graph_templates.render(template, values) for template in both]
            whole.append(tf.where(without_input, *filled) + values["output"])
            parts = tf.concat([_lengths(template, of_field, count) for template in both], axis=0)
            chosen = tf.range(count) + tf.where(without_input, 0, count)
            lengths.append(ragged_rows.concat([tf.gather(parts, chosen), of_field["output"]]))
        return {**batch, **_encode(vocabulary, tf.concat(whole, 0), tf.concat(lengths, 0))}

    return preprocessors.map_batches(ds, add)


def _lengths(
    template: templates.Template, of_field: Mapping[str, tf.RaggedTensor], count: tf.Tensor
) -> tf.RaggedTensor:
    """Returns the bytes of the units of a filled template: int64 ragged [count, (units)]."""

    def of_segment(segment: templates.Literal | templates.Slot) -> tf.RaggedTensor:
        if isinstance(segment, templates.Slot):
            return of_field[segment.field]
        size = tf.constant(len(segment.text.encode("utf-8")), tf.int64)
        return ragged_rows.column(tf.fill([count], size))

    return ragged_rows.concat([of_segment(segment) for segment in template.segments])


def _encode(
    vocabulary: TokenizerVocabulary, texts: tf.Tensor, lengths: tf.RaggedTensor
) -> Features:
    """Returns tokens and units of the plain texts and, behind these, of as many mixed ones.

    Args:
      vocabulary: makes the tokens.
      texts: string [2n].
      lengths: int64 ragged [2n, (units)], bytes; those of a text and its mixed one are as many.
    """
    ids, starts = vocabulary.encode_with_offsets_tf(texts)
    rows, total = ragged_rows.ids(ids), tf.size(lengths.flat_values, tf.int64) // 2
    # By their places in all texts put end to end. Those of the second half are those of the first.
    begins = tf.cumsum(ragged_rows.sums(lengths), exclusive=True)
    ends, places = tf.cumsum(lengths.flat_values), starts.flat_values + tf.gather(begins, rows)
    units = tf.searchsorted(ends, places, "right", tf.int64) % total
    is_mixed = tf.cast(rows >= tf.size(texts, tf.int64) // 2, tf.int64)
    begun = tf.scatter_nd(tf.stack([is_mixed, units], 1), tf.ones_like(units), [2, total])
    on_both = tf.cast(tf.reduce_all(begun > 0, axis=0), tf.int64)
    before = tf.concat([[0], tf.cumsum(on_both)], axis=0)  # units that count before each
    first = tf.gather(before, lengths.row_starts() % total)
    numbers = tf.gather(before, units) + 1 - tf.gather(first, rows)
    numbers = ids.with_flat_values(tf.cast(numbers * tf.gather(on_both, units), tf.int32))
    half = tf.size(texts) // 2
    sides = (a[part] for part in (slice(half), slice(half, None)) for a in (ids, numbers))
    return dict(zip(pair_features.TASK_FEATURES, sides, strict=True))
