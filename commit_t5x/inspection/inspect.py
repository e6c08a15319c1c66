"""What a run would train on: examples, and a mix report for each task."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from commit_t5x.data import length_policy
from commit_t5x.data.feature_converters import DecoderFeatureConverter
from commit_t5x.engine import providers, utils
from commit_t5x.errors import InputError
from commit_t5x.inspection import examples
from commit_t5x.inspection.pipeline import Features
from commit_t5x.inspection.report import MixReport, Packing, Tally


@dataclasses.dataclass(frozen=True)
class TaskInspection:
    """What was found of one task.

    Attributes:
      name: the task's.
      share: of the mixture's examples; 1 if there is no mixture.
      examples: the ones to show.
      report: on all that were read; None if none were asked for.
    """

    name: str
    share: float
    examples: tuple[examples.Example, ...]
    report: MixReport | None


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What was found of a task or mixture.

    Attributes:
      name: the task's or mixture's.
      split, seed, epoch: of the data read.
      shuffled: whether the run shuffles what is shown in the data's order.
      row_length: tokens of a row; None if any length will do.
      bos_id: of the vocabulary.
      tasks: the task, or the mixture's tasks.
    """

    name: str
    split: str
    seed: int | None
    epoch: int
    shuffled: bool
    row_length: int | None
    bos_id: int
    tasks: tuple[TaskInspection, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the reports, and what they are about."""
        about = ("name", "split", "seed", "epoch", "row_length")
        return {
            **{name: getattr(self, name) for name in about},
            "tasks": {
                task.name: {"share": task.share, **task.report.to_json()}
                for task in self.tasks
                if task.report
            },
        }


def inspect_data(
    cfg: utils.DatasetConfig,
    *,
    num_examples: int = 3,
    report_examples: int = 1000,
    start: int = 0,
    epoch: int = 0,
) -> Inspection:
    """Reads a task's or mixture's examples as a run with this data set configuration would.

    Args:
      cfg: what the run reads.
      num_examples: to keep of each task.
      report_examples: to report on, those of a mixture's tasks in its proportions; 0 for no report.
      start: examples of each task to leave out.
      epoch: pass over the data, from 0.

    Raises:
      InputError: no such task or split, or no examples there.
    """
    provider = providers.get_mixture_or_task(cfg)
    providers.check_split(provider, cfg.split)
    shares = _shares(provider, cfg.split)
    shown = {task: [] for task in shares}
    tallies = {task: Tally() for task in shares}
    taken, complete = [], 1.0
    for task, share in shares.items():
        wanted = math.ceil(share * report_examples)
        number = -1
        read = examples.read(
            task,
            split=cfg.split,
            sequence_length=cfg.task_feature_lengths,
            seed=cfg.seed,
            start=start,
            count=max(num_examples, wanted, 1),
            epoch=epoch,
            trim_output_features=cfg.trim_output_features,
        )
        for number, (example, rows) in enumerate(read):
            if number < num_examples:
                shown[task].append(example)
            if number < wanted:
                tallies[task].add(example)
                taken.append(((number + 0.5) / wanted, rows))
        if number < 0:
            raise InputError(_nothing_there(task.name, cfg.split, start))
        if wanted:
            complete = min(complete, (number + 1) / wanted)
    # A mixture's tasks take turns, as far as the data of all of them go.
    taken.sort(key=lambda pair: pair[0])
    packed = [rows for place, rows in taken if place < complete]
    # Tasks with a metric are for evaluation by generation.
    is_packed = not any(task.predict_metric_fns for task in shares)
    lengths = cfg.task_feature_lengths
    row_length = length_policy.row_length(lengths) if is_packed and lengths else None
    packing = _pack(packed, cfg) if is_packed and any(packed) else None
    return Inspection(
        name=provider.name,
        split=cfg.split,
        seed=cfg.seed,
        epoch=epoch,
        shuffled=cfg.shuffle and is_packed,
        row_length=row_length,
        bos_id=provider.output_features["targets"].vocabulary.bos_id,
        tasks=tuple(
            TaskInspection(
                task.name,
                share,
                tuple(shown[task]),
                tallies[task].report(row_length, packing, share) if report_examples else None,
            )
            for task, share in shares.items()
        ),
    )


def _shares(provider: seqio.Task | seqio.Mixture, split: str) -> dict[seqio.Task, float]:
    if isinstance(provider, seqio.Task):
        return {provider: 1.0}
    rates = {task: provider.get_rate(task) for task in provider.tasks if split in task.splits}
    return {task: rate / sum(rates.values()) for task, rate in rates.items()}


def _nothing_there(name: str, split: str, start: int) -> str:
    if start:
        return f"--start={start}: {name} has no such example in split {split!r}; start earlier"
    remedy = "choose another"
    if split == "validation":
        remedy += ", or hold examples out with --gin.VALIDATION_EXAMPLES"
    return f"--split={split}: {name} has no examples there; {remedy}"


def _pack(packed: Sequence[Sequence[Features]], cfg: utils.DatasetConfig) -> Packing | None:
    """Packs the sequences of examples as the run does; None where rows have no length."""
    if not cfg.task_feature_lengths:
        return None
    sequences = [row for rows in packed for row in rows]
    names = DecoderFeatureConverter.TASK_FEATURES
    ds = tf.data.Dataset.from_generator(
        lambda: ({name: row[name] for name in names} for row in sequences),
        output_signature={name: tf.TensorSpec([None], tf.int32) for name in names},
    )
    ds = DecoderFeatureConverter(pack=cfg.pack)(ds, cfg.task_feature_lengths)
    filled = [_filled(row) for row in ds.as_numpy_iterator()]
    *full, last = filled
    length = length_policy.row_length(cfg.task_feature_lengths)
    usual = sum(full) / len(full) if full else length
    rows = len(full) + min(last / usual, 1.0)
    return Packing(len(packed), rows, sum(filled) / rows / length, cfg.batch_size)


def _filled(row: Mapping[str, np.ndarray]) -> int:
    return np.count_nonzero(row.get("decoder_segment_ids", row["decoder_target_tokens"]))
