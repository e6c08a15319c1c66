"""Log-probabilities of token sequences under a model, in batches of few shapes.

What several begin with, as the answers to choose from do, goes through the network once.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from commit_t5x.engine import decoding, layerwise, prefilling, shared_prefixes
from commit_t5x.errors import InputError
from commit_t5x.model import llama

# Beyond it activations leave the processor's cache: ten rows of 768 tokens took SmolLM2-135M 1.35
# times as long a token as two.
_TOKENS_IN_CACHE = 1536


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
      rows: (context, targets), at least one token of each. Of a context that is too long, the end
        is kept.
      batch_size: rows of a forward pass, on a CPU at most: it takes long ones in parts.
      max_length: the most tokens of a forward pass, hence of context and all but the last target.
      on_batch: called with the number of rows after each batch.

    Returns:
      A Score for each row, in their order.

    Raises:
      InputError: there are more than `max_length` targets, or the logits are not finite.

    Example:
      >>> score_targets(module, params, [([1, 5], [6, 7])], batch_size=1, max_length=2048)
      [Score(logprob=-20.7, is_greedy=False)]
    """
    longest = max((len(targets) for _, targets in rows), default=0)
    if longest > max_length:
        raise InputError(
            f"a continuation of {longest} tokens: longer than the model's {max_length}; shorten it"
        )
    scores: dict[int, Score] = {}
    # The last token is predicted only.
    inputs = [[*context, *targets][-max_length - 1 : -1] for context, targets in rows]
    most = [len(ids) - len(targets) for ids, (_, targets) in zip(inputs, rows, strict=True)]
    kept = prefilling.Prefix()
    batches = shared_prefixes.batches(inputs, batch_size)
    for batch, following in itertools.pairwise([*batches, []]):
        # Full batches of few lengths: few shapes, few compilations.
        filled = batch + batch[-1:] * (min(batch_size, len(rows)) - len(batch))
        prompts, limits = [inputs[index] for index in filled], [most[index] for index in filled]
        targets = [rows[index][1] for index in filled]
        if prefilling.shares(prompts, kept, limits) or _continue(inputs, batch, following):
            hidden, *_ = prefilling.prefill(module, params, prompts, 0, kept, limits)
            found = _scores(module, params, hidden, targets)
        else:
            found = _plain(module, params, prompts, targets)
        scores |= zip(batch, found, strict=False)
        on_batch(len(batch))
    return [scores[index] for index in range(len(rows))]


def _continue(
    inputs: Sequence[Sequence[int]], batch: Sequence[int], following: Sequence[int]
) -> bool:
    """Returns whether the batch that follows begins as this one ends."""
    if not following:
        return False
    last, first = inputs[batch[-1]], inputs[following[0]]
    return shared_prefixes.common(last, first) >= shared_prefixes.MIN_SHARE * len(first)


def _plain(
    module: llama.Llama,
    params: Mapping[str, Any],
    prompts: Sequence[Sequence[int]],
    targets: Sequence[Sequence[int]],
) -> list[Score]:
    """Scores rows that share nothing; on a CPU some at a time, and as many each time."""
    count = len(prompts)
    if jax.default_backend() == "cpu":
        most = _TOKENS_IN_CACHE // prefilling.bucket(max(map(len, prompts)))
        count = max(n for n in range(1, count + 1) if count % n == 0 and n <= max(most, 1))
    found = []
    for start in range(0, len(prompts), count):
        part = slice(start, start + count)
        hidden = prefilling.hidden(module, params, prompts[part])
        found += _scores(module, params, hidden, targets[part])
    return found


def _scores(
    module: llama.Llama,
    params: Mapping[str, Any],
    hidden: jax.Array,
    targets: Sequence[Sequence[int]],
) -> list[Score]:
    """Scores targets, the last of which is predicted by the last hidden state."""
    ids: Any = np.zeros((len(targets), prefilling.bucket(max(map(len, targets)))), np.int32)
    for row, tokens in zip(ids, targets, strict=True):
        row[len(row) - len(tokens) :] = tokens
    scored = jax.device_get(_token_scores(module, layerwise.outer(params), hidden, ids))
    decoding.check_finite(np.isfinite(scored[0]).all())
    return [
        Score(
            float(np.sum(logprobs[-len(tokens) :], dtype=np.float64)),
            bool(np.all(greedy[-len(tokens) :])),
        )
        for tokens, logprobs, greedy in zip(targets, *scored, strict=True)
    ]


@functools.partial(jax.jit, static_argnums=0)
def _token_scores(
    module: llama.Llama, params: Any, hidden: jax.Array, targets: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Returns log-probabilities, fp32, and whether each target is the likeliest token.

    Both are [batch, targets], those of a row at its end.
    """
    hidden = hidden[:, -targets.shape[1] :]
    logits: Any = module.apply({"params": params}, hidden, method="logits")
    chosen = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1), jnp.argmax(logits, axis=-1) == targets
