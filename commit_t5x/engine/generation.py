"""Greedy answers to many prompts, in batches of like length."""

from collections.abc import Callable, Sequence
from typing import Any

import seqio

from commit_t5x.engine import decoding, models, partitioning
from commit_t5x.errors import InputError


def generate(
    model: models.DecoderOnlyModel,
    partitioner: partitioning.PjitPartitioner,
    params: Any,
    prompts: Sequence[Sequence[int]],
    *,
    batch_size: int,
    max_new_tokens: int = 256,
    add_bos: bool = True,
    stop: Sequence[str] = (),
    on_batch: Callable[[int], None] = lambda done: None,
) -> list[str]:
    """Continues each prompt greedily until EOS, a stop string, or max_new_tokens.

    Args:
      model: network and vocabulary.
      partitioner: of the parameters.
      params: of the network.
      prompts: token ids without BOS. What doesn't fit the network's length together with
        max_new_tokens is cut from the left.
      batch_size: prompts decoded together.
      max_new_tokens: of each answer.
      add_bos: put BOS before each prompt, as in training.
      stop: strings that end an answer, and don't belong to it.
      on_batch: called with the number of prompts after each batch.

    Returns:
      The answers as text.

    Raises:
      InputError: max_new_tokens leaves no room for a prompt.
    """
    bos = [model.vocabulary.bos_id] if add_bos else []
    room = model.config.max_length - max_new_tokens - len(bos)
    if room < 1:
        raise InputError(
            f"max_new_tokens: {max_new_tokens} leaves no room for a prompt in the network's "
            f"{model.config.max_length} tokens"
        )
    cut = [[*bos, *map(int, prompt[-room:])] for prompt in prompts]
    stop_ids = _stop_ids(model.vocabulary, stop)
    answers = [""] * len(prompts)
    longest_first = sorted(range(len(cut)), key=lambda index: -len(cut[index]))
    for start in range(0, len(cut), batch_size):
        batch = longest_first[start : start + batch_size]
        # Filled up to one size, so that one program serves; a repeated prompt costs no extra step.
        rows = [cut[index] for index in batch + batch[-1:] * (batch_size - len(batch))]
        with partitioner.scope():
            generated = decoding.greedy_decode(
                model.module, params, rows, max_new_tokens, model.vocabulary.eos_id, stop_ids
            )
        for index, tokens in zip(batch, generated, strict=False):
            answers[index] = _text(model.vocabulary, tokens, stop)
        on_batch(len(batch))
    return answers


def _text(vocabulary: seqio.Vocabulary, tokens: Sequence[int], stop: Sequence[str]) -> str:
    if vocabulary.eos_id in tokens:
        tokens = tokens[: tokens.index(vocabulary.eos_id)]
    text = vocabulary.decode(tokens)
    ends = [text.find(string) for string in stop]
    return text[: min((end for end in ends if end >= 0), default=len(text))]


def _stop_ids(vocabulary: seqio.Vocabulary, stop: Sequence[str]) -> list[int]:
    """Returns the ids of the tokens that hold a stop string, after which nothing is needed.

    A stop string made of several tokens isn't among them; it is cut off afterwards.
    """
    if not stop:
        return []
    texts = ((index, vocabulary.decode([index])) for index in range(vocabulary.vocab_size))
    return [index for index, text in texts if any(string in text for string in stop)]
