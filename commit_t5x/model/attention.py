"""Self-attention with rotary positions, its masks, and its key-value cache.

Softmax is computed in fp32.
"""

import dataclasses
import math
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen import partitioning as nn_partitioning

from commit_t5x.model import causal_attention, layers, rotary
from commit_t5x.model.lora import Lora


def decoder_mask(
    length: int, segment_ids: jax.Array | None = None, causal_attention: jax.Array | None = None
) -> jax.Array:
    """Returns which keys a query sees, bool [batch or 1, 1, query, key].

    Args:
      length: of the row.
      segment_ids: [batch, length]; a query only sees its own segment.
      causal_attention: [batch, length], 1 over the prefix within which attention is bidirectional
        (T5X's PrefixLM feature).

    Example: two segments of two tokens; row = query.
      >>> decoder_mask(4, segment_ids=jnp.array([[1, 1, 2, 2]]))[0, 0].astype(int)
      [[1 0 0 0]
       [1 1 0 0]
       [0 0 1 0]
       [0 0 1 1]]
    """
    positions = jnp.arange(length)
    mask = (positions[:, None] >= positions[None, :])[None, None]
    if causal_attention is not None:
        prefix = causal_attention > 0
        mask = mask | (prefix[:, None, :, None] & prefix[:, None, None, :])
    if segment_ids is not None:
        mask = mask & (segment_ids[:, None, :, None] == segment_ids[:, None, None, :])
    return mask


def forgetful_mask(
    rng: jax.Array, batch: int, length: int, max_ratio: float, segment_ids: jax.Array | None = None
) -> jax.Array:
    """Returns the keys that forgetful causal masking keeps, bool [batch, 1, 1, key].

    A ratio is drawn from U(0, max_ratio) for each example and each key is hidden, from all queries,
    with that probability (Liu et al. 2022). The first key of the row is always kept, and
    the first of each segment, without which a query could be left with no key at all.
    """
    ratio_rng, key_rng = jax.random.split(rng)
    ratio = jax.random.uniform(ratio_rng, (batch, 1), maxval=max_ratio)
    kept = jax.random.uniform(key_rng, (batch, length)) >= ratio
    kept = kept | (jnp.arange(length) == 0)
    if segment_ids is not None:
        kept = kept | (segment_ids != jnp.roll(segment_ids, 1, axis=1))
    return kept[:, None, None, :]


@flax.struct.dataclass
class AttentionContext:
    """What all layers share in one call.

    Attributes:
      mask: bool [batch or 1, 1, query, key]; True where a query sees a key.
      rotary_table: rotary.table of the positions.
      positions: int32 [batch, length]; of the tokens of a decoding step, where rows are padded on
        the left; negative where there is none. None: each token stands where the cache ends, and
        rotary_table isn't used.
      prefill_lengths: int32 [batch]; how many positions of each row go into the cache; None: all.
      is_causal: the mask hides all later keys.
      deterministic: no dropout.
      decode, prefill, max_decode_length: see `commit_t5x.model.llama.Llama`.
    """

    mask: jax.Array
    rotary_table: jax.Array
    positions: jax.Array | None = None
    prefill_lengths: jax.Array | None = None
    is_causal: bool = flax.struct.field(pytree_node=False, default=True)
    deterministic: bool = flax.struct.field(pytree_node=False, default=True)
    decode: bool = flax.struct.field(pytree_node=False, default=False)
    prefill: bool = flax.struct.field(pytree_node=False, default=False)
    max_decode_length: int | None = flax.struct.field(pytree_node=False, default=None)


