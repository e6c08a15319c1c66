"""Layers of the LLaMA network but its attention: RMSNorm, linear, embedding, gated MLP.

Weights are two-dimensional with named logical axes, as T5X's partitioning expects them; they are
kept in fp32 and cast to the compute dtype where they are used.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen import partitioning as nn_partitioning

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
