"""Layers of the LLaMA network but its attention: RMSNorm, linear, dropout, embedding, gated MLP.

Weights are two-dimensional with named logical axes, as T5X's partitioning expects them; they are
kept in fp32, unless `Lora` says otherwise, and cast to the compute dtype where they are used.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen import partitioning as nn_partitioning
from jax.ad_checkpoint import checkpoint_name

from commit_t5x.model import lora
from commit_t5x.model.lora import Lora

with_sharding_constraint = nn_partitioning.with_sharding_constraint

# By this name a rematerialisation policy keeps what is dear to compute anew, in the form in which
# the backward pass wants it.
KEPT = "kept"

# Hugging Face's and the original code's initial scale.
INIT_STDDEV = 0.02
# Of low-rank factors, as PEFT's: uniform in +-1/sqrt(in), and the other factor is 0.
_FACTOR_INIT = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


def _kept_init(stddev: float = INIT_STDDEV) -> nn.initializers.Initializer:
    """Draws in fp32 what is kept in the dtype that is asked for."""
    draw = nn.initializers.normal(stddev)
    return lambda key, shape, dtype: draw(key, shape).astype(dtype)


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
      init_stddev: of a new kernel.
      lora: whether the kernel has low-rank factors, and what it is kept in.
    """

    features: int
    axes: tuple[str, str]
    use_bias: bool = False
    dtype: Any = jnp.float32
    out_dtype: Any = None
    init_stddev: float = INIT_STDDEV
    lora: Lora = Lora()

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool = True) -> jax.Array:
        """Returns [..., features] of x [..., in]."""
        shape, kept = (x.shape[-1], self.features), self.lora.dtype_of((*self.path, "kernel"))
        kernel = nn_partitioning.param_with_axes(
            "kernel", _kept_init(self.init_stddev), shape, jnp.dtype(kept), axes=self.axes
        )
        x = x.astype(self.dtype)
        y = _product(x, kernel.astype(self.dtype), self.out_dtype)
        if kernel.dtype == jnp.int8:
            scale = nn_partitioning.param_with_axes(
                lora.SCALE, nn.initializers.ones, shape[1:], jnp.float32, axes=self.axes[1:]
            )
            y = y * scale.astype(y.dtype)
        if self.lora.adapts(self.name):
            self.lora.check_rank(self.name, shape)
            a = nn_partitioning.param_with_axes(
                *("lora_a", _FACTOR_INIT, (shape[0], self.lora.rank), jnp.float32),
                axes=(self.axes[0], "lora"),
            )
            b = nn_partitioning.param_with_axes(
                *("lora_b", nn.initializers.zeros, (self.lora.rank, shape[1]), jnp.float32),
                axes=("lora", self.axes[1]),
            )
            x = Dropout(self.lora.dropout, name="lora_dropout")(x, deterministic)
            low = _product(x, a.astype(self.dtype), None)
            y = y + _product(low, b.astype(self.dtype), self.out_dtype) * self.lora.scaling
        y = checkpoint_name(y, KEPT)
        if self.use_bias:
            bias = nn_partitioning.param_with_axes(
                "bias", nn.initializers.zeros, (self.features,), jnp.float32, axes=self.axes[1:]
            )
            y = y + bias.astype(y.dtype)
        return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _product(x: jax.Array, kernel: jax.Array, out_dtype: Any) -> jax.Array:
    """Returns x [..., in] @ kernel [in, out] in `out_dtype`.

    Its own derivative rule, because JAX's computes the kernel's gradient as (y'^T x)^T, for which
    CPUs write every wide gradient y' transposed; x^T y' is the same sums without that.
    """
    return jnp.dot(x, kernel, preferred_element_type=out_dtype)


def _product_forward(x, kernel, out_dtype):
    return _product(x, kernel, out_dtype), (x, kernel)


def _product_backward(out_dtype, operands, gradient):
    del out_dtype
    x, kernel = operands
    rows = x.reshape(-1, x.shape[-1])
    gradient = gradient.astype(x.dtype).reshape(-1, gradient.shape[-1])
    contracting = (((0,), (0,)), ((), ()))
    return (gradient @ kernel.T).reshape(x.shape), jax.lax.dot_general(rows, gradient, contracting)