class Attention(nn.Module):
    """Rotary self-attention with grouped queries and a key-value cache.

    The collection `cache` holds `cached_key` and `cached_value`, [batch, kv_heads, length,
    head_dim], and `cache_index`, the next slot to write: a scalar when new, [batch] once prefilled
    with rows of given lengths. Its first call creates the cache and leaves it empty, as T5X
    expects. Heads stand before the length, since a step then multiplies matrices that lie ready:
    otherwise XLA copies the whole cache into that order in each step.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    rotary_frequencies: tuple[float, ...]
    use_bias: bool = False
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32
    init_stddev: float = layers.INIT_STDDEV
    lora: Lora = Lora()
    kernel: causal_attention.Kernel = "xla"

    @nn.compact
    def __call__(self, x: jax.Array, context: AttentionContext) -> jax.Array:
        batch, length, width = x.shape
        # Ungrouped keys and values are split over devices as the queries are.
        kv_heads = "heads" if self.num_kv_heads == self.num_heads else "kv_heads"

        def project(heads: int, axis: str, name: str) -> jax.Array:
            linear = self._linear(heads * self.head_dim, ("embed", "joined_kv"), name)
            y = linear(x, context.deterministic)
            y = y.reshape(batch, length, heads, self.head_dim)
            return layers.with_sharding_constraint(y, ("batch", "length", axis, "kv"))

        query = project(self.num_heads, "heads", "query")
        key = project(self.num_kv_heads, kv_heads, "key")
        value = project(self.num_kv_heads, kv_heads, "value")
        is_step = context.decode and self.has_variable("cache", "cached_key")
        cache = None
        if context.decode or context.prefill:
            cache = self._cache(key.shape, context.max_decode_length, kv_heads)
        if not is_step:
            query = rotary.rotate(query, context.rotary_table)
            key = rotary.rotate(key, context.rotary_table)
        if context.prefill:
            cache.fill(key, value, context.prefill_lengths)
        if is_step and length > 1:
            y = self._extend_cache(query, key, value, context, cache)
        elif is_step:
            y = self._attend_to_cache(query, key, value, context, cache)
        else:
            drops = self.dropout_rate > 0.0 and not context.deterministic
            y = causal_attention.attend(
                query,
                key,
                value,
                context.mask,
                is_causal=context.is_causal,
                dropout=layers.Dropout(self.dropout_rate, deterministic=False) if drops else None,
                # Weights are made anywhere, on a row of one token.
                kernel="xla" if self.is_initializing() else self.kernel,
            )
        y = layers.with_sharding_constraint(y, ("batch", "length", "heads", "kv"))
        y = y.reshape(batch, length, -1)
        return self._linear(width, ("joined_kv", "embed"), "out")(y, context.deterministic)

    def _linear(self, features: int, axes: tuple[str, str], name: str) -> layers.Linear:
        options = {"use_bias": self.use_bias, "dtype": self.dtype, "lora": self.lora}
        options |= {"init_stddev": self.init_stddev, "name": name}
        return layers.Linear(features, axes, **options)

    def _cache(self, shape: tuple[int, ...], max_length: int | None, kv_heads: str) -> "_Cache":
        """Returns the cache for keys of a shape [batch, length, kv_heads, head_dim]."""
        batch, length, heads, dim = shape
        key, value = (
            nn_partitioning.variable_with_axes(
                "cache",
                name,
                jnp.zeros,
                (batch, heads, max_length or length, dim),
                self.dtype,
                axes=("batch", kv_heads, "length", "kv"),
                module=self,
            )
            for name in ("cached_key", "cached_value")
        )
        return _Cache(key, value, self.variable("cache", "cache_index", jnp.zeros, (), jnp.int32))

    def _attend_to_cache(self, query, key, value, context: AttentionContext, cache: "_Cache"):
        """Appends one token to the cache and attends to what it then holds."""
        index = jnp.broadcast_to(cache.index.value, query.shape[:1])[:, None]
        positions, table = context.positions, context.rotary_table
        if positions is None:
            positions, table = index, rotary.table(index, np.float32(self.rotary_frequencies))
        query, key = rotary.rotate(query, table), rotary.rotate(key, table)
        keys, values = cache.key.value, cache.value.value
        slots = jnp.arange(keys.shape[2])
        # A token sees itself and the `positions` slots before; what is further left is padding.
        seen = (index - positions <= slots) & (slots < index)
        batch, _, heads, dim = query.shape
        query = query.reshape(batch, self.num_kv_heads, -1, dim)
        scores = jnp.einsum("bkgd,bksd->bkgs", query, keys, preferred_element_type=jnp.float32)
        scores = jnp.where(seen[:, None, None], scores, jnp.finfo(jnp.float32).min)
        # The token's own key and value are used beside the cache, not out of it: reading what was
        # just written makes XLA copy the whole cache in each step.
        own = jnp.einsum("bkgd,bkd->bkg", query, key[:, 0], preferred_element_type=jnp.float32)
        scores = jnp.concatenate([scores, own[..., None]], axis=-1) / math.sqrt(dim)
        weights = jax.nn.softmax(scores).astype(self.dtype)
        attended = jnp.einsum("bkgs,bksd->bkgd", weights[..., :-1], values)
        attended += weights[..., -1:] * value[:, 0, :, None]
        cache.append(key, value)
        return attended.reshape(batch, 1, heads, dim)

    def _extend_cache(self, query, key, value, context: AttentionContext, cache: "_Cache"):
        """Appends several tokens to a cache whose rows end in one slot, and attends to all."""
        positions, table = context.positions, context.rotary_table
        query, key = rotary.rotate(query, table), rotary.rotate(key, table)
        own = cache.index.value + jnp.arange(query.shape[1])[:, None]
        cache.extend(key, value, positions >= 0)
        keys, values = (cached.value.swapaxes(1, 2) for cached in (cache.key, cache.value))
        slots = jnp.arange(keys.shape[1])
        seen = (own - positions[..., None] <= slots) & (slots <= own)
        return causal_attention.attend(query, keys, values, seen[:, None], is_causal=False)


@dataclasses.dataclass(frozen=True)
class _Cache:
    """The variables of the key-value cache; see `Attention`."""

    key: nn.Variable
    value: nn.Variable
    index: nn.Variable

    def fill(self, key: jax.Array, value: jax.Array, lengths: jax.Array | None) -> None:
        """Writes rows [batch, length, kv_heads, head_dim] from the start; `lengths` of them count.

        Without lengths all rows end in the same slot, and steps write to one slot of all.
        """
        for cached, rows in ((self.key, key), (self.value, value)):
            rows = rows.swapaxes(1, 2)
            cached.value = jax.lax.dynamic_update_slice(cached.value, rows, (0, 0, 0, 0))
        self.index.value = jnp.array(key.shape[1], jnp.int32) if lengths is None else lengths

    def append(self, key: jax.Array, value: jax.Array) -> None:
        """Writes one token [batch, 1, kv_heads, head_dim] of each row."""
        index = self.index.value
        for cached, row in ((self.key, key), (self.value, value)):
            row = row.swapaxes(1, 2)
            if index.ndim == 0:
                cached.value = jax.lax.dynamic_update_slice(cached.value, row, (0, 0, index, 0))
            else:
                cached.value = jax.vmap(_write_slot)(cached.value, row, index)
        self.index.value = index + 1

    def extend(self, key: jax.Array, value: jax.Array, kept: jax.Array) -> None:
        """Writes those tokens of rows [batch, length, kv_heads, head_dim] that are `kept`."""
        start = (0, 0, self.index.value, 0)
        for cached, rows in ((self.key, key), (self.value, value)):
            rows = rows.swapaxes(1, 2)
            there = jax.lax.dynamic_slice(cached.value, start, rows.shape)
            rows = jnp.where(kept[:, None, :, None], rows, there)
            cached.value = jax.lax.dynamic_update_slice(cached.value, rows, start)
        self.index.value += key.shape[1]


def _write_slot(cache: jax.Array, row: jax.Array, index: jax.Array) -> jax.Array:
    """Writes row [heads, 1, dim] at a slot; past the end nothing is written."""
    return cache.at[:, index].set(row[:, 0], mode="drop")
