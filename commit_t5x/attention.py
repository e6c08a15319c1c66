"""Self-attention with rotary positions, its masks, and its key-value cache.

Softmax is computed in fp32.
"""

import math
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen import partitioning as nn_partitioning

from commit_t5x import layers, rotary


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
      prefill_lengths: int32 [batch]; how many positions of each row go into the cache.
      deterministic: no dropout.
      decode, prefill, max_decode_length: see `commit_t5x.llama.Llama`.
    """

    mask: jax.Array
    rotary_table: jax.Array
    prefill_lengths: jax.Array | None = None
    deterministic: bool = flax.struct.field(pytree_node=False, default=True)
    decode: bool = flax.struct.field(pytree_node=False, default=False)
    prefill: bool = flax.struct.field(pytree_node=False, default=False)
    max_decode_length: int | None = flax.struct.field(pytree_node=False, default=None)


class Attention(nn.Module):
    """Rotary self-attention with grouped queries and a key-value cache.

    The collection `cache` holds `cached_key` and `cached_value`, [batch, length, kv_heads,
    head_dim], and `cache_index`, the next position to write: a scalar when new, [batch] once
    prefilled. Its first call creates the cache and leaves it empty, as T5X expects.
    """

    num_heads: int
    num_kv_heads: int
    head_dim: int
    rotary_frequencies: tuple[float, ...]
    use_bias: bool = False
    dropout_rate: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, context: AttentionContext) -> jax.Array:
        batch, length, width = x.shape
        # Ungrouped keys and values are split over devices as the queries are.
        kv_heads = "heads" if self.num_kv_heads == self.num_heads else "kv_heads"

        def project(heads: int, axis: str, name: str) -> jax.Array:
            y = self._linear(heads * self.head_dim, ("embed", "joined_kv"), name)(x)
            y = y.reshape(batch, length, heads, self.head_dim)
            return layers.with_sharding_constraint(y, ("batch", "length", axis, "kv"))

        query = project(self.num_heads, "heads", "query")
        key = project(self.num_kv_heads, kv_heads, "key")
        value = project(self.num_kv_heads, kv_heads, "value")
        query, key, value, mask = self._rotate_and_cache(query, key, value, context, kv_heads)
        if self.dropout_rate > 0.0 and not context.deterministic:
            y = self._attend_with_dropout(query, key, value, mask)
        else:
            y = jax.nn.dot_product_attention(query, key, value, mask=mask)
        y = layers.with_sharding_constraint(y, ("batch", "length", "heads", "kv"))
        y = y.reshape(batch, length, self.num_heads * self.head_dim)
        return self._linear(width, ("joined_kv", "embed"), "out")(y)

    def _linear(self, features: int, axes: tuple[str, str], name: str) -> layers.Linear:
        return layers.Linear(features, axes, use_bias=self.use_bias, dtype=self.dtype, name=name)

    def _rotate_and_cache(self, query, key, value, context: AttentionContext, kv_heads: str):
        """Applies positions; returns query, the keys and values to attend to, and the mask."""
        is_step = context.decode and self.has_variable("cache", "cached_key")
        table = context.rotary_table
        if is_step:
            # Rows may stand at different positions after a ragged prefill.
            index = jnp.broadcast_to(self.get_variable("cache", "cache_index"), (query.shape[0],))
            table = rotary.table(index[:, None], np.float32(self.rotary_frequencies))
        query, key = rotary.rotate(query, table), rotary.rotate(key, table)
        if not (context.decode or context.prefill):
            return query, key, value, context.mask

        shape = (key.shape[0], context.max_decode_length or key.shape[1], *key.shape[2:])
        axes = ("batch", "length", kv_heads, "kv")
        cached_key, cached_value = (
            nn_partitioning.variable_with_axes(
                "cache", name, jnp.zeros, shape, self.dtype, axes=axes, module=self
            )
            for name in ("cached_key", "cached_value")
        )
        cache_index = self.variable("cache", "cache_index", jnp.zeros, (), jnp.int32)
        if context.prefill:
            start = (0, 0, 0, 0)
            cached_key.value = jax.lax.dynamic_update_slice(cached_key.value, key, start)
            cached_value.value = jax.lax.dynamic_update_slice(cached_value.value, value, start)
            cache_index.value = context.prefill_lengths
        elif is_step:
            cached_key.value = key = _write_row(cached_key.value, key, index)
            cached_value.value = value = _write_row(cached_value.value, value, index)
            cache_index.value = cache_index.value + 1
            seen = jnp.arange(key.shape[1]) <= index[:, None]
            return query, key, value, seen[:, None, None, :]
        return query, key, value, context.mask

    def _attend_with_dropout(self, query, key, value, mask):
        """Attention whose weights go through dropout, which the fused entry point lacks."""
        batch, length, heads, dim = query.shape
        query = query.reshape(batch, length, self.num_kv_heads, -1, dim)
        scores = jnp.einsum("bqkgd,bskd->bkgqs", query, key, preferred_element_type=jnp.float32)
        scores = jnp.where(mask[:, :, None], scores / math.sqrt(dim), jnp.finfo(jnp.float32).min)
        weights = jax.nn.softmax(scores).astype(self.dtype)
        weights = nn.Dropout(self.dropout_rate)(weights, deterministic=False)
        attended = jnp.einsum("bkgqs,bskd->bqkgd", weights, value)
        return attended.reshape(batch, length, heads, dim)


def _write_row(cache: jax.Array, row: jax.Array, index: jax.Array) -> jax.Array:
    """Writes row [batch, 1, heads, dim] at index [batch]; past the end nothing is written."""
    return jax.vmap(lambda c, r, i: c.at[i].set(r[0], mode="drop"))(cache, row, index)
