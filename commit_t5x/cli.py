"""The `commit-t5x` command: finds the subcommand, and gives bad input one line and exit code 2."""

import argparse
import errno
import gc
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from commit_t5x import __version__, compilation_cache, errors, out_of_memory, quiet, sigterm

# Subcommand -> (module or module:function, what it does). A module has `main(argv)`, or
# `add_arguments(parser)` and `main(args)`; a function is given the arguments.
COMMANDS = {
    "train": ("commit_t5x.engine.cli:train", "train by gin files: COMMIT, alignment, or your own"),
    "eval": ("commit_t5x.engine.cli:evaluate", "score a checkpoint on a SeqIO task"),
    "infer": ("commit_t5x.engine.cli:infer", "let a checkpoint answer"),
    "inspect": ("commit_t5x.inspection.cli", "show what a run would train on, and report the mix"),
    "convert": ("commit_t5x.conversion.cli", "convert checkpoints from and to other formats"),
    "plan": ("commit_t5x.planning.cli", "find out whether a run fits a TPU or a GPU, without one"),
    "lm-eval": ("commit_t5x.evaluation.cli", "run EleutherAI's lm-eval with the paper's tasks"),
    "report": ("commit_t5x.evaluation.report", "turn result files into tables and a plot"),
    "table": ("commit_t5x.tables.cli", "make a table of the paper: train its rows, score, compare"),
    "dicts": ("commit_t5x.dictionaries.cli", "fetch, import, join and check dictionaries"),
    "vocab": ("commit_t5x.extension.cli", "report on a tokenizer, and lengthen it for a language"),
}

_EXAMPLE = """\
example:
  commit-t5x train --gin_file=quickstart.gin --gin.MODEL_DIR="'out'"

`commit-t5x COMMAND --help` shows a command's own flags and an example.
--traceback before the command shows where an input error arose."""


def entry_point(*prefix: str) -> int:
    """Runs the process's own arguments, after those of `prefix`; what the console script calls."""
    # Imports and traces make many objects and next to no garbage: looking for it less often takes
    # a tenth of what a command needs to begin.
    gc.set_threshold(10_000, 20, 50)
    try:
        try:
            return main([*prefix, *sys.argv[1:]])
        finally:
            # The interpreter looks for garbage once more when it ends: half a second, with JAX.
            gc.freeze()
            if sys.stdout is not None:  # as where the caller closed it
                sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`); nothing more can be said.
        _discard_output()
        return 0
    except OSError as error:
        # Of other files `run` has told, unless it is to show where.
        if error.errno != errno.ENOSPC or sys.argv[1:2] == ["--traceback"]:
            raise
        _discard_output()
        print("commit-t5x: error: the output's disk is full; write it elsewhere", file=sys.stderr)
        return 2


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main(argv: Sequence[str]) -> int:
    """Runs a subcommand.

    Args:
      argv: the arguments.

    Returns:
      The exit code: 0, or 2 for bad input. argparse exits by itself, with 0 or 2.
    """
    arguments = list(argv)
    traceback = arguments[:1] == ["--traceback"]
    arguments = arguments[traceback:]
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if arguments[0] == "--version":
        print(f"commit-t5x {__version__}")
        return 0
    command, *rest = arguments
    if command not in COMMANDS:
        print(f"commit-t5x: error: no command {command!r}\n\n{_help()}", file=sys.stderr)
        return 2
    return run(COMMANDS[command][0], rest, command=command, traceback=traceback)


def run(home: str, argv: Sequence[str], *, command: str = "", traceback: bool = False) -> int:
    """Runs what does a subcommand; prints an input error as one line and returns 2."""
    quiet.silence_libraries()
    compilation_cache.enable()
    try:
        with sigterm.calls(_stop):
            return _run(home, argv, command)
    except KeyboardInterrupt:
        print("commit-t5x: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # of our output: entry_point's to deal with
        raise
    except Exception as error:  # to tell bad input from a bug; a bug goes on with its traceback
        message = errors.message(error) or out_of_memory.message(error, command)
        if isinstance(error, AssertionError) and not traceback:
            reason = str(error).partition("\n")[0] or "an assertion"
            print(
                f"commit-t5x: {reason} failed: a bug of ours, or an input that nobody thought of; "
                f"commit-t5x --traceback {command} ... shows where; please report it",
                file=sys.stderr,
            )
            return 1
        if message is None or traceback:
            raise
        print(f"commit-t5x: error: {message}", file=sys.stderr)
        return 2


def _run(home: str, argv: Sequence[str], command: str) -> int:
    module_name, _, function = home.partition(":")
    module = importlib.import_module(module_name)
    if hasattr(module, "add_arguments"):
        parser = argparse.ArgumentParser(prog=f"commit-t5x {command}", allow_abbrev=False)
        module.add_arguments(parser)
        module.main(parser.parse_args(argv))
    else:
        getattr(module, function or "main")(argv)
    return 0


def _stop(number: int, frame: object) -> NoReturn:
    """Ends what runs by way of its clean-up; training saves before."""
    del frame
    raise SystemExit(128 + number)


def _help() -> str:
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:{width}}  {does}" for name, (_, does) in COMMANDS.items())
    return f"usage: commit-t5x [--traceback] COMMAND ...\n\ncommands:\n{commands}\n\n{_EXAMPLE}"


if __name__ == "__main__":
    sys.exit(entry_point())
