"""Memory of a step by the shapes of its arrays alone, where there is no compiler to ask."""

import dataclasses
import math
from typing import Any

import jax

from commit_t5x.planning.recipe import Step


@dataclasses.dataclass(frozen=True)
class Count:
    """Bytes a device.

    Attributes:
      params: of the parameters.
      optimizer: of the optimizer's state.
      gradients: all of them, in the type of the parameters that are trained: clipping needs them
        at once.
      activations: what the forward pass keeps for the backward one; how the compiler would split
        it over devices is a guess.
    """

    params: float
    optimizer: float
    gradients: float
    activations: float

    @property
    def state(self) -> float:
        """What stays between steps."""
        return self.params + self.optimizer

    @property
    def total(self) -> float:
        return self.state + self.gradients + self.activations


def state_bytes(tree: Any) -> float:
    """Returns the bytes a device of `jax.ShapeDtypeStruct`s with shardings.

    Example: an fp32 array [8, 4] split by its first axis over 8 devices.
      >>> state_bytes([jax.ShapeDtypeStruct((8, 4), "float32", sharding=sharding)])
      16
    """
    return sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape)) * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(tree)
    )


def count(step: Step) -> Count:
    """Counts the memory of a step; takes seconds, since it traces the forward pass."""
    trained = state_bytes(step.state.params)
    return Count(
        params=trained + state_bytes(step.state.frozen),
        optimizer=state_bytes(step.state.param_states),
        gradients=trained,
        activations=_activations(step) / step.trainer.num_microbatches,
    )


def _activations(step: Step) -> float:
    """Returns the bytes a device of the residuals between the forward and the backward pass."""

    def residuals(params, batch, rng, frozen):
        def loss(params):
            return step.model.loss_fn(params, batch, rng, frozen=frozen)[0]

        return jax.vjp(loss, params)[1]

    state = step.state
    with step.partitioner.scope():
        kept = jax.eval_shape(residuals, state.params, step.batch, state.rng, state.frozen)
    # Parameters are among them, as they are; they have been counted.
    known = [(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves((state.params, state.frozen))]
    total = 0.0
    for leaf in jax.tree.leaves(kept):
        if (leaf.shape, leaf.dtype) in known:
            known.remove((leaf.shape, leaf.dtype))
        elif jax.dtypes.issubdtype(leaf.dtype, jax.numpy.number):
            total += leaf.size * leaf.dtype.itemsize / _shards(step, leaf.shape)
    return total


def _shards(step: Step, shape: tuple[int, ...]) -> int:
    """Guesses over how many devices an activation is split: by its batch, and by its width.

    What is as wide as the residual stream follows the rules of that; other wide arrays belong to
    heads, MLP or vocabulary, which the model axis splits.
    """
    mesh, cfg = step.mesh, step.model.config
    shards = mesh["data"] if step.batch_shape[0] in shape else 1
    if shape and shape[-1] == cfg.emb_dim:
        axes = ("batch", "length", "embed")
        spec = step.partitioner.sharding(axes, (*step.batch_shape, cfg.emb_dim)).spec
        return shards * (mesh["model"] if "model" in spec else 1)
    return shards * (mesh["model"] if len(shape) > 2 else 1)
