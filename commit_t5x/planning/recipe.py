"""The training step that gin files configure, on devices that need not be there."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import gin
import jax

from commit_t5x import resources
from commit_t5x.data import pair_features, row_features
from commit_t5x.engine import (
    gin_check,
    gin_errors,
    gin_utils,
    models,
    partitioning,
    train_state,
    utils,
)
from commit_t5x.engine import trainer as trainer_lib
from commit_t5x.errors import InputError

# Put after a run's own files; see there.
_RUN_FILE = "runs/plan.gin"
# In front of the engine's own files: what makes rows is left out, which would load TensorFlow.
_LIGHT = ("", str(resources.path("gin") / "engines" / "plan"))


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What the training step is made from; `runs/plan.gin` binds it to what `train` gets."""

    model: models.DecoderOnlyModel
    train_dataset_cfg: utils.DatasetConfig
    partitioner_cls: Callable[..., partitioning.PjitPartitioner]
    trainer_cls: Callable[..., trainer_lib.Trainer]


class Step:
    """A training step, its mesh and the shapes of what it takes.

    Args:
      recipe: see Recipe.
      devices: of the mesh; those of a compiler's topology will do.

    Attributes:
      state: jax.ShapeDtypeStructs with shardings, a TrainState.
      batch: the same for a batch.

    Raises:
      InputError: batch, microbatches and mesh don't go together.
    """

    def __init__(self, recipe: Recipe, devices: Sequence[jax.Device]):
        self.model = recipe.model
        with gin_errors.plain_errors():
            self.partitioner = recipe.partitioner_cls(devices=devices)
            initializer = train_state.TrainStateInitializer(self.model, self.partitioner)
            self.state = initializer.train_state
            self.trainer = recipe.trainer_cls(
                model=self.model, partitioner=self.partitioner, state_shapes=self.state
            )
        cfg = recipe.train_dataset_cfg
        self.trainer.check_batch_size(cfg.batch_size)
        self.batch = _batch_shapes(self.model, cfg, self.partitioner)

    def lower(self) -> Any:
        """Returns the lowered `Trainer.train_step`."""
        return self.trainer.train_step.lower(self.state, self.batch)

    def trace(self) -> Any:
        """Returns the jaxpr of `Trainer.train_step`."""
        return self.trainer.train_step.trace(self.state, self.batch).jaxpr.jaxpr

    @property
    def batch_shape(self) -> tuple[int, int]:
        """Rows and tokens of a row."""
        return self.batch["decoder_target_tokens"].shape

    @property
    def mesh(self) -> dict[str, int]:
        """Devices along each axis, {"data": 1, "model": 8}."""
        return dict(self.partitioner.mesh.shape)

    @property
    def residual_spec(self) -> jax.sharding.PartitionSpec:
        """Mesh axes of the residual stream, [batch, length, embed]."""
        shape = (*self.batch_shape, self.model.config.emb_dim)
        return self.partitioner.sharding(("batch", "length", "embed"), shape).spec

    def model_flops(self) -> float:
        """Returns the FLOPs of the whole batch; see `LlamaConfig.training_flops_per_token`."""
        rows, length = self.batch_shape
        frozen = self.model.lora.rank is not None
        return float(self.model.config.training_flops_per_token(length, frozen) * rows * length)


@dataclasses.dataclass(frozen=True)
class Change:
    """What is set beside a run's own flags.

    Attributes:
      macros: name -> value, as gin reads it.
      files: gin files that follow the run's.

    Example:
      >>> Change({"BASE_DTYPE": "'int8'"}, ("lora.gin",)).flags
      ['--gin_file=lora.gin', '--gin.BASE_DTYPE="\'int8\'"']
    """

    macros: Mapping[str, str] = dataclasses.field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def flags(self) -> list[str]:
        """For a shell, after the run's own."""
        bindings = [
            f'--gin.{name}="{value}"' if "'" in value else f"--gin.{name}={value}"
            for name, value in self.macros.items()
        ]
        return [*(f"--gin_file={name}" for name in self.files), *bindings]

    def __or__(self, other: "Change") -> "Change":
        return Change({**self.macros, **other.macros}, (*self.files, *other.files))


class Load(Protocol):
    """`load` with a run's own flags."""

    def __call__(self, *, change: Change = ...) -> Recipe:
        """Returns the recipe of the run with a change."""
        ...


def load(
    gin_files: Sequence[str],
    bindings: Sequence[str] = (),
    search_paths: Sequence[str] = (),
    change: Change = Change(),
) -> Recipe:
    """Returns the recipe of a run's gin files.

    What the step doesn't depend on (MODEL_DIR, DICT_DIR, LANGUAGE, ...) needs no value.

    Raises:
      InputError: files or bindings are wrong, or configure no training.
    """
    if not gin_files:
        raise InputError("--gin_file: missing; name a run's, e.g. main_results/commit.gin")
    changes = [f"{name} = {value}" for name, value in change.macros.items()]
    files = [*gin_files, *change.files, _RUN_FILE]
    bindings = [*bindings, *changes]
    try:
        gin_utils.load(files, bindings, [*search_paths, *_LIGHT], whole=False)
        is_enough = _is_enough(gin.config._CONFIG)
    except InputError:  # or of what was left out: the whole run knows
        is_enough = False
    if not is_enough:
        gin_utils.load(files, bindings, search_paths)
    with gin_errors.plain_errors():
        recipe = gin.get_configurable(Recipe)()
    if recipe.model.optimizer_def is None:
        raise InputError("--gin_file: the files configure no optimizer; add runs/finetune.gin")
    if recipe.model.FEATURE_CONVERTER_CLS is None:
        raise InputError("DecoderOnlyModel.feature_converter_cls: None makes no rows; leave it out")
    return recipe


def _is_enough(config: gin_check.Config) -> bool:
    """Returns whether a configuration without what makes rows tells what they hold."""
    name = "feature_converter_cls"
    made_by = [bindings[name] for bindings in config.values() if name in bindings]
    plain = all(
        isinstance(made, gin.config.ConfigurableReference)
        and made.configurable.wrapped is row_features.RowFeatures
        for made in made_by
    )
    bound = any(selector.endswith(".DecoderFeatureConverter") for _, selector in config)
    return bool(made_by) and plain and not bound


def _batch_shapes(
    model: models.DecoderOnlyModel,
    cfg: utils.DatasetConfig,
    partitioner: partitioning.PjitPartitioner,
) -> dict[str, jax.ShapeDtypeStruct]:
    converter = model.FEATURE_CONVERTER_CLS(pack=cfg.pack)
    lengths = dict(converter.get_model_feature_lengths(cfg.task_feature_lengths))
    if model.hidden_state_distance.kind is not None:
        pairs = pair_features.model_features(segments=converter.pack)
        lengths |= dict.fromkeys(pairs, max(lengths.values()))
    return {
        name: jax.ShapeDtypeStruct(
            (cfg.batch_size, length), "int32", sharding=partitioner.data_sharding
        )
        for name, length in lengths.items()
    }
