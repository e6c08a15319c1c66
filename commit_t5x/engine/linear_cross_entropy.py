"""Output head and cross entropy in one, so that the logits of a whole batch never exist.

A batch's fp32 logits are the largest array of a training step by far. Here they are made for some
positions of each row at a time, and their gradient with them: a pass over the vocabulary that
backpropagation would make later, from logits kept or computed anew, is made while they are at hand.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax.linen import partitioning as nn_partitioning

from commit_t5x.engine import losses

Sums = tuple[jax.Array, jax.Array, jax.Array]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5))
def linear_cross_entropy(
    hidden: jax.Array,
    kernel: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    z_loss: float = 0.0,
    chunk_length: int | None = None,
) -> Sums:
    """Returns weighted sums of `losses.cross_entropy` of the logits `hidden @ kernel`.

    Args:
      hidden: [batch, length, embed], in the dtype of the computation.
      kernel: fp32 [embed, vocab].
      targets: integers [batch, length].
      weights: fp32 [batch, length] of the tokens' losses; 0 for those without.
      z_loss: coefficient of the z-loss.
      chunk_length: positions of each row whose logits exist at a time; None for all.

    Returns:
      Scalars: the weighted sum of the losses, the z-loss's part of it, and the number of tokens
      with a weight whose target is the likeliest. Only the first has gradients, with respect to
      `hidden` and `kernel`.

    Example: 2 rows of 3 tokens, a vocabulary of 5.
      >>> hidden, kernel = jnp.zeros((2, 3, 4)), jnp.zeros((4, 5))
      >>> linear_cross_entropy(hidden, kernel, jnp.ones((2, 3), int), jnp.full((2, 3), 1 / 6))[0]
      1.609438  # log(5)
    """

    def add(sums, chunk):
        return jax.tree.map(jnp.add, sums, _sums(*chunk, kernel, z_loss)[0]), None

    return jax.lax.scan(add, _ZEROS, _chunks(hidden, targets, weights, chunk_length))[0]


def _forward(hidden, kernel, targets, weights, z_loss, chunk_length):
    def add(carry, chunk):
        sums, kernel_grad = carry
        more, logits, log_z = _sums(*chunk, kernel, z_loss)
        hidden_grad, more_grad = _gradients(*chunk, kernel, z_loss, logits, log_z)
        return (jax.tree.map(jnp.add, sums, more), _as_kernel(kernel_grad + more_grad)), hidden_grad

    chunks = _chunks(hidden, targets, weights, chunk_length)
    zeros = _as_kernel(jnp.zeros_like(kernel))
    (sums, kernel_grad), hidden_grads = jax.lax.scan(add, (_ZEROS, zeros), chunks)
    batch, length, width = hidden.shape
    hidden_grad = jnp.moveaxis(hidden_grads, 0, 1).reshape(batch, -1, width)[:, :length]
    return sums, (hidden_grad, kernel_grad)


def _backward(z_loss, chunk_length, gradients, cotangents):
    del z_loss, chunk_length
    hidden_grad, kernel_grad = gradients
    of_loss = cotangents[0]
    return hidden_grad * of_loss.astype(hidden_grad.dtype), kernel_grad * of_loss, None, None


linear_cross_entropy.defvjp(_forward, _backward)

_ZEROS = (np.float32(0.0), np.float32(0.0), np.int32(0))


def _as_kernel(x: jax.Array) -> jax.Array:
    return nn_partitioning.with_sharding_constraint(x, ("embed", "vocab"))


def _chunks(hidden, targets, weights, chunk_length) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Cuts [batch, length, ...] into [chunks, batch, chunk_length, ...], filling up with zeros."""
    length = targets.shape[1]
    size = min(chunk_length or length, length)
    filling = -length % size

    def cut(x):
        x = jnp.pad(x, [(0, 0), (0, filling)] + [(0, 0)] * (x.ndim - 2))
        return jnp.moveaxis(x.reshape(x.shape[0], -1, size, *x.shape[2:]), 1, 0)

    return cut(hidden), cut(targets), cut(weights)


def _sums(hidden, targets, weights, kernel, z_loss) -> tuple[Sums, jax.Array, jax.Array]:
    """Returns the sums of a chunk, its logits [batch, length, vocab], and their log-normaliser."""
    logits = jnp.dot(hidden, kernel.astype(hidden.dtype), preferred_element_type=jnp.float32)
    logits = nn_partitioning.with_sharding_constraint(logits, ("batch", "length", "vocab"))
    token_losses, penalties, likeliest = losses.cross_entropy(logits, targets, z_loss)
    loss = jnp.sum(token_losses * weights)
    sums = loss, jnp.sum(penalties * weights), jnp.sum(likeliest & (weights > 0))
    return sums, logits, jax.nn.logsumexp(logits, axis=-1)


def _gradients(hidden, targets, weights, kernel, z_loss, logits, log_z):
    """Returns the gradients of a chunk's loss with respect to `hidden` and `kernel`."""
    # d log_z = softmax; the z-loss z * log_z^2 adds 2 z log_z of it.
    of_softmax = (weights * (1.0 + 2.0 * z_loss * log_z))[..., None]
    vocab = jax.lax.broadcasted_iota(jnp.int32, logits.shape, logits.ndim - 1)
    of_target = jnp.where(vocab == targets[..., None], weights[..., None], 0.0)
    grad = jnp.exp(logits - log_z[..., None]) * of_softmax - of_target
    grad = grad.astype(hidden.dtype)
    hidden_grad = jnp.dot(grad, kernel.astype(hidden.dtype).T)
    kernel_grad = jnp.einsum("ble,blv->ev", hidden, grad, preferred_element_type=jnp.float32)
    return hidden_grad, kernel_grad
