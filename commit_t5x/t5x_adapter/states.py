"""T5X's train states, where they come from, and what of them is in checkpoints.

With low-rank factors the weights that aren't trained are one of T5X's collections of flax_mutables,
`frozen`: outside of the optimizer, and here outside of checkpoints, too. These, and adapter.json
beside them, are the native engine's.
"""

import pathlib
from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from flax import core, traverse_util
from flax import linen as nn
from jax.sharding import NamedSharding, PartitionSpec
from t5x import partitioning, train_state, utils

from commit_t5x import disk, ranges
from commit_t5x.engine import adapters, checkpoints
from commit_t5x.model import lora
from commit_t5x.model.lora import Lora

FROZEN = "frozen"


def collections(variables: Mapping[str, Any], options: Lora) -> dict[str, Any]:
    """Returns a network's variables as T5X takes them: what isn't trained is apart, with its axes.

    Args:
      variables: the collections `params` and `params_axes`.
      options: say what is trained.
    """
    if options.rank is None:
        return dict(variables)
    axes = traverse_util.flatten_dict(core.unfreeze(variables["params_axes"]))
    found = {}
    parts = options.split(core.unfreeze(variables["params"]))
    for name, part in zip(("params", FROZEN), parts, strict=True):
        leaves = {(*path, f"{leaf}_axes") for *path, leaf in traverse_util.flatten_dict(part)}
        own = {path: axes[path] for path in leaves}
        found |= {name: part, f"{name}_axes": traverse_util.unflatten_dict(own)}
    return found


def joined(params: Any, flax_mutables: Any) -> Any:
    """Returns all of a network's parameters."""
    return lora.joined(params, flax_mutables[FROZEN]) if flax_mutables else params


class TrainState(train_state.FlaxOptimTrainState):
    """T5X's, for checkpoints without the frozen weights.

    Attributes:
      base: reads them, into the state that a checkpoint is restored to; None: they are there.
    """

    base: Any = flax.struct.field(pytree_node=False, default=None)

    def state_dict(self):
        saved = super().state_dict()
        del saved["flax_mutables"]
        return saved

    def restore_state(self, state_dict):
        frozen = self.flax_mutables if self.base is None else self.base()
        return super().restore_state(state_dict).replace(flax_mutables=frozen, base=None)

    def as_logical_axes(self):
        return _unsaved(super().as_logical_axes())


def _unsaved(state: train_state.FlaxOptimTrainState, base: Any = None) -> TrainState:
    names = ("_optimizer", "params_axes", "flax_mutables", "flax_mutables_axes")
    return TrainState(**{name: getattr(state, name) for name in names}, base=base)


