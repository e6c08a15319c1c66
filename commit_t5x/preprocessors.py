"""SeqIO preprocessors: examples to mixed, templated, tokenised ones with exact loss weights.

Mixing and tokenising work on batches inside the graph, which is several times as fast as one
example at a time. Mixing stands after SeqIO's cache placeholder, so that every epoch draws afresh.
"""

import logging
from collections.abc import Callable, Mapping

import gin
import seqio
import tensorflow as tf

from commit_t5x import stateless_random, templates
from commit_t5x.errors import InputError
from commit_t5x.mixer import CodeMixer
from commit_t5x.qa_prompts import qa_prompt

Features = Mapping[str, tf.Tensor]

_LOGGER = logging.getLogger(__name__)

_BATCH = 64  # examples a graph call; more gains nothing
_FIELDS = ("instruction", "input", "output")
_TOKENS = ("targets", "targets_loss_weights")


def fill_prompt(
    ds: tf.data.Dataset,
    *,
    prompts: Callable[[], templates.PromptTemplates] = templates.get_prompts,
    mixer: Callable[[], CodeMixer] | None = None,
    template_blocked: bool = True,
) -> tf.data.Dataset:
    """Turns Alpaca's fields into `prompt` and `response`, code-mixed if there is a mixer.

    Args:
      ds: `instruction`, `input`, `output` (strings) and `index`.
      prompts: gives the templates.
      mixer: gives the mixer; None leaves the text as it is.
      template_blocked: mix the fields one by one and fill the template with the results (COMMIT);
        else mix the filled prompt, template words included, as one text (naive code-mix).

    Returns:
      `prompt` and `response` (strings), and `cuttable_span` (int32 [2]): the bytes of the prompt
      that the example's `input` fills, which may be cut where the row is too short.
    """
    prompts = prompts()
    mixer = mixer() if mixer else None

    def fill(batch: Features, template: templates.Template) -> tuple[tf.Tensor, tf.Tensor]:
        return template.render_tf(batch), template.slot_span_tf(batch, "input")

    def fill_batch(batch: Features) -> Features:
        fields = {name: batch[name] for name in _FIELDS}
        without_input = fields["input"] == ""
        if mixer and template_blocked:
            # One call mixes the three fields of all examples.
            seeds = tf.concat([_field_seeds(batch, i) for i in range(len(_FIELDS))], axis=0)
            mixed = mixer.mix_tf(tf.concat(list(fields.values()), axis=0), seeds)
            fields = dict(zip(_FIELDS, tf.split(mixed, len(_FIELDS)), strict=True))
        prompt, span = (
            tf.where(without_input if a.shape.rank == 1 else without_input[:, tf.newaxis], a, b)
            for a, b in zip(
                fill(fields, prompts.without_input), fill(fields, prompts.with_input), strict=True
            )
        )
        if mixer and not template_blocked:
            prompt = mixer.mix_tf(prompt, _field_seeds(batch, 0))
            fields["output"] = mixer.mix_tf(fields["output"], _field_seeds(batch, 1))
            span = tf.zeros_like(span)  # mixing has moved it
        return {"prompt": prompt, "response": fields["output"], "cuttable_span": span}

    return _map_batches(_with_epoch_seed(ds) if mixer else ds, fill_batch)


def mix_documents(ds: tf.data.Dataset, *, mixer: Callable[[], CodeMixer]) -> tf.data.Dataset:
    """Code-mixes `text`, for alignment."""
    mixer = mixer()

    def mix(batch: Features) -> Features:
        return {"text": mixer.mix_tf(batch["text"], _field_seeds(batch, 0))}

    return _map_batches(_with_epoch_seed(ds), mix)


