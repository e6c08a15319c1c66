"""What gin configures besides the model: data sets and checkpoints, with T5X's names."""

import dataclasses
from typing import Protocol, runtime_checkable

from commit_t5x import ranges, signatures


@runtime_checkable
class Provider(Protocol):
    """A SeqIO task or mixture; SeqIO takes seconds to load, and inference does without."""

    name: str


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

    mixture_or_task_name: ranges.Task | Provider | None
    task_feature_lengths: ranges.Lengths | None
    split: ranges.Text
    batch_size: ranges.Positive
    shuffle: bool = False
    seed: ranges.Seed | None = None
    use_cached: bool = False
    pack: bool = True
    trim_output_features: bool = True
    module: ranges.Text | None = None

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

    period: ranges.Positive | None = None
    keep: ranges.Positive | None = None
    keep_period: ranges.Positive | None = None

    def __post_init__(self):
        signatures.check(type(self), vars(self))


@dataclasses.dataclass(frozen=True)
class RestoreCheckpointConfig:
    """Where weights come from.

    Attributes:
      path: a model directory (its latest checkpoint is taken) or one of its checkpoint_N folders.
        None: none.
    """

    path: ranges.Path | None = None


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
