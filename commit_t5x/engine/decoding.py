"""Decoding: one pass over the prompts, then single-token steps over a key-value cache."""

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np

from commit_t5x.engine import layerwise, prefilling
from commit_t5x.engine.sampling import Sampling, next_tokens
from commit_t5x.errors import InputError
from commit_t5x.model import llama


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
    kept: prefilling.Prefix | None = None,
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
      max_new_tokens: of each continuation, at least one.
      eos_id: ends a continuation.
      stop_ids: further tokens that end one, e.g. those with a newline in them.
      sampling: how tokens are chosen; the likeliest by default.
      seed: of the random choices, of 32 bits.
      streams: a number for each prompt, by default its place in `prompts`. What is drawn for a
        prompt follows from seed and number, not from the prompts beside it.
      check: called every `check_period` steps with the tokens so far; says which rows are done.
      check_period: steps between two checks.
      kept: what the prompts of the last call, of the same network, began with: used where these
        begin alike, and changed to what the next ones may begin with.

    Returns:
      The new tokens of each prompt, with the one that ended it, if any.

    Raises:
      InputError: a prompt has no token, or the logits are not finite.

    Example:
      >>> decode(module, params, [[1, 5, 6], [1, 7]], max_new_tokens=3, eos_id=2)
      [[9, 9, 2], [11, 4, 30]]
    """
    if not all(len(prompt) for prompt in prompts):
        raise InputError("prompts: one is empty; begin it with BOS")
    if not prompts:
        return []
    # A table over the vocabulary has one shape, whatever the number of stop ids.
    is_stop = np.zeros(module.config.vocab_size, bool)
    is_stop[[eos_id, *stop_ids]] = True
    streams = np.arange(len(prompts)) if streams is None else np.asarray(streams)
    keys = _stream_keys(np.uint32(seed), streams.astype(np.uint32))
    run = functools.partial(_advance_program(), module, sampling, params)
    capacity = prefilling.bucket(max_new_tokens)
    hidden, positions, cache = prefilling.prefill(module, params, prompts, capacity, kept)
    outer = layerwise.outer(params)
    state = _begin(module, sampling, outer, hidden, positions, is_stop, keys, capacity)
    state = state.replace(cache=cache)
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


@functools.partial(jax.jit, static_argnums=(0, 1, 7))
def _begin(
    module: llama.Llama,
    sampling: Sampling,
    params: Mapping[str, Any],
    hidden: jax.Array,  # [batch, length, embed]
    position: jax.Array,  # [batch], of the last token of each
    is_stop: jax.Array,  # [vocab]
    keys: jax.Array,  # [batch]
    capacity: int,
) -> _State:
    """Returns the state after the first new token, without its cache."""
    # Only the last token of each prompt goes through the head.
    logits = module.apply({"params": params}, hidden[:, -1], method="logits")
    batch = len(position)
    empty = _State(
        step=jnp.zeros((), jnp.int32),
        token=jnp.zeros((batch,), jnp.int32),
        position=position,
        generated=jnp.zeros((batch, capacity), jnp.int32),
        counts=jnp.zeros((batch,), jnp.int32),
        is_done=jnp.zeros((batch,), bool),
        is_finite=jnp.ones((), bool),
        cache=None,
    )
    return _append(empty, logits, None, sampling, is_stop, keys)


@functools.cache
def _advance_program() -> Callable[..., _State]:
    # Otherwise XLA's CPU compiler copies all of the cache twice in each step, because nothing says
    # that a layer's cache is read before the step's token is written into it.
    options = {"xla_cpu_copy_insertion_use_region_analysis": True}
    return jax.jit(
        _advance,
        static_argnums=(0, 1),
        donate_argnums=3,
        compiler_options=options if jax.default_backend() == "cpu" else None,
    )


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
        hidden, cache = layerwise.hidden(
            module,
            params,
            state.cache,
            state.token[:, None],
            positions=state.position[:, None],
            decode=True,
        )
        logits = module.apply({"params": params}, hidden[:, 0], method="logits")
        return _append(state, logits, cache, sampling, is_stop, keys)

    return jax.lax.while_loop(proceed, advance, state.replace(is_done=is_done))