@gin.configurable
def encode_prompt_response(
    ds: tf.data.Dataset,
    output_features: Mapping[str, seqio.Feature],
    *,
    response_mask: str = "exact",
) -> tf.data.Dataset:
    """Tokenises prompt and response as one text; the loss falls on the response and the final EOS.

    The boundary between the two is a byte offset, so no second tokenisation decides where the loss
    begins. A token that straddles it belongs to the prompt.

    Args:
      ds: what `fill_prompt` returns.
      output_features: SeqIO's; gives the vocabulary.
      response_mask: "exact", or "paper": as the paper's code, which measures the prompt by
        tokenising it alone with an EOS, so that the first response token bears no loss.

    Returns:
      `targets`, int32 [tokens]: prompt, response, EOS (BOS comes with the feature converter);
      `targets_loss_weights`, int32 [tokens]: 1 where the loss falls; `targets_cuttable`, int32
      [tokens]: 1 on tokens of the example's `input`.
    """
    if response_mask not in ("exact", "paper"):
        raise InputError(f"response_mask {response_mask!r}: unknown; use 'exact' or 'paper'")
    vocabulary = output_features["targets"].vocabulary

    def encode(batch: Features) -> Features:
        ids, starts = vocabulary.encode_with_offsets_tf(
            tf.strings.join([batch["prompt"], batch["response"]])
        )
        rows = ids.value_rowids()  # the example of each token; ragged broadcasting is slow
        if response_mask == "exact":
            boundary = tf.cast(tf.strings.length(batch["prompt"]), starts.dtype)
            in_response = starts.flat_values >= tf.gather(boundary, rows)
            on_eos = tf.ones_like(boundary, tf.int32)
        else:
            alone, _ = vocabulary.encode_with_offsets_tf(batch["prompt"])
            boundary = alone.row_lengths() + 1
            places = tf.range(tf.size(rows, tf.int64)) - tf.gather(ids.row_starts(), rows)
            in_response = places >= tf.gather(boundary, rows)
            on_eos = tf.cast(ids.row_lengths() >= boundary, tf.int32)
        first, last = tf.unstack(tf.gather(batch["cuttable_span"], rows), axis=1)
        begins = tf.cast(starts.flat_values, first.dtype)
        cuttable = (begins >= first) & (begins < last)

        def per_token(flags: tf.Tensor) -> tf.RaggedTensor:
            return ids.with_flat_values(tf.cast(flags, tf.int32))

        return {
            "targets": _append(ids, tf.fill(tf.shape(on_eos), vocabulary.eos_id)),
            "targets_loss_weights": _append(per_token(in_response), on_eos),
            "targets_cuttable": _append(per_token(cuttable), tf.zeros_like(on_eos)),
        }

    return _map_batches(ds, encode)


@gin.configurable
def encode_documents(
    ds: tf.data.Dataset,
    output_features: Mapping[str, seqio.Feature],
    *,
    repeat_special_tokens: bool = False,
) -> tf.data.Dataset:
    """Tokenises `text`; every token bears loss.

    Args:
      ds: `text`, a string.
      output_features: SeqIO's; gives the vocabulary.
      repeat_special_tokens: as the paper's code: a second BOS and a second EOS, with loss.

    Returns:
      `targets` and `targets_loss_weights`, int32 [tokens], EOS included.
    """
    vocabulary = output_features["targets"].vocabulary

    def encode(batch: Features) -> Features:
        ids, _ = vocabulary.encode_with_offsets_tf(batch["text"])
        eos = tf.fill([ids.nrows()], vocabulary.eos_id)
        ids = _append(ids, eos)
        if repeat_special_tokens:
            bos = tf.fill([ids.nrows(), 1], vocabulary.bos_id)
            ids = tf.concat([bos, _append(ids, eos)], axis=1)
        return {"targets": ids, "targets_loss_weights": tf.ones_like(ids)}

    return _map_batches(ds, encode)


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
    parts = qa_prompt(family, label_language, "\0", "\0").split("\0")

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


