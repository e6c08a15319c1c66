"""Decoding: one pass over the prompts, then single-token steps over a key-value cache."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from commit_t5x.engine import shared_prefixes
from commit_t5x.engine.sampling import Sampling, next_tokens
from commit_t5x.errors import InputError
from commit_t5x.model import llama

_SMALLEST_BUCKET = 16
# What prompts share is computed once where that leaves so little of the work, and where so few
# tokens follow it, whose scores against all others are in memory at once.
_MAX_WORK = 0.75
_MAX_OWN = 256


def decode(
    module: llama.Llama,
    params: Mapping[str, Any],
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    eos_id: int,
    stop_ids: Collection[int] = (),
    *,
    sampling: Sampling = Sampling(),  # noqa: B008, frozen
    seed: int = 0,
    streams: Sequence[int] | None = None,
    check: Callable[[list[list[int]]], Sequence[bool]] | None = None,
    check_period: int = 8,
) -> list[list[int]]:
    """Continues each prompt token by token.

    The logits are those that full passes over prompt and continuation would give. Prompts may have
    different lengths. Lengths are rounded up to a few sizes, so that a program is compiled for each
    of those and each number of prompts, not for each prompt. What prompts begin with alike (see
    `shared_prefixes`) is computed once, where that pays. Under a mesh, weights that are partitioned
    stay so, and so does the cache by its logical axes.

    Args:
      module: the network; its dropout is off. On CPUs see `unrolled`.
      params: its weights.
      prompts: token ids, BOS included where the model is to see one.
      max_new_tokens: of each continuation.
      eos_id: ends a continuation.
      stop_ids: further tokens that end one, e.g. those with a newline in them.
      sampling: how tokens are chosen; the likeliest by default.
      seed: of the random choices.
      streams: a number for each prompt, by default its place in `prompts`. What is drawn for a
        prompt follows from seed and number, not from the prompts beside it.
      check: called every `check_period` steps with the tokens so far; says which rows are done.
      check_period: steps between two checks.

    Returns:
      The new tokens of each prompt, with the one that ended it, if any.

    Raises:
      InputError: a prompt has no token, max_new_tokens is not positive, the seed out of range, or
        the logits are not finite.

    Example:
      >>> decode(module, params, [[1, 5, 6], [1, 7]], max_new_tokens=3, eos_id=2)
      [[9, 9, 2], [11, 4, 30]]
    """
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens: {max_new_tokens} is not a positive number")
    if not 0 <= seed < 2**32:
        raise InputError(f"SEED: {seed} is not a number of 32 bits; use one from 0 on")
    if not all(len(prompt) for prompt in prompts):
        raise InputError("prompts: one is empty; begin it with BOS")
    if not prompts:
        return []
    # A table over the vocabulary has one shape, whatever the number of stop ids.
    is_stop = np.zeros(module.config.vocab_size, bool)
    is_stop[[eos_id, *stop_ids]] = True
    streams = np.arange(len(prompts)) if streams is None else np.asarray(streams)
    keys = _stream_keys(np.uint32(seed), streams.astype(np.uint32))
    run = functools.partial(_advance, module, sampling, params)
    rows = _shared(prompts) or _padded(prompts)
    state = _begin(module, sampling, params, rows, is_stop, keys, bucket(max_new_tokens))
    step, is_done = 1, np.asarray(state.is_done)
    while step < max_new_tokens and not is_done.all():
        until = min(step + check_period, max_new_tokens) if check else max_new_tokens
        state = run(state, is_done, is_stop, keys, until)
        step, is_done = until, np.asarray(state.is_done)
        if check:
            is_done = is_done | np.asarray(check(_generated(state)), bool)
    check_finite(bool(state.is_finite))
    return _generated(state)


def check_finite(is_finite: bool) -> None:
    """Raises InputError where what a network computed is not: nothing could be told from it."""
    if not is_finite:
        raise InputError(
            "the network's logits are not finite: its weights hold NaN or infinity, or are too "
            "large for the type; use another checkpoint, or float32"
        )


@flax.struct.dataclass
class _Rows:
    """Token ids, padded on the left.

    So all rows end in one column, and each step writes one slot of the cache.

    Attributes:
      tokens: [batch, bucket].
      padding: [batch]; how many of them are.
      prefix: what stands before: rows whose cache is shared; None for none.
      prefix_rows: [batch]; the row of `prefix` that stands before each row.
    """

    tokens: np.ndarray
    padding: np.ndarray
    prefix: "_Rows | None" = None
    prefix_rows: np.ndarray | None = None


def _padded(prompts: Sequence[Sequence[int]], **prefix: Any) -> _Rows:
    lengths = np.array([len(prompt) for prompt in prompts], np.int32)
    tokens = np.zeros((len(prompts), bucket(int(lengths.max()))), np.int32)
    padding = tokens.shape[1] - lengths
    for row, prompt, start in zip(tokens, prompts, padding, strict=True):
        row[start:] = prompt
    return _Rows(tokens, padding, **prefix)


def _shared(prompts: Sequence[Sequence[int]]) -> _Rows | None:
    """Returns rows behind what several of them begin with, None where that doesn't pay."""
    groups = shared_prefixes.groups(prompts)
    own: list[Sequence[int]] = list(prompts)
    prefix_rows = np.zeros(len(prompts), np.int32)
    for number, group in enumerate(groups):
        for row in group.rows:
            own[row] = prompts[row][group.length :]
            prefix_rows[row] = number
    # Few numbers of prefixes, so few programs; one that is repeated does no harm.
    prefixes = [prompts[group.rows[0]][: group.length] for group in groups]
    prefixes += prefixes[-1:] * ((1 << (len(groups) - 1).bit_length()) - len(groups))
    longest = max(map(len, own))
    together = len(prefixes) * bucket(max(map(len, prefixes))) + len(prompts) * bucket(longest)
    alone = len(prompts) * bucket(max(map(len, prompts)))
    if longest > _MAX_OWN or not all(prefixes) or together > _MAX_WORK * alone:
        return None
    return _padded(own, prefix=_padded(prefixes), prefix_rows=prefix_rows)


