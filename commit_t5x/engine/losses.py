"""Cross entropy over loss-bearing tokens, and what its sum is divided by."""

from collections.abc import Mapping
from typing import Literal

import jax
import jax.numpy as jnp

# The mean over rows of each row's mean over its loss-bearing tokens; a row with none counts 0. It
# is what the paper's code computes (its packed rows hold many examples, so this is not the mean
# over examples that T5X computes for packed batches under the same name).
AVERAGE_PER_SEQUENCE = "AVERAGE_PER_SEQUENCE"
# The mean over all loss-bearing tokens of the batch.
NUM_REAL_TARGET_TOKENS = "NUM_REAL_TARGET_TOKENS"
NormalizingFactor = Literal["AVERAGE_PER_SEQUENCE", "NUM_REAL_TARGET_TOKENS"]


def cross_entropy(
    logits: jax.Array, targets: jax.Array, z_loss: float = 0.0
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Returns each token's cross entropy in nats, its z-loss, and whether it is the likeliest.

    The z-loss is `z_loss * log(Z)^2` (Mesh TensorFlow; PaLM, section 5), which keeps the softmax's
    normaliser Z near 1.

    Args:
      logits: [batch, length, vocab] floats.
      targets: [batch, length] integers.
      z_loss: its coefficient.

    Returns:
      Two float32 arrays [batch, length], of which the first includes the second, and a boolean one:
      no token has a larger logit than the target.
    """
    logits = logits.astype(jnp.float32)
    log_z = jax.nn.logsumexp(logits, axis=-1)
    target_logits = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
    # The maximum is also a part of logsumexp; an argmax would be one more slow pass over the vocab.
    likeliest = target_logits >= jnp.max(logits, axis=-1)
    penalty = z_loss * jnp.square(log_z)
    return log_z - target_logits + penalty, penalty, likeliest


def token_weights(loss_weights: jax.Array, factor: str) -> jax.Array:
    """Returns [batch, length] weights whose sum with the cross entropies is the loss's numerator.

    A row's weights depend on that row only, so a batch can be cut into microbatches.

    Example:
      >>> token_weights(jnp.array([[0, 1, 1], [0, 0, 0]]), AVERAGE_PER_SEQUENCE).tolist()
      [[0.0, 0.5, 0.5], [0.0, 0.0, 0.0]]
    """
    weights = loss_weights.astype(jnp.float32)
    if factor == NUM_REAL_TARGET_TOKENS:
        return weights
    row_sums = jnp.sum(weights, axis=-1, keepdims=True)
    return weights / jnp.where(row_sums == 0, 1.0, row_sums)


def denominator(
    batch: Mapping[str, jax.Array], factor: str, num_rows: jax.Array | int | None = None
) -> jax.Array:
    """Returns what the loss's numerator over the whole batch is divided by.

    Args:
      batch: features [batch, length].
      factor: one of the two above.
      num_rows: rows that count, where the others only fill up the last batch of an evaluation; all
        of them by default.
    """
    weights = batch["decoder_loss_weights"]
    if factor == NUM_REAL_TARGET_TOKENS:
        return jnp.maximum(jnp.sum(weights.astype(jnp.float32)), 1.0)
    return jnp.asarray(weights.shape[0] if num_rows is None else num_rows, jnp.float32)