class TrainStateInitializer(utils.TrainStateInitializer):
    """T5X's, which begins with the weights of a checkpoint as the native engine does.

    Args:
      optimizer_def, init_fn, input_shapes, partitioner, input_types: T5X's.
      model_dir: of the run.
      path: a model directory (its latest checkpoint), or a checkpoint_N folder, of the weights to
        start from. None: there are none; in the cloud: T5X reads them.

    Raises:
      InputError: low-rank factors with no base, or `model_dir` holds a run of other factors,
        another network or another optimizer.
    """

    def __init__(
        self,
        optimizer_def: Any,
        init_fn: Any,
        input_shapes: Any,
        partitioner: Any,
        input_types: Any = None,
        *,
        model_dir: ranges.Path,
        path: ranges.Path | None = None,
    ):
        super().__init__(optimizer_def, init_fn, input_shapes, partitioner, input_types)
        self._optimizer_def = optimizer_def
        self._variables = lambda rng: init_fn(rng, input_shapes, input_types)
        self._module = init_fn.__self__.module
        self._path, self._model_dir = path, pathlib.Path(model_dir)
        self._shape, self._axes = self.global_train_state_shape, self.train_state_axes
        has_factors, self._adapter = bool(self._shape.flax_mutables), None
        if has_factors:
            for place in filter(None, (model_dir, path)):
                disk.check_local(place)
            self._adapter = adapters.describe(self._module.lora, path, self._model_dir)
        if steps := checkpoints.all_steps(model_dir):
            adapters.check(self._model_dir, self._adapter)
            latest = self._model_dir / f"{checkpoints.PREFIX}_{steps[-1]}"
            state = core.unfreeze(self._shape.state_dict())
            checkpoints.check_state(latest, state, self._module.config)
        if has_factors:
            self.global_train_state_shape = _unsaved(self._shape, self._base)
            self.train_state_axes = _unsaved(self._axes)

    def from_scratch(self, init_rng: jax.Array) -> train_state.TrainState:
        """Returns the state before the first step."""
        if self._path is None or "://" in self._path:
            return super().from_scratch(init_rng)
        weights = self._weights()
        specs = jax.tree.map(lambda leaf: leaf.sharding.spec, weights)

        def initialise(rng, weights):
            variables = core.unfreeze(self._variables(rng))
            for name in {"params", FROZEN} & variables.keys():
                variables[name] = _replaced(variables[name], weights)
            return train_state.FlaxOptimTrainState.create(
                self._optimizer_def, core.freeze(variables)
            )

        partitioned = self._partitioner.partition(
            initialise,
            in_axis_resources=(None, specs),
            out_axis_resources=self._axes,
            donate_argnums=(1,),
        )
        state = partitioned(init_rng, weights)
        return state if self._adapter is None else _unsaved(state)

    def _base(self) -> Any:
        """Returns the frozen weights, in T5X's collection of them."""
        frozen = self._shape.flax_mutables[FROZEN]
        return core.freeze({FROZEN: _replaced(frozen, self._weights())})

    def _weights(self) -> Any:
        """Reads all weights but factors, and tells beside the run's checkpoints what they were."""
        mesh = self._partitioner.mesh
        shapes = lora.factors(_abstract(self._shape, self._axes, mesh), present=False)
        weights = adapters.load_params(self._path, shapes, self._module.config)
        if jax.process_index() == 0:
            adapters.write(self._model_dir, self._adapter)
        return weights


def _replaced(tree: Any, weights: Any) -> Any:
    """Returns a tree with the leaves of another that has some of its paths."""
    leaves, given = (traverse_util.flatten_dict(core.unfreeze(t)) for t in (tree, weights))
    return traverse_util.unflatten_dict({path: given.get(path, leaves[path]) for path in leaves})


def _abstract(shapes: train_state.TrainState, axes: train_state.TrainState, mesh: Any) -> Any:
    """Returns `jax.ShapeDtypeStruct`s with shardings, of all of a network's parameters."""
    return jax.tree.map(
        lambda leaf, spec: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, spec or PartitionSpec())
        ),
        *(core.unfreeze(joined(tree.params, tree.flax_mutables)) for tree in (shapes, axes)),
    )


class WeightReader:
    """Reads the weights of checkpoints, in the place of T5X's CheckpointManager.

    Args:
      train_state, partitioner: T5X's.
      module: the network.
    """

    def __init__(
        self,
        train_state: train_state.InferenceState,
        partitioner: partitioning.BasePartitioner,
        *,
        module: nn.Module,
        **_others: Any,
    ):
        self._state, self._module = train_state, module
        axes = partitioner.get_mesh_axes(train_state)
        self._params = _abstract(train_state, axes, partitioner.mesh)

    def restore(self, path: str, **_others: Any) -> train_state.InferenceState:
        """Returns the state of a checkpoint_N folder, its factors merged if the network has none.

        Raises:
          InputError: it is of another network, or its base is gone or another one.
        """
        options = getattr(self._module, "lora", None)
        params = adapters.load_params(path, self._params, self._module.config, options)
        parts = (self._state.params, self._state.flax_mutables.get(FROZEN))
        params, frozen = (part and core.freeze(_replaced(part, params)) for part in parts)
        return self._state.replace(
            step=jnp.asarray(int(pathlib.Path(path).name.rpartition("_")[2])),
            params=params,
            flax_mutables=core.freeze({FROZEN: frozen} if frozen else {}),
        )
