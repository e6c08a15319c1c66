"""How the next token is chosen from the network's logits."""

import dataclasses

import jax
import jax.numpy as jnp

from commit_t5x import ranges, signatures
from commit_t5x.errors import InputError


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Greedy or random choice, with the usual ways to leave unlikely tokens out.

    They apply in the order in which Hugging Face's `generate` applies them: temperature, top_k,
    top_p.

    Attributes:
      temperature: divides the logits; 0 takes the likeliest token, always.
      top_k: draw from this many likeliest tokens only; None for all.
      top_p: draw from the fewest likeliest tokens that together have this probability (Holtzman
        et al. 2020); 1 for all.

    Raises:
      InputError: a value is out of range.
    """

    temperature: ranges.NotNegative = 0.0
    top_k: ranges.Positive | None = None
    top_p: ranges.PositiveShare = 1.0

    def __post_init__(self):
        signatures.check(type(self), vars(self))
        if self.temperature == 0 and (self.top_k is not None or self.top_p < 1):
            raise InputError("TOP_K, TOP_P: without effect at TEMPERATURE 0; set TEMPERATURE, too")


def candidates(logits: jax.Array, sampling: Sampling) -> tuple[jax.Array, jax.Array]:
    """Returns what may be drawn.

    Args:
      logits: fp32 [batch, vocab].
      sampling: of a temperature above 0.

    Returns:
      Logits of the candidates, -inf for those left out, and their ids, both [batch, n].

    Example:
      >>> candidates(jnp.log(jnp.array([[0.1, 0.6, 0.3]])), Sampling(1.0, top_k=2, top_p=0.5))
      ([[-0.51, -inf]], [[1, 2]])
    """
    logits = logits / sampling.temperature
    if sampling.top_k is not None:
        logits, ids = jax.lax.top_k(logits, min(sampling.top_k, logits.shape[-1]))
    else:
        ids = jnp.broadcast_to(jnp.arange(logits.shape[-1]), logits.shape)
    if sampling.top_p < 1:
        logits = jnp.where(_nucleus(jax.nn.softmax(logits), sampling.top_p), logits, -jnp.inf)
    return logits, ids


def _nucleus(probabilities: jax.Array, top_p: float) -> jax.Array:
    """Returns which of [batch, n] are among the fewest that sum to top_p; equal ones stay together.

    The least probability that stays is found by bisection of its bits, which order floats from 0
    on as they order integers: sorting a vocabulary takes several times as long.
    """

    def bisect(_, bounds):
        low, high = bounds
        middle = low + (high - low) // 2
        kept = probabilities >= jax.lax.bitcast_convert_type(middle, jnp.float32)
        enough = jnp.sum(probabilities, -1, where=kept, keepdims=True) >= top_p
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    largest = jax.lax.bitcast_convert_type(probabilities.max(-1, keepdims=True), jnp.int32)
    least, _ = jax.lax.fori_loop(0, 31, bisect, (jnp.zeros_like(largest), largest + 1))
    return probabilities >= jax.lax.bitcast_convert_type(least, jnp.float32)


def next_tokens(logits: jax.Array, keys: jax.Array, sampling: Sampling) -> jax.Array:
    """Returns a token for each row, int32 [batch].

    Args:
      logits: fp32 [batch, vocab].
      keys: of jax.random, [batch], so that each row draws by itself.
      sampling: how to choose.
    """
    if sampling.temperature == 0:
        return _argmax(logits)
    logits, ids = candidates(logits, sampling)
    # One number a row, looked up in the cumulative distribution: less to draw than noise for each
    # token, as jax.random.categorical does.
    probabilities = jax.nn.softmax(logits)
    cumulative = jnp.cumsum(probabilities, axis=-1)
    drawn = jax.vmap(jax.random.uniform)(keys)[:, None] * cumulative[:, -1:]
    choices = _argmax((cumulative > drawn) & (probabilities > 0))
    return jnp.take_along_axis(ids, choices[:, None], axis=-1)[:, 0]


def _argmax(x: jax.Array) -> jax.Array:
    """Returns the place of each row's first largest value, several times faster than jnp.argmax."""
    return jax.lax.top_k(x.astype(jnp.float32), 1)[1][:, 0]
