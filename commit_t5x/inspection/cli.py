"""`commit-t5x inspect`: shows what a run would train on."""

import argparse
import json
import pathlib
from collections.abc import Sequence

from commit_t5x import arguments, disk, quiet, ranges

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


def main(argv: Sequence[str]) -> None:
    """Runs the command with its arguments; raises InputError on bad input."""
    args = _parse(argv)
    html, report = (name and pathlib.Path(name).expanduser() for name in (args.html, args.json))
    for flag, path, mark in (("--html", html, "<!doctype html>"), ("--json", report, '"epoch"')):
        if path:
            disk.check_own(flag, path, mark)
    with quiet.native_stderr_closed():  # TensorFlow greets
        import rich.console  # here, like the others: they take seconds to load

        from commit_t5x.inspection import runs, view
    options = ("split", "seed", "sequence_length", "num_examples", "report_examples", "start")
    with rich.console.Console(stderr=True).status("Reading examples ..."):
        inspection = runs.inspect_run(
            args.task,
            args.gin_file,
            args.gin_bindings,
            args.gin_search_paths,
            **{name: getattr(args, name) for name in (*options, "epoch")},
        )
    note = runs.note(args.task, args.gin_file, args.gin_bindings)
    # Files first: who reads the terminal form may go away in mid-text.
    if html:
        disk.write(html, view.page(inspection, note))
    if report:
        text = json.dumps(inspection.to_json(), ensure_ascii=False, indent=2)
        disk.write(report, f"{text}\n")
    view.show(inspection, note, args.width)
    for name in filter(None, (args.html, args.json)):
        print(f"Wrote {name}")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    from commit_t5x.engine import gin_utils

    parser = argparse.ArgumentParser(add_help=False)
    add = parser.add_argument
    count = {"type": arguments.of(ranges.Count), "metavar": "N"}
    positive = {"type": arguments.of(ranges.Positive), "metavar": "N"}
    seed = {"type": arguments.of(ranges.Seed), "metavar": "N"}
    add("task", nargs="?", metavar="TASK", help="task or mixture (default: the gin files')")
    add("--num_examples", default=3, **count, help="examples to show of each task (default: 3)")
    add("--start", default=0, **count, help="examples to pass over (default: 0)")
    add("--split", help="train, validation or test (default: the gin files')")
    add("--seed", **seed, help="of the data set (default: the gin files')")
    add("--epoch", default=0, **count, help="pass over the data (default: 0)")
    add("--sequence_length", **positive, help="tokens of a row (default: the gin files')")
    report = "examples to report on; 0 for no report (default: 1000)"
    add("--report_examples", default=1000, **count, help=report)
    add("--html", metavar="FILE", help="also write a page, with the tokens")
    add("--json", metavar="FILE", help="also write the report as JSON")
    add("--width", **positive, help="columns (default: the terminal's)")
    return gin_utils.parse_flags(
        argv,
        prog="commit-t5x inspect",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        parents=[parser],
    )
