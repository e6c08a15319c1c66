"""What gin configures besides the model: data sets and checkpoints, with T5X's names."""

import dataclasses
import difflib
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import seqio

from commit_t5x.errors import InputError
from commit_t5x.tasks import names as task_names


@dataclasses.dataclass(frozen=True)
class DatasetConfig:
    """Which rows of a SeqIO task or mixture to read, and how.

    Attributes:
      mixture_or_task_name: a registered name, or a task or mixture itself. None stands for no data,
        where data is optional.
      task_feature_lengths: feature -> tokens, e.g. {"inputs": 384, "targets": 128}; "row" makes the
        features share a row of so many tokens. None, in evaluation only: long enough for every
        example.
      split: of the task, e.g. "train".
      batch_size: rows of a batch, over all devices.
      shuffle: whether examples are shuffled, within SeqIO's buffer.
      seed: of shuffling and of random preprocessors. None: the run's seed.
      use_cached: read what `seqio_cache_tasks` wrote instead of preprocessing on the fly.
      pack: whether several examples share a row; see the feature converter.
      trim_output_features: whether SeqIO cuts features to task_feature_lengths. False lets long
        examples reach a feature converter that continues them in the next row.
      module: is imported before the name is looked up, to register it.
    """

    mixture_or_task_name: str | seqio.Task | seqio.Mixture | None
    task_feature_lengths: Mapping[str, int] | None
    split: str
    batch_size: int
    shuffle: bool = False
    seed: int | None = None
    use_cached: bool = False
    pack: bool = True
    trim_output_features: bool = True
    module: str | None = None

    @property
    def name(self) -> str | None:
        """The task's or mixture's."""
        return getattr(self.mixture_or_task_name, "name", self.mixture_or_task_name)

    @property
    def enabled(self) -> bool:
        """Whether there is data at all."""
        return self.mixture_or_task_name is not None


@dataclasses.dataclass(frozen=True)
class SaveCheckpointConfig:
    """When to save a checkpoint, and how many to keep.

    The last step is always saved, and so is the step at which SIGTERM arrives.

    Attributes:
      period: steps between checkpoints; None for the last one only.
      keep: number of the newest checkpoints to keep; None for all.
      keep_period: checkpoints at multiples of it are kept besides the newest ones.
    """

    period: int | None = None
    keep: int | None = None
    keep_period: int | None = None

    def __post_init__(self):
        for name in ("period", "keep", "keep_period"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(
                    f"SaveCheckpointConfig.{name}: {value} is not positive; None turns it off"
                )


@dataclasses.dataclass(frozen=True)
class RestoreCheckpointConfig:
    """Where weights come from.

    Attributes:
      path: a model directory (its latest checkpoint is taken) or one of its checkpoint_N folders.
        None: none.
    """

    path: str | None = None


@dataclasses.dataclass(frozen=True)
class CheckpointConfig:
    """Checkpoints of a training run.

    Attributes:
      save: see SaveCheckpointConfig.
      restore: weights to start from, with a fresh optimizer at step 0. A run that already has a
        checkpoint in its own model directory resumes from that instead, with everything.
    """

    save: SaveCheckpointConfig = SaveCheckpointConfig()
    restore: RestoreCheckpointConfig = RestoreCheckpointConfig()


def get_mixture_or_task(cfg: DatasetConfig | Any) -> seqio.Task | seqio.Mixture:
    """Returns the SeqIO task or mixture that is to be read; a T5X DatasetConfig will do, too.

    Raises:
      InputError: there is none of that name, and similar names are suggested; or no such module.
    """
    if cfg.module:
        _import(cfg.module)
    name = cfg.mixture_or_task_name
    if isinstance(name, seqio.Task | seqio.Mixture):
        return name
    task_names.register_named(name)
    names = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if name not in names:
        raise InputError(f"MIXTURE_OR_TASK_NAME: no task or mixture '{name}'{suggest(name, names)}")
    return seqio.get_mixture_or_task(name)


def _import(module: str) -> None:
    """Imports a module of the user's, whose own errors come through."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise InputError(
            f"MIXTURE_OR_TASK_MODULE: no module '{error.name}'; install it, or put its folder on "
            "PYTHONPATH"
        ) from error
    except RuntimeError as error:
        if "after the config was locked" not in str(error):
            raise
        raise InputError(
            f"MIXTURE_OR_TASK_MODULE: '{module}' has gin configurables, which must be there before "
            f"gin files are read; write 'import {module}' in a gin file instead"
        ) from error


def check_split(provider: seqio.Task | seqio.Mixture, split: str) -> None:
    """Raises InputError if the task or mixture has no such split."""
    # Slices such as "train[:100]" are for the data source to understand.
    if split.partition("[")[0] not in provider.splits:
        held_out = "validation" in split
        hint = ", or hold some examples out by VALIDATION_EXAMPLES" if held_out else ""
        raise InputError(
            f"DatasetConfig.split: '{provider.name}' has no split '{split}'; "
            f"choose from {', '.join(sorted(provider.splits))}{hint}"
        )


def suggest(name: str, known: Sequence[str]) -> str:
    """Returns "; did you mean ...?" for the known names close to `name`, or "".

    Example:
      >>> suggest("TRAIN_STEP", ["TRAIN_STEPS", "MODEL_DIR"])
      '; did you mean TRAIN_STEPS?'
    """
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""
