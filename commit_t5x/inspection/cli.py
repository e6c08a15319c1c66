"""`commit-t5x inspect`: shows what a run would train on."""

import argparse
import contextlib
import dataclasses
import json
import logging
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from commit_t5x.errors import InputError

_DESCRIPTION = """\
Shows what a run would train on: examples, with the template, what was replaced and where the loss
falls, and a mix report. The gin flags are those of `commit-t5x train`; without --gin_file the task
is shown as the recipes have it, on shipped samples."""
_EXAMPLE = """\
example:
  commit-t5x inspect alpaca_codemix_hi
  commit-t5x inspect alpaca_codemix_hi --gin.ALPACA_PATH="'alpaca.jsonl'" \\
    --gin.DICT_DIR="'muse'" --gin.TOKENIZER="'tokenizer.model'" --html page.html

what a run would train on:
  commit-t5x inspect --gin_file=recipes/commit.gin --gin.LANGUAGE="'hi'" \\
    --gin.DICT_DIR="'muse'" --gin.TOKENIZER="'tokenizer.model'"
"""
# The run file that takes back what only training needs; see there.
_RUN_FILE = "runs/inspect.gin"
_LOCATIONS = (
    *("DICT_DIR", "TOKENIZER", "ALPACA_PATH"),
    *("WIKIPEDIA_PATH", "XQUAD_PATH", "MLQA_PATH"),
)


def main(argv: Sequence[str]) -> None:
    """Runs the command with its arguments; raises InputError on bad input."""
    import rich.console
    import tensorflow as tf  # here, like the others: they take seconds to load

    from commit_t5x.data import length_policy
    from commit_t5x.engine import gin_errors, gin_utils
    from commit_t5x.inspection import inspect, page, terminal

    flags, own = _parse(argv)
    files, bindings, note = flags.gin_file, flags.gin_bindings, None
    if not files:
        files, bindings, note = _samples(own.task, bindings)
    tf.config.set_visible_devices([], "GPU")
    gin_utils.load([*files, _RUN_FILE], bindings, flags.gin_search_paths)
    waiting = rich.console.Console(stderr=True).status("Reading examples ...")
    # The report counts what the length policy would log.
    quiet = _level(logging.getLogger(length_policy.__name__), logging.ERROR)
    with waiting, quiet, gin_errors.plain_errors():
        inspection = inspect.inspect(
            _dataset_config(own),
            num_examples=own.num_examples,
            report_examples=own.report_examples,
            start=own.start,
            epoch=own.epoch,
        )
    # Files first: who reads the terminal form may go away in mid-text.
    if own.html:
        _write(own.html, page.render(inspection, note))
    if own.json:
        _write(own.json, json.dumps(inspection.to_json(), ensure_ascii=False, indent=2) + "\n")
    terminal.show(inspection, note, own.width)
    for name in filter(None, (own.html, own.json)):
        print(f"Wrote {name}")


@contextlib.contextmanager
def _level(logger: logging.Logger, level: int) -> Iterator[None]:
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


def _parse(argv: Sequence[str]) -> tuple[Any, argparse.Namespace]:
    """Returns the gin flags and the command's own."""
    from commit_t5x.engine import gin_utils

    own = argparse.Namespace()

    class Keep(argparse.Action):
        """Stores a value where the parser of the gin flags doesn't drop it."""

        def __call__(self, parser, namespace, values, option_string=None):
            setattr(own, self.dest, values)

    parser = argparse.ArgumentParser(add_help=False)

    def add(name: str, **options) -> None:
        action = parser.add_argument(name, action=Keep, **options)
        setattr(own, action.dest, action.default)

    number = {"type": _number, "metavar": "N"}
    add("task", nargs="?", metavar="TASK", help="task or mixture (default: the gin files')")
    add("--num_examples", default=3, **number, help="examples to show of each task (default: 3)")
    add("--start", default=0, **number, help="examples to pass over (default: 0)")
    add("--split", help="train, validation or test (default: the gin files')")
    add("--seed", **number, help="of the data set (default: the gin files')")
    add("--epoch", default=0, **number, help="pass over the data (default: 0)")
    add("--sequence_length", **number, help="tokens of a row (default: the gin files')")
    add(
        "--report_examples",
        default=1000,
        **number,
        help="examples to report on; 0 for no report (default: 1000)",
    )
    add("--html", metavar="FILE", help="also write a page")
    add("--json", metavar="FILE", help="also write the report as JSON")
    add("--width", **number, help="columns (default: the terminal's)")
    flags = gin_utils.parse_flags(
        argv,
        prog="commit-t5x inspect",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        parents=[parser],
    )
    return flags, own


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)


def _samples(task: str | None, bindings: Sequence[str]) -> tuple[list[str], list[str], str]:
    """Returns gin files, bindings and a note for a command that names no file."""
    if not task:
        raise InputError(
            "TASK: missing; name one, such as alpaca_codemix_hi, or the gin files of a run"
        )
    recipe = "recipes/align.gin" if task.startswith("wikipedia") else "recipes/commit.gin"
    own = [name for name in _LOCATIONS if name in {b.partition("=")[0].strip() for b in bindings}]
    note = f"No --gin_file: {recipe} on the shipped samples"
    note += (
        f" but for {', '.join(own)}." if own else "; set ALPACA_PATH and so on for your own data."
    )
    # The task's name says the language.
    defaults = ["LANGUAGE = None", *(f"{name} = 'samples'" for name in _LOCATIONS)]
    return [recipe], [*defaults, *bindings], note


def _dataset_config(own: argparse.Namespace):
    """Returns what the run reads, as gin and the command's own flags say."""
    import gin

    from commit_t5x.engine import utils
    from commit_t5x.tasks import names

    # By position, as gin computes its own value of what is passed by name, which may fail.
    task = [own.task] if own.task else []
    others = {"split": own.split, "seed": own.seed}
    try:
        configured = gin.get_configurable(f"train/{utils.__name__}.DatasetConfig")
    except ValueError as error:
        raise InputError(
            "--gin_file: no file says what to read; add a run file such as recipes/commit.gin"
        ) from error
    for name in task:
        names.register_named(name)
    cfg = configured(*task, **{name: v for name, v in others.items() if v is not None})
    provider = utils.get_mixture_or_task(cfg)
    if own.split is None and cfg.split not in provider.splits:
        cfg = dataclasses.replace(cfg, split=sorted(provider.splits)[-1])
    if own.sequence_length:
        lengths = dict.fromkeys([*provider.output_features, "row"], own.sequence_length)
        cfg = dataclasses.replace(cfg, task_feature_lengths=lengths)
    return cfg


def _write(name: str, text: str) -> None:
    """Writes a file aside and moves it into place."""
    path = pathlib.Path(name).expanduser()
    aside = path.with_name(f"{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise InputError(f"{path}: can't be written ({error.strerror}); choose another") from error
