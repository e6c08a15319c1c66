"""What a run given by gin files, or a task on the shipped samples, would train on."""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gin

from commit_t5x.data import length_policy
from commit_t5x.engine import gin_errors, gin_utils, providers, utils
from commit_t5x.errors import InputError
from commit_t5x.inspection.inspect import Inspection, inspect_data
from commit_t5x.tasks import names

# The run file that takes back what only training needs; see there.
_RUN_FILE = "runs/inspect.gin"
_LOCATIONS = (
    *("DICT_DIR", "TOKENIZER", "ALPACA_PATH"),
    *("WIKIPEDIA_PATH", "XQUAD_PATH", "MLQA_PATH"),
)


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
      **options: `num_examples` to keep of each task (3), `report_examples` to report on (1000),
        `start`, `epoch`, and in place of the gin files' `split`, `seed` and `sequence_length`.

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
    flags = gin_utils.Flags(list(gin_files), lines, list(search_paths))
    return inspect_run(task, flags, **options)


def inspect_run(
    task: str | None,
    flags: gin_utils.Flags,
    *,
    split: str | None = None,
    seed: int | None = None,
    sequence_length: int | None = None,
    **options: Any,
) -> Inspection:
    """Does what `inspect` does, with the command line's gin flags."""
    files, bindings = flags.gin_file, flags.gin_bindings
    if not files:
        files, bindings = _samples(task, bindings)
    gin_utils.load([*files, _RUN_FILE], bindings, flags.gin_search_paths)
    # The report counts what the length policy would log.
    silent = _level(logging.getLogger(length_policy.__name__), logging.ERROR)
    with silent, gin_errors.plain_errors():
        return inspect_data(_dataset_config(task, split, seed, sequence_length), **options)


def note(task: str | None, flags: gin_utils.Flags) -> str | None:
    """Says what is shown where no gin file is named; None where one is."""
    if flags.gin_file or task is None:
        return None
    bound = {binding.partition("=")[0].strip() for binding in flags.gin_bindings}
    own = [name for name in _LOCATIONS if name in bound]
    text = f"No --gin_file: {_recipe(task)} on the shipped samples"
    return text + (
        f" but for {', '.join(own)}." if own else "; set ALPACA_PATH and so on for your own data."
    )


def _recipe(task: str) -> str:
    return "recipes/align.gin" if task.startswith("wikipedia") else "recipes/commit.gin"


def _samples(task: str | None, bindings: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns gin files and bindings where no file is named."""
    if not task:
        raise InputError(
            "TASK: missing; name one, such as alpaca_codemix_hi, or the gin files of a run"
        )
    # The task's name says the language.
    defaults = ["LANGUAGE = None", *(f"{name} = 'samples'" for name in _LOCATIONS)]
    return [_recipe(task)], [*defaults, *bindings]


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
    others = {"split": split, "seed": seed}
    # By position, as gin computes its own value of what is passed by name, which may fail.
    cfg = configured(*filter(None, [task]), **{n: v for n, v in others.items() if v is not None})
    provider = providers.get_mixture_or_task(cfg)
    if split is None and cfg.split not in provider.splits:
        cfg = dataclasses.replace(cfg, split=sorted(provider.splits)[-1])
    if sequence_length:
        lengths = dict.fromkeys([*provider.output_features, "row"], sequence_length)
        cfg = dataclasses.replace(cfg, task_feature_lengths=lengths)
    return cfg


@contextlib.contextmanager
def _level(logger: logging.Logger, level: int) -> Iterator[None]:
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
