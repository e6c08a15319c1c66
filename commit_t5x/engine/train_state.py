"""Everything that training changes, and how it comes to lie on the devices."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import serialization
from flax.linen import partitioning as flax_partitioning

from commit_t5x.engine import models, partitioning


class TrainState(flax.struct.PyTreeNode):
    """The state of training after `step` updates.

    Attributes:
      step: int32 scalar.
      params: nested dictionary of the network's parameters.
      param_states: the optimizer's state.
      rng: the key of the run, constant; each step derives its own from it and `step`.
    """

    step: jax.Array
    params: Any
    param_states: Any
    rng: jax.Array

    def state_dict(self) -> dict[str, Any]:
        """Returns nested dictionaries in T5X's layout, for a checkpoint."""
        param_states = serialization.to_state_dict(self.param_states)
        state = {"step": self.step, "param_states": param_states, "rng": self.rng}
        return {"target": self.params, "state": state}

    def restore_state(self, state_dict: dict[str, Any]) -> "TrainState":
        """Returns a state of this structure with the values of a `state_dict`."""
        state = state_dict["state"]
        return TrainState(
            step=state["step"],
            params=state_dict["target"],
            param_states=serialization.from_state_dict(self.param_states, state["param_states"]),
            rng=state["rng"],
        )


class TrainStateInitializer:
    """Knows shapes and shardings of a model's state, and makes one where it belongs.

    Nothing ever lies whole on one device: parameters and optimizer state are computed, or restored,
    directly in their shards.

    Args:
      model: its network tells shapes and logical axes.
      partitioner: maps logical axes to devices.

    Attributes:
      params: `jax.ShapeDtypeStruct`s with shardings.
      train_state: the same for a whole TrainState; None for a model without an optimizer.
    """

    def __init__(self, model: models.DecoderOnlyModel, partitioner: partitioning.PjitPartitioner):
        self._model = model
        self._partitioner = partitioner
        variables = jax.eval_shape(model.get_initial_variables, jax.random.PRNGKey(0))
        self.params = self._with_shardings(variables)
        self.train_state = None
        if model.optimizer_def is not None:
            self.train_state = self._abstract_state()

    def _with_shardings(self, variables: Any) -> Any:
        shapes = serialization.to_state_dict(variables["params"])
        if "params_axes" not in variables:
            axes = jax.tree.map(lambda _: None, shapes)
        else:
            names = flax_partitioning.get_axis_names(variables["params_axes"])
            axes = serialization.to_state_dict(names)

        def attach(shape, names):
            sharding = self._partitioner.sharding(names, shape.shape)
            return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)

        return jax.tree.map(attach, shapes, axes, is_leaf=lambda leaf: leaf is None)

    def _abstract_state(self) -> TrainState:
        optimizer, replicated = self._model.optimizer_def, self._partitioner.replicated

        def scalar(shape):
            return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=replicated)

        def moment(state, param):
            # Factored moments (Adafactor's) are small.
            sharding = param.sharding if state.shape == param.shape else replicated
            return jax.ShapeDtypeStruct(state.shape, state.dtype, sharding=sharding)

        param_states = optax.tree_map_params(
            optimizer,
            moment,
            jax.eval_shape(optimizer.init, self.params),
            self.params,
            transform_non_params=scalar,
        )
        return TrainState(
            step=jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated),
            params=self.params,
            param_states=param_states,
            rng=jax.ShapeDtypeStruct((2,), jnp.uint32, sharding=replicated),
        )

    def init_params(self, rng: jax.Array) -> Any:
        """Returns fresh parameters, the same ones on every mesh."""

        def initialise(rng):
            variables = self._model.get_initial_variables(rng)
            return serialization.to_state_dict(variables["params"])

        shardings = jax.tree.map(lambda leaf: leaf.sharding, self.params)
        return self._partitioner.partition(initialise, out_shardings=shardings)(rng)

    def from_params(self, params: Any, rng: jax.Array) -> TrainState:
        """Returns the state before the first step, with a fresh optimizer."""
        shardings = jax.tree.map(lambda leaf: leaf.sharding, self.train_state.param_states)
        init = self._partitioner.partition(self._model.optimizer_def.init, out_shardings=shardings)
        replicated = self._partitioner.replicated
        return TrainState(
            step=jax.device_put(jnp.zeros((), jnp.int32), replicated),
            params=params,
            param_states=init(params),
            rng=jax.device_put(rng, replicated),
        )

    def from_scratch(self, rng: jax.Array) -> TrainState:
        """Returns a state with fresh parameters; `rng` seeds them and the run."""
        init_rng, train_rng = jax.random.split(rng)
        return self.from_params(self.init_params(init_rng), train_rng)
