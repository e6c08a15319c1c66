"""The pass over prompts, in which what several of them begin with goes through the network once."""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from commit_t5x.engine import layerwise, shared_prefixes
from commit_t5x.model import llama

_SMALLEST_BUCKET = 16
_SMALLEST_CACHE = 64  # reading one is nothing beside the weights
# What prompts share is computed once where that leaves so little of the work, and where so few
# tokens follow it, whose scores against all others are in memory at once.
_MAX_WORK = 0.75
_MAX_OWN = 256


class Prefix:
    """What a prompt began with, kept for prompts that come next.

    Attributes:
      tokens: of it; none at first.
      cache: their keys and values, a batch of one row that ends with the last of them.
    """

    def __init__(self) -> None:
        self.tokens: Sequence[int] = ()
        self.cache: Any = None


class _Rows(NamedTuple):
    """Token ids, padded on the left.

    So all rows end in one column, and each step writes one slot of the cache.

    Attributes:
      tokens: [batch, bucket].
      padding: [batch]; how many of them are.
    """

    tokens: np.ndarray
    padding: np.ndarray


class _Plan(NamedTuple):
    """How to compute prompts behind what they begin with.

    Attributes:
      own: what follows, of each prompt.
      prefixes: what they begin with, each once; the first is the kept one, if that is used.
      uses_kept: whether it is.
      rows: [batch]; the prefix of each prompt.
      lengths: [batch]; how many of its tokens the prompt begins with: all, but of the kept one.
    """

    own: list[Sequence[int]]
    prefixes: list[Sequence[int]]
    uses_kept: bool
    rows: np.ndarray
    lengths: np.ndarray


def prefill(
    module: llama.Llama,
    params: Mapping[str, Any],
    prompts: Sequence[Sequence[int]],
    capacity: int,
    kept: Prefix | None = None,
    most: Sequence[int] | None = None,
) -> tuple[jax.Array, np.ndarray, Any]:
    """Computes prompts, so that single tokens can follow.

    Args:
      module: the network; its dropout is off.
      params: its weights.
      prompts: token ids, at least one each.
      capacity: tokens that are to follow.
      kept: used where prompts begin with it, and changed to what the last of them begins with.
      most: of each prompt, how many tokens' hidden states aren't asked for; all but the last.

    Returns:
      Hidden states, [batch, tokens, embed], the last ones those of the prompts' last tokens; the
      positions of these, [batch]; and the cache of keys and values, with room for `capacity` more.
    """
    last = np.array([len(prompt) - 1 for prompt in prompts], np.int32)
    plan = _plan(prompts, kept.tokens if kept else (), most)
    if plan is None:
        rows = _padded(prompts)
        length = rows.tokens.shape[1]
        states, cache = _fill(module, params, rows, _slots(length + capacity), most is None)
        if kept:
            kept.tokens, kept.cache = prompts[-1], _row(cache, len(prompts) - 1, length)
        return states, last, cache
    pool = [kept.cache] if kept and plan.uses_kept else []
    if new := plan.prefixes[len(pool) :]:
        rows = _padded(new + new[-1:] * (_count(len(new)) - len(new)))
        _, made = _fill(module, params, rows, rows.tokens.shape[1], last_only=True)
        place = plan.rows[-1] - len(pool)
        pool.append(made)
        if kept and place >= 0:
            kept.tokens = new[place]
            kept.cache = _row(made, place, rows.tokens.shape[1])
    own = _padded(plan.own)
    columns = np.arange(own.tokens.shape[1]) - own.padding[:, None]
    lengths = np.array([len(prefix) for prefix in plan.prefixes], np.int32)
    cache = _behind(
        pool,
        plan.rows,
        own.padding + lengths[plan.rows] - plan.lengths,
        _slots(max(map(_length, pool)) + own.tokens.shape[1] + capacity),
    )
    states, cache = layerwise.hidden(
        module,
        params,
        cache,
        own.tokens,
        positions=np.where(columns < 0, -1, columns + plan.lengths[:, None]),
        decode=True,
        last_only=most is None,
    )
    return states, last, cache


def shares(
    prompts: Sequence[Sequence[int]], kept: Prefix, most: Sequence[int] | None = None
) -> bool:
    """Returns whether `prefill` computes what prompts begin with only once."""
    return _plan(prompts, kept.tokens, most) is not None


