"""SeqIO preprocessors: examples to mixed, templated, tokenised ones, cut where the loss begins.

Those between `batch_examples` and `unbatch_examples` map batches of examples inside the graph,
which is several times as fast as one example at a time. Mixing stands after SeqIO's cache
placeholder, so that every epoch draws afresh.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import gin
import seqio
import tensorflow as tf

from commit_t5x import ranges
from commit_t5x.data import graph_templates, pair_features, templates
from commit_t5x.data.qa_prompts import get_labels, qa_prompt
from commit_t5x.mixing import counts, ragged_rows
from commit_t5x.mixing.graph_mixer import GraphMixer
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.mixing.schedule import MixSchedule

Features = Mapping[str, tf.Tensor]

_BATCH = 512  # the more examples, the more of their words are repeats, tokenised only once
FIELDS = ("instruction", "input", "output")


def batch_examples(ds: tf.data.Dataset) -> tf.data.Dataset:
    """Joins examples, whose features may differ in length, to batches for what follows."""
    return ds.ragged_batch(_BATCH)


def unbatch_examples(ds: tf.data.Dataset) -> tf.data.Dataset:
    """Takes batches apart again; only `inputs` and `targets` remain, and what there is of pairs."""
    names = ["inputs", "targets", *pair_features.carried(ds.element_spec)]

    @tf.autograph.experimental.do_not_convert  # plain graph code traces faster as it is
    def join(batch: Features) -> tf.RaggedTensor:
        # Before the parts, their sizes: numbers, the first of which counts these.
        parts = [batch[name] for name in names]
        sizes = [tf.cast(part.row_lengths(), tf.int32) for part in parts]
        sizes = [tf.fill(tf.shape(sizes[0]), len(names) + 1), *sizes]
        return ragged_rows.concat([*map(ragged_rows.column, sizes), *parts])

    @tf.autograph.experimental.do_not_convert
    def split(row: tf.Tensor) -> Features:
        _, *parts = tf.split(row, row[: len(names) + 1], num=len(names) + 1)
        return dict(zip(names, parts, strict=True))

    # Taking one ragged tensor apart costs half as much as taking several.
    rows = ds.map(join).unbatch()
    # tf.data would hand what is done to each example from thread to thread, which costs more.
    options = tf.data.Options()
    options.experimental_optimization.map_parallelization = False
    rows = rows.with_options(options)
    return rows.map(split)


@gin.configurable(allowlist=["response_ratio"])
def fill_prompt(
    ds: tf.data.Dataset,
    *,
    prompts: Callable[[], templates.PromptTemplates] = templates.get_prompts,
    mixer: Callable[[], CodeMixer] | None = None,
    template_blocked: bool = True,
    response_ratio: ranges.Share | None = None,
) -> tf.data.Dataset:
    """Turns Alpaca's fields into `prompt` and `response`, code-mixed if there is a mixer.

    Args:
      ds: batches of `instruction`, `input`, `output` (strings), and what `number_epochs` adds if
        there is a mixer.
      prompts: gives the templates.
      mixer: gives the mixer; None leaves the text as it is.
      template_blocked: mix the fields one by one and fill the template with the results (COMMIT);
        else mix the filled prompt, template words included, as one text (naive code-mix).
      response_ratio: the mixing ratio of `output`; None: the mixer's own, as for the prompt.

    Returns:
      `prompt` and `response` (strings), and `cuttable_span` (int32 [2]): the bytes of the prompt
      that the example's `input` fills, which may be cut where the row is too short.
    """
    prompts = prompts()
    mixer = GraphMixer(mixer()) if mixer else None

    def fill(batch: Features, template: templates.Template) -> tuple[tf.Tensor, tf.Tensor]:
        span = graph_templates.slot_span(template, batch, "input")
        return graph_templates.render(template, batch), span

    def fill_batch(batch: Features) -> Features:
        fields = {name: batch[name] for name in FIELDS}
        without_input = fields["input"] == ""
        if mixer and template_blocked:
            fields = _mix(mixer, batch, fields, {"output": response_ratio})
        prompt, span = (
            tf.where(without_input if a.shape.rank == 1 else without_input[:, tf.newaxis], a, b)
            for a, b in zip(
                fill(fields, prompts.without_input), fill(fields, prompts.with_input), strict=True
            )
        )
        if mixer and not template_blocked:
            texts = {"prompt": prompt, "output": fields["output"]}
            fields = _mix(mixer, batch, texts, {"output": response_ratio})
            prompt = fields["prompt"]
            span = tf.zeros_like(span)  # mixing has moved it
        return {"prompt": prompt, "response": fields["output"], "cuttable_span": span}

    return map_batches(ds, fill_batch)


def mix_documents(ds: tf.data.Dataset, *, mixer: Callable[[], CodeMixer]) -> tf.data.Dataset:
    """Code-mixes batches of `text`, for alignment; they also have what `number_epochs` adds."""
    mixer = GraphMixer(mixer())
    return map_batches(ds, lambda batch: _mix(mixer, batch, {"text": batch["text"]}))


def mixing_seeds(epoch_seed, index, field: int):
    """Returns the two integers that seed the mixing of the `field`-th text of an example."""
    return epoch_seed, index * len(FIELDS) + field


@gin.configurable
def encode_prompt_response(
    ds: tf.data.Dataset,
    output_features: Mapping[str, seqio.Feature],
    *,
    response_mask: Literal["exact", "paper"] = "exact",
) -> tf.data.Dataset:
    """Tokenises prompt and response as one text, and cuts it into `inputs` and `targets`.

    The boundary between the two is a byte offset, so no second tokenisation decides where the loss
    begins. A token that straddles it belongs to the prompt.

    Args:
      ds: what `fill_prompt` returns.
      output_features: SeqIO's; gives the vocabulary.
      response_mask: "exact", or "paper": as the paper's code, which measures the prompt by
        tokenising it alone with an EOS, so that the first token after the prompt, be it the EOS of
        an empty response, belongs to `inputs` and bears no loss.

    Returns:
      `inputs`, int32 [tokens]: the prompt (BOS comes with the feature converter); `targets`, int32
      [tokens]: response and EOS; `inputs_cuttable`, int32 [tokens]: 1 on tokens of the example's
      `input`.
    """
    vocabulary = output_features["targets"].vocabulary
    counter = counts.current()

    def encode(batch: Features) -> Features:
        whole = tf.strings.join([batch["prompt"], batch["response"]])
        if response_mask == "exact":
            ids, starts = vocabulary.encode_with_offsets_tf(whole)
            rows = ragged_rows.ids(ids)  # the example of each token; ragged broadcasting is slow
            boundary = tf.cast(tf.strings.length(batch["prompt"]), starts.dtype)
            in_prompt = starts.flat_values < tf.gather(boundary, rows)
        else:
            both = tf.concat([whole, batch["prompt"]], axis=0)
            ids, starts = vocabulary.encode_with_offsets_tf(both)
            alone = ids.row_lengths()[tf.size(whole) :]  # of the prompts
            ids, starts = (ragged_rows.rows(a, 0, tf.size(whole)) for a in (ids, starts))
            rows = ragged_rows.ids(ids)
            places = tf.range(tf.size(rows, tf.int64)) - tf.gather(ids.row_starts(), rows)
            in_prompt = places <= tf.gather(alone, rows)
        first, last = tf.unstack(tf.gather(batch["cuttable_span"], rows), axis=1)
        begins = tf.cast(starts.flat_values, first.dtype)
        cuttable = tf.cast((begins >= first) & (begins < last), tf.int32)

        sizes = ragged_rows.sums(ids.with_flat_values(tf.cast(in_prompt, tf.int64)))
        places = tf.where(in_prompt)[:, 0]
        inputs, cuttable = (
            tf.RaggedTensor.from_row_lengths(tf.gather(flat, places), sizes, validate=False)
            for flat in (ids.flat_values, cuttable)
        )
        targets = tf.RaggedTensor.from_row_lengths(
            ids.flat_values[~in_prompt], ids.row_lengths() - sizes, validate=False
        )
        if response_mask == "exact":
            targets = _append(targets, vocabulary.eos_id)
        else:
            # Without a response, EOS is the first token after the prompt.
            ends_inputs = ids.row_lengths() <= alone
            targets = _append(targets, vocabulary.eos_id, ~ends_inputs)
            inputs = _append(inputs, vocabulary.eos_id, ends_inputs)
            cuttable = _append(cuttable, 0, ends_inputs)
        if counter is not None:
            counter.add_outputs_tf(targets.row_lengths())
        return {"inputs": inputs, "targets": targets, "inputs_cuttable": cuttable}

    return map_batches(ds, encode)


@gin.configurable
def encode_documents(
    ds: tf.data.Dataset,
    output_features: Mapping[str, seqio.Feature],
    *,
    repeat_special_tokens: bool = False,
) -> tf.data.Dataset:
    """Tokenises `text`; every token bears loss.

    Args:
      ds: batches of `text`, strings.
      output_features: SeqIO's; gives the vocabulary.
      repeat_special_tokens: as the paper's code: a second BOS and a second EOS, with loss.

    Returns:
      `targets`, int32 [tokens], EOS included; and `inputs` of no tokens, as a mixture's tasks must
      have the same features.
    """
    vocabulary = output_features["targets"].vocabulary

    def encode(batch: Features) -> Features:
        ids, _ = vocabulary.encode_with_offsets_tf(batch["text"])
        ids = _append(ids, vocabulary.eos_id)
        if repeat_special_tokens:
            bos = ragged_rows.column(tf.fill([ids.nrows()], vocabulary.bos_id))
            ids = ragged_rows.concat([bos, _append(ids, vocabulary.eos_id)])
        nothing = tf.RaggedTensor.from_row_splits(
            tf.zeros([0], tf.int32), tf.zeros_like(ids.row_splits), validate=False
        )
        return {"inputs": nothing, "targets": ids}

    return map_batches(ds, encode)


def encode_question(
    ds: tf.data.Dataset,
    output_features: Mapping[str, seqio.Feature],
    sequence_length: Mapping[str, int] | None,
    *,
    family: str,
    label_language: str,
) -> tf.data.Dataset:
    """Turns a question about a context into `inputs` (the prompt) and `targets` (the first answer).

    A prompt over its length loses tokens from the left, as at evaluation by lm-eval.

    Args:
      ds: `context`, `question` (strings) and `answers` (string [n]), which stay.
      output_features: SeqIO's; gives the vocabulary.
      sequence_length: SeqIO's; None leaves the lengths free.
      family: "xquad" or "mlqa".
      label_language: the language of the prompt's labels.
    """
    vocabulary = output_features["targets"].vocabulary
    longest = (sequence_length or {}).get("inputs")
    # The layout has one home; the marks only find the places of the two fields in it.
    parts = qa_prompt(family, get_labels(label_language), "\0", "\0").split("\0")

    @tf.autograph.experimental.do_not_convert
    def encode(example: Features) -> Features:
        pieces = [parts[0], example["context"], parts[1], example["question"], parts[2]]
        prompt = tf.strings.join(pieces)
        answer = tf.concat([example["answers"], [""]], axis=0)[0]
        ids, starts = vocabulary.encode_with_offsets_tf([prompt + answer])
        in_answer = starts[0] >= tf.cast(tf.strings.length(prompt), starts.dtype)
        inputs = ids[0][~in_answer]
        return {
            **example,
            "inputs": inputs[-longest:] if longest else inputs,
            "inputs_pretokenized": prompt,
            "targets": tf.concat([ids[0][in_answer], [vocabulary.eos_id]], axis=0),
            "targets_pretokenized": answer,
        }

    return ds.map(encode, num_parallel_calls=tf.data.AUTOTUNE)


def _append(rows: tf.RaggedTensor, last: int, to: tf.Tensor | None = None) -> tf.RaggedTensor:
    """Appends a value to each row, or to those that `to`, bool [rows], says."""
    counts = tf.ones_like(rows.row_lengths()) if to is None else tf.cast(to, tf.int64)
    values = tf.fill([tf.reduce_sum(counts)], tf.cast(last, rows.dtype))
    column = tf.RaggedTensor.from_row_lengths(values, counts, validate=False)
    return ragged_rows.concat([rows, column])


def map_batches(ds: tf.data.Dataset, fn: Callable[[Features], Features]) -> tf.data.Dataset:
    """Maps batches of examples, several at a time; what they have of pairs stays."""

    @tf.autograph.experimental.do_not_convert
    def with_pairs(batch: Features) -> Features:
        return {**pair_features.carried(batch), **fn(batch)}

    return ds.map(with_pairs, num_parallel_calls=tf.data.AUTOTUNE)


def _mix(mixer: GraphMixer, batch: Features, texts: Features, *ratios) -> Features:
    """Mixes several texts of every example of a batch; arguments as of `mixing_arguments`."""
    mixed = mixer(*mixing_arguments(mixer, batch, texts, *ratios))
    return dict(zip(texts, tf.split(mixed, len(texts)), strict=True))


def mixing_arguments(
    mixer: GraphMixer,
    batch: Features,
    texts: Features,
    ratios: Mapping[str, float | None] = MappingProxyType({}),
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns what mixes several texts, string [n] each, of every example of a batch by one call.

    Args:
      mixer: mixes.
      batch: the examples.
      texts: name -> text.
      ratios: name -> ratio, where it isn't the mixer's own.
    """
    factor = MixSchedule().factor_tf(batch["position"])
    seeds, scaled = [], []
    for field, name in enumerate(texts):
        ratio = ratios.get(name)
        seeds.append(tf.stack(mixing_seeds(batch["epoch_seed"], batch["index"], field), axis=1))
        scaled.append(factor * (mixer.ratio if ratio is None else ratio))
    return tuple(tf.concat(a, axis=0) for a in (list(texts.values()), seeds, scaled))
