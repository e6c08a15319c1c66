"""What a run given by gin files, or a task on the shipped samples, would train on."""

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import gin
import numpy as np
import seqio
import tensorflow as tf

from commit_t5x.data import row_features
from commit_t5x.data.feature_converters import DecoderFeatureConverter
from commit_t5x.data.pair_features import TASK_FEATURES
from commit_t5x.engine import gin_errors, gin_utils, providers, utils
from commit_t5x.errors import InputError
from commit_t5x.inspection import examples
from commit_t5x.inspection.report import MixReport, Tally
from commit_t5x.tasks import names

# The run file that takes back what only training needs; see there.
_RUN_FILE = "runs/inspect.gin"
_LOCATIONS = (
    *("DICT_DIR", "TOKENIZER", "ALPACA_PATH"),
    *("WIKIPEDIA_PATH", "XQUAD_PATH", "MLQA_PATH"),
)

_LOGGER = logging.getLogger(__name__)


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
      tasks: the task, or the mixture's tasks.
    """

    name: str
    split: str
    seed: int | None
    epoch: int
    shuffled: bool
    row_length: int | None
    tasks: tuple[TaskInspection, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the reports, and what they are about."""
        about = ("name", "split", "seed", "epoch", "row_length")
        return {
            **{name: getattr(self, name) for name in about},
            "tasks": {
                task.name: {"share": task.share, **dataclasses.asdict(task.report)}
                for task in self.tasks
                if task.report
            },
        }


def inspect(
    task: str | None = None,
    *,
    gin_files: Sequence[str] = (),
    bindings: Mapping[str, Any] | None = None,
    search_paths: Sequence[str] = (),
    **options: Any,
) -> Inspection:
    """Reads what a run would train on: examples, and a report on mixing and lengths.

    Args:
      task: a task or mixture; None for the gin files' own.
      gin_files: of a run, as `commit-t5x train` takes them; none for the task as the recipes have
        it, on the shipped samples.
      bindings: macro, or configurable.parameter -> its value, in Python.
      search_paths: folders searched for gin files first.
      **options: `num_examples` to keep of each task (3), `report_examples` to report on (1000; 0
        for no report), `start` (examples of each task to leave out), `epoch` (pass over the data,
        from 0), and in place of the gin files' `split`, `seed` and `sequence_length`.

    Returns:
      `tasks`, each with `examples` (text, what was replaced, tokens with their loss) and `report`
      (words, hit rate, effective ratio, tokens a word, lengths in tokens, examples a row).

    Raises:
      InputError: bad gin files or bindings, no such task or split, or no examples there.

    Example:
      >>> [task] = inspect("alpaca_codemix_hi", num_examples=1).tasks
      >>> task.report.effective_ratio
      0.41
    """
    lines = [f"{name} = {value!r}" for name, value in (bindings or {}).items()]
    return inspect_run(task, gin_files, lines, search_paths, **options)


def inspect_run(
    task: str | None,
    gin_files: Sequence[str],
    gin_bindings: Sequence[str],
    gin_search_paths: Sequence[str],
    *,
    split: str | None = None,
    seed: int | None = None,
    sequence_length: int | None = None,
    **options: Any,
) -> Inspection:
    """Does what `inspect` does, with the command line's bindings."""
    if not gin_files:
        if not task:
            raise InputError(
                "TASK: missing; name one, such as alpaca_codemix_hi, or the gin files of a run"
            )
        # The task's name says the language.
        defaults = ["LANGUAGE = None", *(f"{name} = 'samples'" for name in _LOCATIONS)]
        gin_files, gin_bindings = [_recipe(task)], [*defaults, *gin_bindings]
    gin_utils.load([*gin_files, _RUN_FILE], gin_bindings, gin_search_paths)
    with gin_errors.plain_errors():
        return inspect_data(_dataset_config(task, split, seed, sequence_length), **options)


def note(task: str | None, gin_files: Sequence[str], gin_bindings: Sequence[str]) -> str | None:
    """Says what is shown where no gin file is named; None where one is."""
    if gin_files or task is None:
        return None
    bound = {binding.partition("=")[0].strip() for binding in gin_bindings}
    own = ", ".join(name for name in _LOCATIONS if name in bound)
    rest = f" but for {own}." if own else "; set ALPACA_PATH and so on for your own data."
    return f"No --gin_file: {_recipe(task)} on the shipped samples{rest}"


def _recipe(task: str) -> str:
    return "recipes/align.gin" if task.startswith("wikipedia") else "recipes/commit.gin"