def bucket(length: int) -> int:
    """Returns the size that a length is padded to: 16, 24, 32, 48, 64, 96, 128, ..."""
    size = _SMALLEST_BUCKET
    while size < length:
        size *= 2
    between = size * 3 // 4
    return between if size > _SMALLEST_BUCKET and length <= between else size


def unrolled(module: llama.Llama, params: dict[str, Any]) -> tuple[llama.Llama, dict[str, Any]]:
    """Returns the network and its weights in the form that decodes faster on this machine.

    On CPUs that is the unrolled one, since a scanned one copies each layer's weights in each step.
    The layers' weights are taken out of `params`, so that no more than one of them is in memory
    twice. Elsewhere nothing changes.
    """
    if not getattr(module, "scan_layers", False) or jax.default_backend() != "cpu":
        return module, params
    return module.clone(scan_layers=False), llama.unstack_layers(params, consume=True)


@flax.struct.dataclass
class _State:
    """Of the loop: step and is_finite are scalars, the others [batch, ...]."""

    step: jax.Array
    token: jax.Array  # [batch], the last one chosen
    position: jax.Array  # [batch], of that token
    generated: jax.Array  # [batch, capacity]
    counts: jax.Array  # [batch], tokens generated so far
    is_done: jax.Array  # [batch]
    is_finite: jax.Array  # whether all logits were
    cache: Any


def _generated(state: _State) -> list[list[int]]:
    rows, counts = jax.device_get((state.generated, state.counts))
    return [row[:count].tolist() for row, count in zip(rows, counts, strict=True)]


@jax.jit
def _stream_keys(seed: jax.Array, streams: jax.Array) -> jax.Array:
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(jax.random.key(seed), streams)


def _append(
    state: _State, logits: jax.Array, cache: Any, sampling: Sampling, is_stop, keys
) -> _State:
    """Chooses the tokens that follow, by logits [batch, vocab]."""
    step_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, state.step)
    token = next_tokens(logits, step_keys, sampling)
    column = jnp.where(state.is_done, 0, token)[:, None]
    return _State(
        step=state.step + 1,
        token=token,
        position=state.position + 1,
        generated=jax.lax.dynamic_update_slice(state.generated, column, (0, state.step)),
        counts=state.counts + ~state.is_done,
        is_done=state.is_done | is_stop[token],
        is_finite=state.is_finite & jnp.isfinite(logits).all(),
        cache=cache,
    )


