"""`commit-t5x report`: result files of lm-eval as the paper's tables, with bootstrap intervals."""

import argparse
import pathlib
from collections.abc import Sequence

from commit_t5x import arguments, disk, errors, ranges
from commit_t5x.evaluation import comparison, report_formats, results


def report(
    paths: Sequence[str | pathlib.Path],
    formats: Sequence[str] = ("markdown",),
    output_dir: str | pathlib.Path | None = None,
    metrics: Sequence[str] = (),
) -> results.Report:
    """Makes tables of result files.

    Args:
      paths: result files, or folders that are searched for them, subfolders included.
      formats: of markdown, latex, csv and png.
      output_dir: gets report.md, report.tex, report.csv and report.png, as asked for; without it
        the formats are printed.
      metrics: as `results.load`'s.

    Returns:
      What the tables show.

    Raises:
      InputError: no results found, a file that isn't one, or png without output_dir.
    """
    made = results.load(paths, metrics)
    if output_dir is not None:
        write(made, formats, output_dir, paths)
        return made
    for name in formats:
        renderer = report_formats.FORMATS[name]
        if renderer.is_binary:
            raise errors.InputError(f"format {name}: needs a place for it; add --output_dir DIR")
        print(renderer.render(made), end="")
    return made


def write(
    made: results.Report,
    formats: Sequence[str],
    output_dir: str | pathlib.Path,
    sources: Sequence[str | pathlib.Path] = (),
) -> None:
    """Writes a report's files; see `report`. `sources` are what was read."""
    for name in formats:
        renderer = report_formats.FORMATS[name]
        path = pathlib.Path(output_dir) / f"report{renderer.suffix}"
        disk.check_apart("--output_dir", path, *sources)
        disk.write(path, renderer.render(made))
        print(f"Wrote {path}")


_DESCRIPTION = "Make tables of lm-eval's result files: a row for each run, EM and F1 by task."
_EXAMPLE = """example:
  commit-t5x report runs/alpaca runs/commit
  commit-t5x report runs --format markdown latex csv png --output_dir runs/report
  commit-t5x report runs --metrics all
  commit-t5x report --compare runs/alpaca runs/commit

± is half the width of a score's 95 % bootstrap interval over the questions, and over the seeds
where a folder holds seed_0.json, seed_1.json, ... of one run; the CSV has its bounds.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `commit-t5x report`."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("paths", nargs="*", metavar="DIR", help="folders or files of results")
    parser.add_argument(
        "--format",
        nargs="+",
        choices=tuple(report_formats.FORMATS),
        default=["markdown"],
        help="what to make (default: markdown)",
    )
    parser.add_argument(
        "--output_dir", "--output-dir", metavar="DIR", help="where to put report.md and so on"
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        default=[],
        metavar="NAME",
        help="which to show, or 'all' (default: the tasks' official ones)",
    )
    parser.add_argument(
        "--compare",
        nargs=2,
        metavar=("A", "B"),
        help="two runs question by question, by a paired bootstrap, instead of a table",
    )
    parser.add_argument(
        "--questions",
        type=arguments.of(ranges.Count),
        default=5,
        metavar="N",
        help="of those that changed most, how many --compare shows (default: 5)",
    )


def main(args: argparse.Namespace) -> None:
    """Runs the command; raises InputError on bad input."""
    if bool(args.compare) == bool(args.paths):
        raise errors.InputError("report: name folders of results, or two runs behind --compare")
    if args.compare:
        print(comparison.compare(*args.compare, args.metrics, args.questions), end="")
    else:
        report(args.paths, args.format, args.output_dir, args.metrics)