@gin.configurable
def fit_prompt_response(
    ds: tf.data.Dataset,
    sequence_length: Mapping[str, int] | None,
    *,
    too_long: str = "cut_input",
) -> tf.data.Dataset:
    """Makes examples fit a row, by a named policy; each one cut or dropped is logged.

    Args:
      ds: what `encode_prompt_response` returns.
      sequence_length: SeqIO's; None leaves every sequence as it is.
      too_long: "cut_input" cuts the end of the example's `input`, and drops the example if that is
        not enough; "drop" drops it; "keep" leaves it to stream packing, for which no sequence is
        too long.
    """
    if too_long not in ("cut_input", "drop", "keep"):
        raise InputError(f"too_long {too_long!r}: unknown; use 'cut_input', 'drop' or 'keep'")
    longest = (sequence_length or {}).get("targets")

    def fit(example: Features) -> Features:
        excess = tf.size(example["targets"]) - longest
        return tf.cond(excess > 0, lambda: cut(example, excess), lambda: example)

    def cut(example: Features, excess: tf.Tensor) -> Features:
        keep = tf.fill(tf.shape(example["targets"]), True)
        if too_long == "cut_input":
            rank_from_end = tf.cumsum(example["targets_cuttable"], reverse=True)
            keep = (example["targets_cuttable"] == 0) | (rank_from_end > excess)
        fits = tf.math.count_nonzero(keep, dtype=tf.int32) <= longest
        fits = tf.numpy_function(_log_too_long, [fits, tf.size(keep), longest], tf.bool)
        fits.set_shape([])
        # An example that doesn't fit is emptied here and filtered out below.
        return {name: value[keep & fits] for name, value in example.items()}

    if too_long != "keep" and longest is not None:
        ds = ds.map(fit, num_parallel_calls=tf.data.AUTOTUNE)
        ds = ds.filter(lambda example: tf.size(example["targets"]) > 0)
    return ds.map(lambda example: {name: example[name] for name in _TOKENS})


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
    return ds.flat_map(lambda example: tf.data.Dataset.from_tensor_slices(example).batch(longest))


def _log_too_long(fits, length, longest):
    what = "cut its input to fit" if fits else "dropped"
    _LOGGER.info("A sequence of %d tokens is over the row's %d: %s.", length, longest, what)
    return fits


def _append(rows: tf.RaggedTensor, last: tf.Tensor) -> tf.RaggedTensor:
    """Appends one value to each row."""
    return tf.concat([rows, tf.cast(last, rows.dtype)[:, tf.newaxis]], axis=1)


def _map_batches(ds: tf.data.Dataset, fn: Callable[[Features], Features]) -> tf.data.Dataset:
    fn = tf.autograph.experimental.do_not_convert(fn)  # plain graph code, which traces faster
    return ds.batch(_BATCH).map(fn, num_parallel_calls=tf.data.AUTOTUNE).unbatch()


def _field_seeds(batch: Features, field: int) -> tf.Tensor:
    """Returns the mixer's seeds, int64 [n, 2], for one field of each example."""
    return tf.stack([batch["epoch_seed"], batch["index"] * len(_FIELDS) + field], axis=1)


def _with_epoch_seed(ds: tf.data.Dataset) -> tf.data.Dataset:
    """Adds `epoch_seed`, int64: a hash of the data set's seed and the epoch.

    SeqIO repeats the data before these preprocessors run; a new epoch is one in which the `index`
    that came first comes again. So the seed is the same in every shard, and a cached task has it
    too.
    """
    # One element, from SeqIO's own seed manager, as its stochastic preprocessors get theirs.
    draw = seqio.map_over_dataset(lambda _, seed: seed, num_seeds=1)
    first, second = tf.unstack(draw(tf.data.Dataset.from_tensors(0)).get_single_element())
    base = stateless_random.key_tf(tf.stack([[first, second]]))

    def count(state, example):
        first_index, epoch = state
        epoch += tf.cast(example["index"] == first_index, tf.int64)
        first_index = tf.where(first_index < 0, example["index"], first_index)
        seeds = tf.stack([tf.bitcast(base, tf.int64), [epoch]], axis=1)
        epoch_seed = tf.bitcast(stateless_random.key_tf(seeds)[0], tf.int64)
        return (first_index, epoch), {**example, "epoch_seed": epoch_seed}

    return ds.scan((tf.constant(-1, tf.int64), tf.constant(0, tf.int64)), count)
