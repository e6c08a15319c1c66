"""Everything that training changes, and how it comes to lie on the devices."""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from flax import serialization
from flax.linen import partitioning as flax_partitioning

from commit_t5x.engine import models, partitioning
from commit_t5x.model import lora


class TrainState(flax.struct.PyTreeNode):
    """The state of training after `step` updates.

    Attributes:
      step: int32 scalar.
      params: nested dictionary of the network's parameters; of them those that are trained.
      param_states: the optimizer's state.
      rng: the key of the run, constant; each step derives its own from it and `step`.
      frozen: the other parameters, which aren't in checkpoints; None where there are none.
    """

    step: jax.Array
    params: Any
    param_states: Any
    rng: jax.Array
    frozen: Any = None

    @property
    def variables(self) -> Any:
        """All of the network's parameters."""
        return self.params if self.frozen is None else lora.joined(self.params, self.frozen)

    def state_dict(self) -> dict[str, Any]:
        """Returns nested dictionaries in T5X's layout, for a checkpoint."""
        param_states = serialization.to_state_dict(self.param_states)
        state = {"step": self.step, "param_states": param_states, "rng": self.rng}
        return {"target": self.params, "state": state}

    def restore_state(self, state_dict: dict[str, Any]) -> "TrainState":
        """Returns a state of this structure with the values of a `state_dict`."""
        state = state_dict["state"]
        return self.replace(
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
      params: `jax.ShapeDtypeStruct`s with shardings, of all that the network takes.
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
        params, frozen = self._model.lora.split(self.params)

        def on_all_devices(shape):
            return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=replicated)

        def moment(state, param):
            # Factored moments (Adafactor's) are small.
            sharding = param.sharding if state.shape == param.shape else replicated
            return jax.ShapeDtypeStruct(state.shape, state.dtype, sharding=sharding)

        param_states = optax.tree_map_params(
            optimizer,
            moment,
            jax.eval_shape(optimizer.init, params),
            params,
            transform_non_params=on_all_devices,
        )
        return TrainState(
            step=jax.ShapeDtypeStruct((), jnp.int32, sharding=replicated),
            params=params,
            param_states=param_states,
            rng=on_all_devices(jax.eval_shape(lambda: jax.random.PRNGKey(0))),
            frozen=frozen,
        )

    def init_params(self, rng: jax.Array) -> Any:
        """Returns fresh parameters, the same ones on every mesh."""
        return self._initial(rng, lambda params: params)

    def _initial(self, rng: jax.Array, choose: Callable[[Any], Any]) -> Any:
        """Returns a choice of fresh parameters; nothing else is computed."""

        def initialise(rng):
            variables = self._model.get_initial_variables(rng)
            return choose(serialization.to_state_dict(variables["params"]))

        shardings = jax.tree.map(lambda leaf: leaf.sharding, choose(self.params))
        return self._partitioner.partition(initialise, out_shardings=shardings)(rng)

    @property
    def weights(self) -> Any:
        """As `params`, without low-rank factors: what a checkpoint to start from holds."""
        return lora.factors(self.params, present=False)

    def from_weights(self, weights: Any, rng: jax.Array) -> TrainState:
        """Returns the state before the first step; `rng` seeds new factors and the run."""
        init_rng, train_rng = jax.random.split(rng)
        if lora.factors(self.params):
            weights = lora.joined(weights, self._initial(init_rng, lora.factors))
        return self.from_params(weights, train_rng)

    def from_params(self, params: Any, rng: jax.Array) -> TrainState:
        """Returns the state before the first step, with a fresh optimizer."""
        params, frozen = self._model.lora.split(params)
        shardings = jax.tree.map(lambda leaf: leaf.sharding, self.train_state.param_states)
        init = self._partitioner.partition(self._model.optimizer_def.init, out_shardings=shardings)
        replicated = self._partitioner.replicated
        return TrainState(
            step=jax.device_put(jnp.zeros((), jnp.int32), replicated),
            params=params,
            param_states=init(params),
            rng=jax.device_put(rng, replicated),
            frozen=frozen,
        )

    def from_scratch(self, rng: jax.Array) -> TrainState:
        """Returns a state with fresh parameters; `rng` seeds them and the run."""
        init_rng, train_rng = jax.random.split(rng)
        return self.from_params(self.init_params(init_rng), train_rng)