_product.defvjp(_product_forward, _product_backward)


class Dropout(nn.Module):
    """Sets elements to 0 with probability `rate`, and scales the others up to the same mean.

    Draws 16 random bits an element, half as many as `flax.linen.Dropout`: the rate is met to
    1/131072.
    """

    rate: float
    deterministic: bool | None = None

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool | None = None) -> jax.Array:
        """Returns x [..., rows, columns]; needs an rng named `dropout` unless deterministic."""
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        if deterministic or self.rate == 0.0:
            return x
        *others, rows, columns = x.shape
        # The halves of a word stand rows apart: columns may be split over devices.
        words = jax.random.bits(
            self.make_rng("dropout"), (*others, -(-rows // 2), columns), jnp.uint32
        )
        limit = round(self.rate * 2**16)
        kept = jnp.concatenate([words & 0xFFFF >= limit, words >> 16 >= limit], axis=-2)
        return jnp.where(kept[..., :rows, :], x / (1.0 - self.rate), jnp.zeros_like(x))


class Embed(nn.Module):
    """Token embedding; `attend` uses it, transposed, as the output head."""

    vocab_size: int
    features: int
    dtype: Any = jnp.float32
    lora: Lora = Lora()

    def setup(self):
        kept = jnp.dtype(self.lora.dtype_of((*self.path, "embedding")))
        shape, rank = (self.vocab_size, self.features), self.lora.rank
        weight = functools.partial(nn_partitioning.param_with_axes, module=self)
        self.embedding = weight("embedding", _kept_init(), shape, kept, axes=("vocab", "embed"))
        beside: dict[str, Any] = {}
        if kept == jnp.int8:
            ones = nn.initializers.ones
            scale = weight(lora.SCALE, ones, (self.features,), jnp.float32, axes=("embed",))
            beside["scale"] = scale
        if self.lora.adapts(self.name):
            self.lora.check_rank(self.name, shape)
            zeros, normal = nn.initializers.zeros, nn.initializers.normal(1.0)  # as PEFT's
            a = weight("lora_a", zeros, (shape[0], rank), jnp.float32, axes=("vocab", "lora"))
            b = weight("lora_b", normal, (rank, shape[1]), jnp.float32, axes=("lora", "embed"))
            beside |= {"a": a, "b": b, "scaling": self.lora.scaling}
        self.beside = beside

    def __call__(self, tokens: jax.Array) -> jax.Array:  # [batch, length] -> [..., embed]
        beside = dict(self.beside)
        if "a" in beside:
            beside["a"] = jnp.take(beside["a"], tokens, axis=0)
        return lora.merged(jnp.take(self.embedding, tokens, axis=0), **beside).astype(self.dtype)

    def table(self) -> jax.Array:  # fp32 [vocab, embed]
        return lora.merged(self.embedding, **self.beside)

    def attend(self, x: jax.Array) -> jax.Array:  # [..., embed] -> fp32 [..., vocab]
        table = self.table().astype(self.dtype)
        return jnp.dot(x.astype(self.dtype), table.T, preferred_element_type=jnp.float32)


class MLP(nn.Module):
    """SwiGLU (Shazeer 2020): wo(silu(wi_0(x)) * wi_1(x))."""

    mlp_dim: int
    use_bias: bool = False
    dtype: Any = jnp.float32
    init_stddev: float = INIT_STDDEV
    lora: Lora = Lora()

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool = True) -> jax.Array:
        """Returns [batch, length, embed] of the same."""

        def linear(x: jax.Array, features: int, axes: tuple[str, str], name: str) -> jax.Array:
            options = {"use_bias": self.use_bias, "dtype": self.dtype, "lora": self.lora}
            options |= {"init_stddev": self.init_stddev, "name": name}
            return Linear(features, axes, **options)(x, deterministic)

        gate = linear(x, self.mlp_dim, ("embed", "mlp"), "wi_0")
        up = linear(x, self.mlp_dim, ("embed", "mlp"), "wi_1")
        y = with_sharding_constraint(nn.silu(gate) * up, ("batch", "length", "mlp"))
        return linear(y, x.shape[-1], ("mlp", "embed"), "wo")