def _dataset_config(
    task: str | None, split: str | None, seed: int | None, sequence_length: int | None
) -> utils.DatasetConfig:
    """Returns what the run reads, as gin and the arguments say."""
    try:
        configured = gin.get_configurable(f"train/{utils.__name__}.DatasetConfig")
    except ValueError as error:
        raise InputError(
            "--gin_file: no file says what to read; add a run file such as recipes/commit.gin"
        ) from error
    if task:
        names.register_named(task)
    others = {name: v for name, v in (("split", split), ("seed", seed)) if v is not None}
    # By position, as gin computes its own value of what is passed by name, which may fail.
    cfg = configured(*filter(None, [task]), **others)
    provider = providers.get_mixture_or_task(cfg)
    if split is None and cfg.split not in provider.splits:
        cfg = dataclasses.replace(cfg, split=sorted(provider.splits)[-1])
    if sequence_length:
        features = [name for name in provider.output_features if name not in TASK_FEATURES]
        lengths = dict.fromkeys([*features, "row"], sequence_length)
        cfg = dataclasses.replace(cfg, task_feature_lengths=lengths)
    return cfg


def inspect_data(
    cfg: utils.DatasetConfig,
    *,
    num_examples: int = 3,
    report_examples: int = 1000,
    start: int = 0,
    epoch: int = 0,
) -> Inspection:
    """Does what `inspect` does, of what a run with this configuration reads."""
    provider = providers.get_mixture_or_task(cfg)
    providers.check_split(provider, cfg.split)
    if cfg.use_cached:
        _LOGGER.warning(
            "USE_CACHED_TASKS: shown is what becomes of the data themselves; the run reads a cache "
            "of them, which may be of others"
        )
    lengths, tasks = cfg.task_feature_lengths, _shares(provider, cfg.split)
    # Tasks with a metric are for evaluation by generation.
    is_packed = not any(task.predict_metric_fns for task in tasks)
    row_length = row_features.row_length(lengths) if is_packed and lengths else None
    shown: dict[str, list[examples.Example]] = {task.name: [] for task in tasks}
    tallies = {task.name: Tally() for task in tasks}
    taken, complete, examples_per_part = [], 1.0, {}
    for task, share in tasks.items():
        wanted = math.ceil(share * report_examples)  # a mixture's tasks in its proportions
        number = parts = 0
        for number, (example, rows) in enumerate(
            examples.read(
                task,
                split=cfg.split,
                sequence_length=lengths,
                seed=cfg.seed,
                start=start,
                count=max(num_examples, wanted, 1),
                epoch=epoch,
                trim_output_features=cfg.trim_output_features,
            ),
            1,
        ):
            if number <= num_examples:
                shown[task.name].append(example)
            if number <= wanted:
                tallies[task.name].add(example)
                for row in rows:  # SeqIO mixes these: none of what is dropped, parts of documents
                    parts += 1
                    taken.append(((parts - 0.5) / wanted, row))
        if not number:
            raise _nothing_there(dataclasses.replace(cfg, mixture_or_task_name=task), start)
        complete = min(complete, parts / wanted) if wanted else complete
        examples_per_part[task.name] = min(number, wanted) / parts if parts else 0.0
    # A mixture's tasks take turns, as far as the data of all of them go.
    taken.sort(key=lambda pair: pair[0])
    packed = [row for place, row in taken if place < complete]
    num_rows = row_fill = None
    if is_packed and lengths and packed:
        num_rows, row_fill = _pack(packed, lengths, cfg.pack)

    def inspection(task: str, share: float) -> TaskInspection:
        report = None
        if report_examples:
            per_row = num_rows and share * len(packed) / num_rows * examples_per_part[task]
            report = tallies[task].report(row_length, row_fill, per_row, cfg.batch_size)
        return TaskInspection(task, share, tuple(shown[task]), report)

    return Inspection(
        name=provider.name,
        split=cfg.split,
        seed=cfg.seed,
        epoch=epoch,
        shuffled=cfg.shuffle and is_packed,
        row_length=row_length,
        tasks=tuple(inspection(task.name, share) for task, share in tasks.items()),
    )


def _nothing_there(cfg: utils.DatasetConfig, start: int) -> InputError:
    if not start:
        return providers.no_examples(cfg)
    place = f"{cfg.name} has no such example in split {cfg.split!r}"
    return InputError(f"--start={start}: {place}; start earlier")


def _shares(provider: seqio.Task | seqio.Mixture, split: str) -> dict[seqio.Task, float]:
    if isinstance(provider, seqio.Task):
        return {provider: 1.0}
    rates = {task: provider.get_rate(task) for task in provider.tasks if split in task.splits}
    return {task: rate / sum(rates.values()) for task, rate in rates.items()}


def _pack(
    packed: Sequence[examples.Features], lengths: Mapping[str, int], pack: bool
) -> tuple[float, float]:
    """Packs sequences as the run does.

    Returns:
      The rows that they take, the last one by its share of a full one; and how full these are.
    """
    ds = tf.data.Dataset.from_generator(
        lambda: iter(packed),
        output_signature={
            name: tf.TensorSpec([None], tf.int32) for name in DecoderFeatureConverter.TASK_FEATURES
        },
    )
    ds = DecoderFeatureConverter(pack=pack)(ds, lengths)
    *full, last = (
        np.count_nonzero(row.get("decoder_segment_ids", row["decoder_target_tokens"]))
        for row in ds.as_numpy_iterator()
    )
    length = row_features.row_length(lengths)
    rows = len(full) + min(last / (sum(full) / len(full) if full else length), 1.0)
    return rows, (sum(full) + last) / rows / length
