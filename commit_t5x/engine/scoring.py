"""Log-probabilities of token sequences under a model, in batches of few shapes."""

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from commit_t5x.engine import decoding
from commit_t5x.model import llama

_SHORTEST_BUCKET = 32


class Score(NamedTuple):
    """What lm-eval calls a log-likelihood."""

    logprob: float  # of all targets together, natural logarithm
    is_greedy: bool  # whether greedy decoding would produce them


def score_targets(
    module: llama.Llama,
    params: Any,
    rows: Sequence[tuple[Sequence[int], Sequence[int]]],
    *,
    batch_size: int,
    max_length: int,
    on_batch: Callable[[int], None] = lambda done: None,
) -> list[Score]:
    """Scores each row's targets as the continuation of its context.

    Args:
      module: the network.
      params: its weights, on the device.
      rows: (context, targets), at least one token of each, at most `max_length` targets. Of a
        context that is too long, the end is kept.
      batch_size: rows of a forward pass.
      max_length: the most tokens of a forward pass, hence of context and all but the last target.
      on_batch: called with the number of rows after each batch.

    Returns:
      A Score for each row, in their order.

    Raises:
      InputError: the logits are not finite.

    Example:
      >>> score_targets(module, params, [([1, 5], [6, 7])], batch_size=1, max_length=2048)
      [Score(logprob=-20.7, is_greedy=False)]
    """
    scores: dict[int, Score] = {}
    whole = [[*context, *targets][-max_length - 1 :] for context, targets in rows]
    for batch in batches([len(tokens) for tokens in whole], batch_size):
        # Full batches of bucketed lengths: few shapes, few compilations.
        longest = len(whole[batch[0]]) - 1
        length = min(max(_SHORTEST_BUCKET, 1 << math.ceil(math.log2(longest))), max_length)
        tokens: Any = np.zeros((min(batch_size, len(rows)), length + 1), np.int32)
        for place, index in enumerate(batch):
            tokens[place, : len(whole[index])] = whole[index]
        logprobs, greedy = jax.device_get(_token_scores(module, params, tokens))
        decoding.check_finite(np.isfinite(logprobs).all())
        for place, index in enumerate(batch):
            end = len(whole[index]) - 1
            scored = slice(end - len(rows[index][1]), end)
            scores[index] = Score(
                float(np.sum(logprobs[place, scored], dtype=np.float64)),
                bool(np.all(greedy[place, scored])),
            )
        on_batch(len(batch))
    return [scores[index] for index in range(len(rows))]


def batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Yields the indices of `lengths`, `size` at a time, the longest first.

    Rows of a batch are then of like length, and a batch too large for memory fails at once.

    Example:
      >>> list(batches([3, 9, 5], size=2))
      [[1, 2], [0]]
    """
    longest_first = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    for start in range(0, len(lengths), size):
        yield longest_first[start : start + size]


@functools.partial(jax.jit, static_argnums=0)
def _token_scores(
    module: llama.Llama, params: Any, tokens: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Scores every token after the first by those before it.

    Args:
      tokens: int [batch, length + 1]; padding on the right does no harm.

    Returns:
      log-probabilities, fp32, and whether each token is the likeliest, both [batch, length].
    """
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    logits: Any = module.apply({"params": params}, inputs, targets, enable_dropout=False)
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1), jnp.argmax(logits, axis=-1) == targets