def _plan(
    prompts: Sequence[Sequence[int]], kept: Sequence[int], most: Sequence[int] | None
) -> _Plan | None:
    """Returns how to compute what prompts begin with only once, None where that doesn't pay."""
    most = [len(prompt) - 1 for prompt in prompts] if most is None else most
    begins = (prompt[:size] for prompt, size in zip(prompts, most, strict=True))
    common = [shared_prefixes.common(begin, kept) for begin in begins]
    own: list[Sequence[int]] = list(prompts)
    prefixes: list[Sequence[int]] = []
    rows, lengths = np.zeros((2, len(prompts)), np.int32)
    groups = shared_prefixes.groups(prompts, most)
    behind_kept = [
        all(common[r] >= shared_prefixes.MIN_SHARE * len(prompts[r]) for r in group.rows)
        for group in groups
    ]
    uses_kept = any(behind_kept)
    if uses_kept:
        prefixes.append(kept)
    for group, behind in zip(groups, behind_kept, strict=True):
        for row in group.rows:
            rows[row] = 0 if behind else len(prefixes)
            lengths[row] = common[row] if behind else group.length
            own[row] = prompts[row][lengths[row] :]
        if not behind:
            prefixes.append(prompts[group.rows[0]][: group.length])
    longest, new = max(map(len, own)), prefixes[uses_kept:]
    work = len(prompts) * bucket(longest)
    work += _count(len(new)) * bucket(max(map(len, new))) if new else 0
    pays = work <= _MAX_WORK * len(prompts) * bucket(max(map(len, prompts)))
    if longest > _MAX_OWN or not all(map(len, prefixes)) or not pays:
        return None
    return _Plan(own, prefixes, uses_kept, rows, lengths)


def _count(prefixes: int) -> int:
    """Returns how many prefixes are computed: few numbers, so few programs."""
    return 1 << (prefixes - 1).bit_length()


def _padded(prompts: Sequence[Sequence[int]]) -> _Rows:
    lengths = np.array([len(prompt) for prompt in prompts], np.int32)
    tokens = np.zeros((len(prompts), bucket(int(lengths.max()))), np.int32)
    padding = tokens.shape[1] - lengths
    for row, prompt, start in zip(tokens, prompts, padding, strict=True):
        row[start:] = prompt
    return _Rows(tokens, padding)


def bucket(length: int) -> int:
    """Returns the size that a length is padded to: 16, 24, 32, 48, 64, 96, 128, 160, 192, ..."""
    power = max(1 << (length - 1).bit_length(), _SMALLEST_BUCKET)
    # Each size is a program; padding of long rows costs more than those do.
    step = max(power // (4 if power <= 128 else 8), _SMALLEST_BUCKET // 2)
    return max(-(-length // step) * step, _SMALLEST_BUCKET)


def _slots(length: int) -> int:
    """Returns a size for the cache: each new token reads all of it, and each size is a program."""
    step = max(bucket(length) // 12, _SMALLEST_CACHE)
    return -(-length // step) * step


def hidden(
    module: llama.Llama, params: Mapping[str, Any], prompts: Sequence[Sequence[int]]
) -> jax.Array:
    """Returns hidden states as `prefill` does, and keeps nothing for what follows."""
    return _fill(module, params, _padded(prompts), None, last_only=False)[0]


def _fill(
    module: llama.Llama,
    params: Mapping[str, Any],
    rows: _Rows,
    slots: int | None,
    last_only: bool,
) -> tuple[jax.Array, Any]:
    """Returns the hidden states of rows, and a new cache that holds them; None for none."""
    positions = np.arange(rows.tokens.shape[1]) - rows.padding[:, None]
    return layerwise.hidden(
        module,
        params,
        {},
        rows.tokens,
        (positions >= 0).astype(np.int32),  # padding is a segment of its own
        np.maximum(positions, 0),
        prefill=slots is not None,
        max_decode_length=slots,
        last_only=last_only,
    )


# Of a cache's arrays, keys and values are [..., batch, heads, slots, dim]; the next slot is less.


def _length(cache: Any) -> int:
    return max(x.shape[-2] for x in jax.tree.leaves(cache) if x.ndim > 3)


@functools.partial(jax.jit, static_argnums=2)
def _row(cache: Any, row: int, slots: int) -> Any:
    """Returns one row of a cache, and its first slots."""

    def cut(cached: jax.Array) -> jax.Array:
        if cached.ndim < 4:
            return cached
        return jax.lax.dynamic_slice_in_dim(cached[..., :slots, :], row, 1, axis=-4)

    return jax.tree.map(cut, cache)


@functools.partial(jax.jit, static_argnums=3)
def _behind(pool: list[Any], rows: jax.Array, shifts: jax.Array, slots: int) -> Any:
    """Returns the caches of prefixes laid out for the rows behind them.

    Each row's is moved right over the padding of its own tokens, so that both stand together, and
    farther where it begins with only a part of its prefix: its own tokens take the rest's place.
    """
    length = max(map(_length, pool))

    def lay_out(*caches: jax.Array) -> jax.Array:
        if caches[0].ndim < 4:
            return jnp.full_like(caches[0], length)
        wide = [
            jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(length - x.shape[-2], slots - length), (0, 0)])
            for x in caches
        ]
        taken = jnp.take(jnp.concatenate(wide, axis=-4), rows, axis=-4)
        roll = functools.partial(jnp.roll, axis=-2)
        return jax.vmap(roll, in_axes=(-4, 0), out_axes=-4)(taken, shifts)

    return jax.tree.map(lay_out, *pool)
