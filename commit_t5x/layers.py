"""Layers of the LLaMA network: RMSNorm, rotary positions, attention, gated MLP, and their masks.

Weights are two-dimensional with named logical axes, as T5X's partitioning expects them; they are
kept in fp32 and cast to the compute dtype where they are used. Softmax is computed in fp32.
"""

import math
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen import partitioning as nn_partitioning

from commit_t5x.llama_config import RopeScaling

with_sharding_constraint = nn_partitioning.with_sharding_constraint

# Hugging Face's and the original code's initial scale.
_INIT = nn.initializers.normal(stddev=0.02)


class RMSNorm(nn.Module):
    """Root mean square normalisation (Zhang and Sennrich 2019), computed in fp32."""

    epsilon: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # [..., features]
        scale = nn_partitioning.param_with_axes(
            "scale", nn.initializers.ones, (x.shape[-1],), jnp.float32, axes=("embed",)
        )
        x = x.astype(jnp.float32)
        x = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + self.epsilon)
        return (x * scale).astype(self.dtype)


class Linear(nn.Module):
    """A dense layer with a kernel of two named logical axes.

    Attributes:
      features: width of the result.
      axes: logical axes of the kernel, (input, output).
      out_dtype: dtype of the result where it is not `dtype`, the one of the operands.
    """

    features: int
    axes: tuple[str, str]
    use_bias: bool = False
    dtype: Any = jnp.float32
    out_dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # [..., in] -> [..., features]
        kernel = nn_partitioning.param_with_axes(
            "kernel", _INIT, (x.shape[-1], self.features), jnp.float32, axes=self.axes
        )
        y = jnp.dot(
            x.astype(self.dtype), kernel.astype(self.dtype), preferred_element_type=self.out_dtype
        )
        if self.use_bias:
            bias = nn_partitioning.param_with_axes(
                "bias", nn.initializers.zeros, (self.features,), jnp.float32, axes=self.axes[1:]
            )
            y = y + bias.astype(y.dtype)
        return y


class Embed(nn.Module):
    """Token embedding; `attend` uses it, transposed, as the output head."""

    vocab_size: int
    features: int
    dtype: Any = jnp.float32

    def setup(self):
        self.embedding = nn_partitioning.param_with_axes(
            "embedding",
            _INIT,
            (self.vocab_size, self.features),
            jnp.float32,
            axes=("vocab", "embed"),
            module=self,
        )

    def __call__(self, tokens: jax.Array) -> jax.Array:  # [batch, length] -> [..., embed]
        return jnp.take(self.embedding, tokens, axis=0).astype(self.dtype)

    def attend(self, x: jax.Array) -> jax.Array:  # [..., embed] -> fp32 [..., vocab]
        table = self.embedding.astype(self.dtype)
        return jnp.dot(x.astype(self.dtype), table.T, preferred_element_type=jnp.float32)


def rotary_frequencies(head_dim: int, theta: float, scaling: RopeScaling | None) -> np.ndarray:
    """Returns the angle per position of each rotary pair, fp32 [head_dim / 2].

    Pair i turns by theta ** (-2 i / head_dim) radians a position (Su et al. 2021, section 3.2.2),
    less where `scaling` says so.
    """
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    frequencies = np.float32(1.0) / np.power(np.float32(theta), exponents)
    if scaling is None:
        return frequencies
    if scaling.kind == "linear":
        return frequencies / np.float32(scaling.factor)
    # Share of the unscaled frequency: 0 for long waves, 1 for short ones, linear in between.
    turns = scaling.original_max_length * frequencies / (2 * math.pi)
    kept = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor)
    kept = np.clip(kept, 0.0, 1.0)
    return (frequencies * (kept + (1.0 - kept) / scaling.factor)).astype(np.float32)


def rotary_table(positions: jax.Array, frequencies: np.ndarray) -> jax.Array:
    """Returns cosines and sines of positions [batch, length], fp32 [2, ..., head_dim / 2]."""
    angles = positions[..., None].astype(jnp.float32) * frequencies
    return jnp.stack([jnp.cos(angles), jnp.sin(angles)])


def apply_rotary(x: jax.Array, table: jax.Array) -> jax.Array:
    """Turns x [batch, length, heads, head_dim] by rotary_table's angles.

    Pair i is (x[i], x[i + head_dim / 2]): the half-split layout of Hugging Face's weights. Meta's
    pairs neighbours, so that its query and key kernels are permuted against these.
    """
    cos, sin = table[:, :, :, None, :]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)


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
      rotary: rotary_table of the positions.
      prefill_lengths: int32 [batch]; how many positions of each row go into the cache.
      deterministic: no dropout.
      decode, prefill, max_decode_length: see `commit_t5x.llama.Llama`.
    """

    mask: jax.Array
    rotary: jax.Array
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
            return with_sharding_constraint(y, ("batch", "length", axis, "kv"))

        query = project(self.num_heads, "heads", "query")
        key = project(self.num_kv_heads, kv_heads, "key")
        value = project(self.num_kv_heads, kv_heads, "value")
        query, key, value, mask = self._rotate_and_cache(query, key, value, context, kv_heads)
        if self.dropout_rate > 0.0 and not context.deterministic:
            y = self._attend_with_dropout(query, key, value, mask)
        else:
            y = jax.nn.dot_product_attention(query, key, value, mask=mask)
        y = with_sharding_constraint(y, ("batch", "length", "heads", "kv"))
        y = y.reshape(batch, length, self.num_heads * self.head_dim)
        return self._linear(width, ("joined_kv", "embed"), "out")(y)

    def _linear(self, features: int, axes: tuple[str, str], name: str) -> Linear:
        return Linear(features, axes, use_bias=self.use_bias, dtype=self.dtype, name=name)

    def _rotate_and_cache(self, query, key, value, context: AttentionContext, kv_heads: str):
        """Applies positions; returns query, the keys and values to attend to, and the mask."""
        is_step = context.decode and self.has_variable("cache", "cached_key")
        rotary = context.rotary
        if is_step:
            # Rows may stand at different positions after a ragged prefill.
            index = jnp.broadcast_to(self.get_variable("cache", "cache_index"), (query.shape[0],))
            rotary = rotary_table(index[:, None], np.float32(self.rotary_frequencies))
        query, key = apply_rotary(query, rotary), apply_rotary(key, rotary)
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


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020): wo(silu(wi_0(x)) * wi_1(x))."""

    mlp_dim: int
    use_bias: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:  # [batch, length, embed]
        def linear(features: int, axes: tuple[str, str], name: str) -> Linear:
            return Linear(features, axes, use_bias=self.use_bias, dtype=self.dtype, name=name)

        gate = linear(self.mlp_dim, ("embed", "mlp"), "wi_0")(x)
        up = linear(self.mlp_dim, ("embed", "mlp"), "wi_1")(x)
        y = with_sharding_constraint(nn.silu(gate) * up, ("batch", "length", "mlp"))
        return linear(x.shape[-1], ("mlp", "embed"), "wo")(y)
