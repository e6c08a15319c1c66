"""The attention core: softmax of masked scores.

Plain operations in blocks of queries, which meet only the keys up to their own end: that saves
almost half of the work and memory that a causal mask throws away. On NVIDIA's GPUs cuDNN's
FlashAttention (Dao et al. 2022) can take their place; JAX has no fused kernel for CPUs or TPUs
behind its own entry point, and cuDNN's has no dropout.
"""

import functools
import math
import re
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from commit_t5x.errors import InputError
from commit_t5x.model import layers

Kernel = Literal["xla", "cudnn"]

_MAX_BLOCKS = 8
_MIN_BLOCK = 64
_HIDDEN = np.float32(-1e30)


def attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array,
    *,
    is_causal: bool,
    dropout: Callable[[jax.Array], jax.Array] | None = None,
    kernel: Kernel = "xla",
) -> jax.Array:
    """Returns the attended values, [batch, queries, heads, head_dim].

    Args:
      query: [batch, queries, heads, head_dim], in the dtype of the computation.
      key, value: [batch, keys, kv_heads, head_dim]; heads is a multiple of kv_heads, and
        neighbouring heads share theirs.
      mask: bool [batch or 1, 1, queries or 1, keys]; True where a query sees a key. It sees one at
        least.
      is_causal: the mask hides, from query i of as many queries as keys, all keys after key i.
      dropout: applied to the attention weights.
      kernel: plain operations ("xla"), or cuDNN's.

    Raises:
      InputError: for "cudnn" where it cannot be.
    """
    if kernel == "cudnn":
        obstacle = _obstacle(query, key, dropout is not None)
        if obstacle is not None:
            raise InputError(
                f"ATTENTION_KERNEL: cuDNN's attention {obstacle}; change that, or take 'xla'"
            )
        return fused(query, key, value, mask, is_causal=is_causal)
    batch, length, heads, dim = query.shape
    kv_heads = key.shape[2]
    # Heads go before positions: a matrix product of each head then reads its operands in order.
    query = query.reshape(batch, length, kv_heads, heads // kv_heads, dim)
    query = query.transpose(0, 2, 3, 1, 4) * (1.0 / math.sqrt(dim))
    key, value = key.transpose(0, 2, 1, 3), value.transpose(0, 2, 1, 3)
    query, key, value = (checkpoint_name(x, layers.KEPT) for x in (query, key, value))
    size = max(-(-length // _MAX_BLOCKS), _MIN_BLOCK) if is_causal else length
    blocks = []
    for start in range(0, length, size):
        end = min(start + size, length)
        seen = end if is_causal else key.shape[2]
        rows = slice(start, end) if mask.shape[2] > 1 else slice(None)
        blocks.append(
            _attend(
                query[:, :, :, start:end],
                key[:, :, :seen],
                value[:, :, :seen],
                mask[:, :, None, rows, :seen],
                dropout or (lambda weights: weights),
            )
        )
    attended = jnp.concatenate(blocks, axis=3) if len(blocks) > 1 else blocks[0]
    return attended.transpose(0, 3, 1, 2, 4).reshape(batch, length, heads, dim)


def fused(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array,
    *,
    is_causal: bool,
    implementation: str = "cudnn",
) -> jax.Array:
    """Returns what `attend` does, by one of the implementations behind JAX's own entry point."""
    query, key, value = (checkpoint_name(x, layers.KEPT) for x in (query, key, value))
    mask = jnp.broadcast_to(mask, (*mask.shape[:2], query.shape[1], key.shape[1]))
    attended = jax.nn.dot_product_attention(
        query, key, value, mask=mask, is_causal=is_causal, implementation=implementation
    )
    return checkpoint_name(attended, layers.KEPT)


def _obstacle(query: jax.Array, key: jax.Array, dropout: bool) -> str | None:
    """Returns what keeps cuDNN's kernel from these arrays, on the devices that are there."""
    capability = getattr(jax.devices()[0], "compute_capability", "")
    # AMD's have names, as gfx90a.
    if not re.fullmatch(r"\d+\.\d+", capability) or float(capability) < 8.0:
        return "needs an NVIDIA GPU of compute capability 8.0 (Ampere) or later"
    if jax.__version_info__ < (0, 11):
        # Before, the backward pass makes a gradient of the mask, too.
        return f"needs JAX 0.11 or later (Python 3.12), not {jax.__version__}"
    if query.dtype != jnp.bfloat16:
        return f"computes in bfloat16, not {query.dtype} (DTYPE)"
    if dropout:
        return "has no dropout (DROPOUT_RATE)"
    if query.shape[3] % 8 or query.shape[3] > 128:
        return f"takes heads of up to 128 values in steps of 8, not {query.shape[3]}"
    if query.shape[1] % 2 or key.shape[1] % 2:
        return f"takes rows of an even length, not {query.shape[1]} and {key.shape[1]}"
    return None


def _attend(query, key, value, mask, dropout):
    """`attend` on [batch, kv_heads, (group,) positions, head_dim]."""
    scores = jnp.einsum("bkgqd,bksd->bkgqs", query, key, preferred_element_type=jnp.float32)
    scores += jnp.where(mask, 0.0, _HIDDEN)  # backwards, a sum costs nothing
    highest = jax.lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True))
    weights = jnp.exp(scores - highest)
    total = jnp.sum(weights, axis=-1, keepdims=True)
    weights = dropout(weights.astype(value.dtype))
    attended = jnp.einsum("bkgqs,bksd->bkgqd", weights, value, preferred_element_type=jnp.float32)
    return _divide(attended, total, value.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _divide(attended, total, dtype):
    """Normalises attended values instead of each weight, as FlashAttention does (Dao et al. 2022).

    What the softmax's derivative sums over keys is a sum over head_dim then, of what is kept.
    """
    return (attended / total).astype(dtype)


def _divide_forward(attended, total, dtype):
    quotient = checkpoint_name(_divide(attended, total, dtype), layers.KEPT)
    return quotient, (quotient, total)


def _divide_backward(dtype, kept, gradient):
    quotient, total = kept
    of_attended = gradient.astype(jnp.float32) / total
    return of_attended, -jnp.sum(of_attended * quotient, axis=-1, keepdims=True)


_divide.defvjp(_divide_forward, _divide_backward)