@functools.partial(jax.jit, static_argnums=(0, 1, 6))
def _begin(
    module: llama.Llama,
    sampling: Sampling,
    params: Mapping[str, Any],
    rows: _Rows,
    is_stop: jax.Array,  # [vocab]
    keys: jax.Array,  # [batch]
    capacity: int,
) -> _State:
    """Returns the state after the first new token."""
    length = rows.tokens.shape[1]
    positions = jnp.arange(length) - rows.padding[:, None]
    if rows.prefix is None:
        hidden, cache = _prefill(module, params, rows, length + capacity)
    else:
        prefix, size = rows.prefix, rows.prefix.tokens.shape[1]
        _, cache = _prefill(module, params, prefix, size + length + capacity)
        cache = jax.tree.map(functools.partial(_behind, rows), cache)
        lengths = (size - prefix.padding)[rows.prefix_rows]
        positions = jnp.where(positions < 0, -1, positions + lengths[:, None])
        hidden, variables = module.apply(
            {"params": params, "cache": cache},
            rows.tokens,
            positions=positions,
            enable_dropout=False,
            decode=True,
            mutable=["cache"],
            method="hidden",
        )
        cache = variables["cache"]
    # Only the last token of each prompt goes through the head.
    logits = module.apply({"params": params}, hidden[:, -1], method="logits")
    batch = len(rows.tokens)
    empty = _State(
        step=jnp.zeros((), jnp.int32),
        token=rows.tokens[:, -1],
        position=positions[:, -1],
        generated=jnp.zeros((batch, capacity), jnp.int32),
        counts=jnp.zeros((batch,), jnp.int32),
        is_done=jnp.zeros((batch,), bool),
        is_finite=jnp.ones((), bool),
        cache=None,
    )
    return _append(empty, logits, cache, sampling, is_stop, keys)


def _prefill(
    module: llama.Llama, params: Mapping[str, Any], rows: _Rows, capacity: int
) -> tuple[jax.Array, Any]:
    """Returns the hidden states of rows, and a cache of `capacity` slots that holds them."""
    positions = jnp.arange(rows.tokens.shape[1]) - rows.padding[:, None]
    hidden, variables = module.apply(
        {"params": params},
        rows.tokens,
        (positions >= 0).astype(jnp.int32),  # padding is a segment of its own
        jnp.maximum(positions, 0),
        enable_dropout=False,
        prefill=True,
        max_decode_length=capacity,
        mutable=["cache"],
        method="hidden",
    )
    return hidden, variables["cache"]


def _behind(rows: _Rows, cached: jax.Array) -> jax.Array:
    """Returns the prefixes' cache, [..., prefix, heads, slots, dim], laid out for the rows.

    Each row's is moved right over the padding of its own tokens, so that both stand together.
    """
    if cached.ndim < 4:  # the next slot
        return cached
    taken = jnp.take(cached, rows.prefix_rows, axis=-4)
    roll = functools.partial(jnp.roll, axis=-2)
    return jax.vmap(roll, in_axes=(-4, 0), out_axes=-4)(taken, rows.padding)


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=3)
def _advance(
    module: llama.Llama,
    sampling: Sampling,
    params: Mapping[str, Any],
    state: _State,
    is_done: jax.Array,  # [batch], which rows need no more tokens
    is_stop: jax.Array,  # [vocab]
    keys: jax.Array,  # [batch]
    until: jax.Array,  # scalar, at most capacity
) -> _State:
    """Returns the state when each row has `until` tokens or is done."""

    def proceed(state: _State) -> jax.Array:
        return (state.step < until) & ~jnp.all(state.is_done)

    def advance(state: _State) -> _State:
        logits, variables = module.apply(
            {"params": params, "cache": state.cache},
            state.token[:, None],
            decoder_positions=state.position[:, None],
            enable_dropout=False,
            decode=True,
            mutable=["cache"],
        )
        return _append(state, logits[:, 0], variables["cache"], sampling, is_stop, keys)

    return jax.lax.while_loop(proceed, advance, state.replace(is_done=is_done))
