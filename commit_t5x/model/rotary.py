"""Rotary position embedding (Su et al. 2021), and the ways to stretch it to longer contexts."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from commit_t5x.model.llama_config import RopeScaling


def frequencies(head_dim: int, theta: float, scaling: RopeScaling | None) -> np.ndarray:
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


def table(positions: jax.Array, frequencies: np.ndarray) -> jax.Array:
    """Returns cosines and sines of positions [batch, length], fp32 [2, ..., head_dim / 2]."""
    angles = positions[..., None].astype(jnp.float32) * frequencies
    return jnp.stack([jnp.cos(angles), jnp.sin(angles)])


def rotate(x: jax.Array, table: jax.Array) -> jax.Array:
    """Turns x [batch, length, heads, head_dim] by table's angles.

    Pair i is (x[i], x[i + head_dim / 2]): the half-split layout of Hugging Face's weights. Meta's
    pairs neighbours, so that its query and key kernels are permuted against these.
    """
    cos, sin = table[:, :, :, None, :]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)
    return turned.astype(x.dtype)
