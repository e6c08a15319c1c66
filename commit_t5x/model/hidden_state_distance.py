"""Distances between the hidden states of an example and of its code-mixed twin, as a loss."""

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import jax
import jax.numpy as jnp

from commit_t5x import ranges
from commit_t5x.errors import InputError
from commit_t5x.model.hidden_states import hidden_states
from commit_t5x.model.llama import Llama

Kind = Literal["l2", "avgdist", "cos"]
_SMALLEST = 1e-30  # below it a root has no gradient


@dataclasses.dataclass(frozen=True)
class HiddenStateDistance:
    """The alignment that the paper argues against: hidden states drawn together, layer by layer.

    To the cross entropy it adds the weighted sum, over the states `start` to `end`, of a distance
    between those of a batch's plain rows and of its mixed ones. Both run with dropout, and both
    have gradients. With plain states a and mixed states b, [batch, places, embed]:

    - l2: sqrt(mean((a - b)^2));
    - avgdist: sqrt(mean((mean(a) - mean(b))^2)), the inner means over batch and places;
    - cos: minus the mean over rows of the cosine between the rows' mean states.

    Attributes:
      kind: one of these; None leaves the cross entropy alone.
      start, end: the first and the last state, as `hidden_states` counts them.
      weight: of the sum.
      places: what a place is. "positions": a position of the rows, whatever stands there, padding
        too (the paper's). "words": a unit of text that stands on both sides, such as a word and its
        translation, with the mean state of its tokens; see `data.pairs`.

    Raises:
      InputError: `start` is above `end`.
    """

    kind: Kind | None = None
    start: ranges.Count = 0
    end: ranges.Count = 5
    weight: ranges.NotNegative = 1.0
    places: Literal["positions", "words"] = "words"

    def __post_init__(self):
        if self.start > self.end:
            raise InputError(
                f"HIDDEN_STATE_START: {self.start} is above HIDDEN_STATE_END, {self.end}; "
                "swap them, or give the same number twice for one state"
            )

    def check_layers(self, layers: int | None) -> None:
        """Raises InputError if a network of so many layers lacks a state."""
        if self.kind is not None and self.end > (layers or 0):
            raise InputError(
                f"HIDDEN_STATE_END: {self.end} is above the network's {layers or 0} layers; "
                "state 0 is the embedding's, and the last one is that number"
            )

    def check_microbatches(self, count: int | None) -> None:
        """Raises InputError if batches are processed in parts, which have distances of their own.

        A root of a mean over the batch isn't the sum of anything over its parts.
        """
        if self.kind is not None and (count or 1) > 1:
            raise InputError(
                f"NUM_MICROBATCHES: {count} parts of a batch have other distances than the whole; "
                "leave it at 1 with HIDDEN_STATE_DISTANCE, and set a smaller BATCH_SIZE"
            )

    def __call__(
        self,
        module: Llama,
        params: Any,
        plain: Mapping[str, jax.Array],
        mixed: Mapping[str, jax.Array],
        dropout_rng: jax.Array | None = None,
    ) -> jax.Array:
        """Returns the sum of the distances, not weighted: a scalar.

        Args:
          module: the network.
          params: of it.
          plain, mixed: `tokens`, `units` and, where rows have segments, `segment_ids`: int
            [batch, length] each.
          dropout_rng: None drops nothing.
        """

        def both(name: str) -> jax.Array:
            # In turn, so that each device's rows stay on that device.
            return jnp.stack([plain[name], mixed[name]], axis=1).reshape(-1, plain[name].shape[1])

        tokens = both("tokens")
        segments = both("segment_ids") if "segment_ids" in plain else None
        states = hidden_states(
            module, params, tokens, segments, last=self.end, dropout_rng=dropout_rng
        )[self.start :].astype(jnp.float32)
        weights = jnp.ones(tokens.shape, jnp.float32)
        if self.places == "words":
            states, weights = _unit_means(states, both("units"))
        states = states.reshape(len(states), -1, 2, *states.shape[2:])
        weights = jnp.min(weights.reshape(-1, 2, weights.shape[-1]), axis=1)
        distance = jax.vmap(_DISTANCES[self.kind], (0, 0, None))
        return jnp.sum(distance(states[:, :, 0], states[:, :, 1], weights))


def _unit_means(states: jax.Array, units: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Returns the mean state of each unit, and 1 for those that there are, 0 for others.

    Args:
      states: [states, rows, length, embed].
      units: int [rows, length], 0 for tokens of none. A unit has a token at least, so that none has
        a number above the length.

    Returns:
      [states, rows, length, embed] and [rows, length].
    """
    members = jax.nn.one_hot(units - 1, units.shape[1], dtype=jnp.float32)  # [rows, token, unit]
    counts = jnp.sum(members, axis=1)
    shares = members / jnp.maximum(counts, 1.0)[:, None]
    precision = jax.lax.Precision.HIGHEST
    means = jnp.einsum("srte,rtu->srue", states, shares, precision=precision)
    return means, jnp.minimum(counts, 1.0)


def _l2(plain: jax.Array, mixed: jax.Array, weights: jax.Array) -> jax.Array:
    """Returns the distance of one state: [batch, places, embed] twice, weights [batch, places]."""
    squares = jnp.mean(jnp.square(plain - mixed), axis=-1)
    return _root(_mean(squares[..., None], weights, (0, 1))[0])


def _avgdist(plain: jax.Array, mixed: jax.Array, weights: jax.Array) -> jax.Array:
    return _root(jnp.mean(jnp.square(_mean(plain - mixed, weights, (0, 1)))))


def _cos(plain: jax.Array, mixed: jax.Array, weights: jax.Array) -> jax.Array:
    plain, mixed = (_mean(side, weights, 1) for side in (plain, mixed))
    squares = jnp.sum(plain * plain, axis=-1) * jnp.sum(mixed * mixed, axis=-1)
    cosines = jnp.sum(plain * mixed, axis=-1) / jnp.sqrt(jnp.maximum(squares, _SMALLEST))
    rows = jnp.max(weights, axis=1)  # without those that have nothing to compare
    return -jnp.sum(cosines * rows) / jnp.maximum(jnp.sum(rows), 1.0)


_DISTANCES: Mapping[Kind, Callable[..., jax.Array]] = MappingProxyType(
    {"l2": _l2, "avgdist": _avgdist, "cos": _cos}
)


def _mean(values: jax.Array, weights: jax.Array, axis: int | tuple[int, int]) -> jax.Array:
    """Returns the mean of [batch, places, embed] over the places with a weight."""
    total = jnp.sum(values * weights[..., None], axis=axis)
    return total / jnp.maximum(jnp.sum(weights, axis=axis), 1.0)[..., None]


def _root(x: jax.Array) -> jax.Array:
    """Returns the square root, whose gradient at 0 (equal states) is 0."""
    return jnp.where(x > _SMALLEST, jnp.sqrt(jnp.maximum(x, _SMALLEST)), 0.0)
