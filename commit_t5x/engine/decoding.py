"""Greedy decoding: one pass over the prompts, then single-token steps over a key-value cache."""

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from commit_t5x.errors import InputError
from commit_t5x.llama import Llama

_SMALLEST_BUCKET = 16


def greedy_decode(
    module: Llama,
    params: Mapping[str, Any],
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    eos_id: int,
    stop_ids: Collection[int] = (),
) -> list[list[int]]:
    """Continues each prompt with the likeliest token, step by step.

    The tokens are those that full passes over prompt and continuation would give. Prompts may have
    different lengths. Lengths are rounded up to a few sizes, so that a program is compiled for each
    of those and each number of prompts, not for each prompt. Under a mesh, weights that are
    partitioned stay so, and so does the cache by its logical axes.

    Args:
      module: the network; its dropout is off. On CPUs an unrolled one steps about twice as fast as
        a scanned one, which slices its weights anew in each step: see `llama.unstack_layers`.
      params: its weights.
      prompts: token ids, BOS included where the model is to see one.
      max_new_tokens: of each continuation.
      eos_id: ends a continuation.
      stop_ids: further tokens that end one, e.g. those with a newline in them.

    Returns:
      The new tokens of each prompt, with the one that ended it, if any.

    Raises:
      InputError: a prompt has no token, or max_new_tokens is not positive.

    Example:
      >>> greedy_decode(module, params, [[1, 5, 6], [1, 7]], max_new_tokens=3, eos_id=2)
      [[9, 9, 2], [11, 4, 30]]
    """
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens: {max_new_tokens} is not a positive number")
    if not all(len(prompt) for prompt in prompts):
        raise InputError("prompts: one is empty; begin it with BOS")
    if not prompts:
        return []
    lengths = np.array([len(prompt) for prompt in prompts], np.int32)
    tokens = np.zeros((len(prompts), bucket(int(lengths.max()))), np.int32)
    for row, prompt in zip(tokens, prompts, strict=True):
        row[: len(prompt)] = prompt
    # A table over the vocabulary has one shape, whatever the number of stop ids.
    is_stop = np.zeros(module.config.vocab_size, bool)
    is_stop[[eos_id, *stop_ids]] = True
    generated, counts = jax.device_get(
        _decode(module, params, tokens, lengths, is_stop, max_new_tokens, bucket(max_new_tokens))
    )
    return [row[:count].tolist() for row, count in zip(generated, counts, strict=True)]


def bucket(length: int) -> int:
    """Returns the size that a length is padded to: 16, 24, 32, 48, 64, 96, 128, ..."""
    size = _SMALLEST_BUCKET
    while size < length:
        size *= 2
    between = size * 3 // 4
    return between if size > _SMALLEST_BUCKET and length <= between else size


@flax.struct.dataclass
class _State:
    """Of the loop: step is scalar, what follows is [batch, ...]."""

    step: jax.Array
    token: jax.Array  # [batch], the last one chosen
    generated: jax.Array  # [batch, capacity]
    counts: jax.Array  # [batch], tokens generated so far
    is_done: jax.Array  # [batch]
    cache: Any


@functools.partial(jax.jit, static_argnums=(0, 6))
def _decode(
    module: Llama,
    params: Mapping[str, Any],
    tokens: jax.Array,  # [batch, prompt_bucket], padded on the right
    lengths: jax.Array,  # [batch]
    is_stop: jax.Array,  # [vocab]
    max_new_tokens: jax.Array,  # scalar, at most capacity
    capacity: int,
) -> tuple[jax.Array, jax.Array]:
    """Returns the generated tokens [batch, capacity] and how many of each row count [batch]."""
    batch, length = tokens.shape
    hidden, variables = module.apply(
        {"params": params},
        tokens,
        enable_dropout=False,
        prefill=True,
        prefill_lengths=lengths,
        max_decode_length=length + capacity,
        mutable=["cache"],
        method="hidden",
    )
    # Only the last token of each prompt goes through the head.
    last = jnp.take_along_axis(hidden, lengths[:, None, None] - 1, axis=1)[:, 0]
    logits = module.apply({"params": params}, last, method="logits")

    def append(state: _State, logits: jax.Array, cache: Any) -> _State:
        token = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        column = jnp.where(state.is_done, 0, token)[:, None]
        return _State(
            step=state.step + 1,
            token=token,
            generated=jax.lax.dynamic_update_slice(state.generated, column, (0, state.step)),
            counts=state.counts + ~state.is_done,
            is_done=state.is_done | is_stop[token],
            cache=cache,
        )

    def proceed(state: _State) -> jax.Array:
        return (state.step < max_new_tokens) & ~jnp.all(state.is_done)

    def advance(state: _State) -> _State:
        token = state.token[:, None]
        logits, variables = module.apply(
            {"params": params, "cache": state.cache},
            token,
            token,
            enable_dropout=False,
            decode=True,
            mutable=["cache"],
        )
        return append(state, logits[:, 0], variables["cache"])

    empty = _State(
        step=jnp.zeros((), jnp.int32),
        token=jnp.zeros((batch,), jnp.int32),
        generated=jnp.zeros((batch, capacity), jnp.int32),
        counts=jnp.zeros((batch,), jnp.int32),
        is_done=jnp.zeros((batch,), bool),
        cache=None,
    )
    state = append(empty, logits, variables["cache"])
    state = jax.lax.while_loop(proceed, advance, state)
    return state.generated, state.counts
