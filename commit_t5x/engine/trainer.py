"""The training step and the evaluation step."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from commit_t5x import ranges
from commit_t5x.engine import models, partitioning, train_state
from commit_t5x.errors import InputError


class Trainer:
    """Compiles a model's steps over a mesh.

    Args:
      model: network, optimizer and loss.
      partitioner: the mesh and the rules.
      state_shapes: abstract state with shardings, as TrainStateInitializer.train_state.
      num_microbatches: the batch is processed in so many parts one after the other, which divides
        the memory for activations and leaves loss and gradients as they are. None or 1: whole.

    Attributes:
      num_microbatches: parts of a batch.
      train_step: (state, batch) -> (state, metrics). The state's buffers are reused: the old state
        is gone. The metrics are scalars on the devices: the sums of `DecoderOnlyModel.loss_fn`,
        "grad_norm", "param_norm" (of the new parameters, those that are trained) and
        "learning_rate".
    """

    def __init__(
        self,
        model: models.DecoderOnlyModel,
        partitioner: partitioning.PjitPartitioner,
        state_shapes: train_state.TrainState,
        num_microbatches: ranges.Positive | None = None,
    ):
        self._model = model
        self._partitioner = partitioner
        self.num_microbatches = num_microbatches or 1
        model.hidden_state_distance.check_microbatches(num_microbatches)
        self._shardings = jax.tree.map(lambda leaf: leaf.sharding, state_shapes)
        self.train_step = partitioner.partition(
            self._train_step,
            in_shardings=(self._shardings, partitioner.data_sharding),
            out_shardings=(self._shardings, partitioner.replicated),
            donate_argnums=(0,),
        )

    def check_batch_size(self, batch_size: int) -> None:
        """Raises InputError if `batch_size` rows don't split into microbatches and devices."""
        if batch_size % self.num_microbatches:
            raise InputError(
                f"BATCH_SIZE: {batch_size} is not a multiple of NUM_MICROBATCHES, "
                f"{self.num_microbatches}; change one of them"
            )
        self._partitioner.check_batch_size(
            batch_size // self.num_microbatches, "BATCH_SIZE / NUM_MICROBATCHES"
        )

    def _train_step(self, state: train_state.TrainState, batch: models.Batch):
        dropout_rng = jax.random.fold_in(state.rng, state.step)
        grads, metrics = self._gradients(state, batch, dropout_rng)
        optimizer = self._model.optimizer_def
        updates, param_states = optimizer.update(grads, state.param_states, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics |= {
            "grad_norm": optax.tree.norm(grads),
            "param_norm": optax.tree.norm(params),
        }
        if hasattr(optimizer, "learning_rate"):
            metrics["learning_rate"] = jnp.asarray(optimizer.learning_rate(state.step))
        state = state.replace(step=state.step + 1, params=params, param_states=param_states)
        return state, metrics

    def _gradients(
        self, state: train_state.TrainState, batch: models.Batch, dropout_rng: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Returns gradients and metric sums of a batch, accumulated over its microbatches."""
        params = state.params
        loss_fn = functools.partial(self._model.loss_fn, frozen=state.frozen)
        value_and_grad = jax.value_and_grad(loss_fn, has_aux=True)
        denominator = self._model.loss_denominator(batch)
        if self.num_microbatches == 1:
            (_, sums), grads = value_and_grad(params, batch, dropout_rng, denominator)
            return grads, sums

        def one(params, microbatch, index):
            rng = jax.random.fold_in(dropout_rng, index)
            (_, sums), grads = value_and_grad(params, microbatch, rng, denominator)
            return grads, sums

        parts = self._split(batch)
        first = jax.tree.map(lambda part: part[0], parts)
        shapes = jax.eval_shape(one, params, first, jnp.zeros((), jnp.int32))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

        def accumulate(totals, part):
            index, microbatch = part
            return jax.tree.map(jnp.add, totals, one(params, microbatch, index)), None

        indices = jnp.arange(self.num_microbatches)
        (grads, sums), _ = jax.lax.scan(accumulate, zeros, (indices, parts))
        return grads, sums

    def _split(self, batch: models.Batch) -> Mapping[str, jax.Array]:
        """Cuts features [batch, ...] into [microbatches, batch / microbatches, ...].

        Rows are dealt out in turn (row i goes to microbatch i % microbatches), so that each
        device's rows stay on that device.
        """

        def split(feature):
            rows = feature.shape[0] // self.num_microbatches
            feature = feature.reshape(rows, self.num_microbatches, *feature.shape[1:])
            return jnp.swapaxes(feature, 0, 1)

        return jax.tree.map(split, dict(batch))


def make_eval_step(
    model: models.DecoderOnlyModel, partitioner: partitioning.PjitPartitioner
) -> partitioning.PartitionedFunction:
    """Returns (params, batch, number of rows that aren't filling) -> sums to add over batches.

    The sums are those of `DecoderOnlyModel.cross_entropy` without dropout, but "loss" and "z_loss"
    are numerators, and "denominator" is what their sum over all batches is to be divided by.
    """

    def eval_step(params, batch, num_rows):
        one = jnp.ones((), jnp.float32)
        _, sums = model.cross_entropy(params, batch, None, one)
        return sums | {"denominator": model.loss_denominator(batch, num_rows)}

    return partitioner.partition(
        eval_step,
        in_shardings=(None, partitioner.data_sharding, None),
        out_shardings=partitioner.replicated,
    )
