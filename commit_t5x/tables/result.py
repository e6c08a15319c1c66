"""A table at its end: the scores of its rows, and their paired tests."""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from commit_t5x import disk
from commit_t5x.errors import InputError
from commit_t5x.evaluation import comparison, report, report_formats, results
from commit_t5x.tables.rows import Row
from commit_t5x.tables.stages import Stage


def write(
    table: Mapping[str, Row], chosen: Sequence[str], stages: Sequence[Stage], folder: pathlib.Path
) -> None:
    """Prints the scores and the tests, and writes them to a folder in each of `report`'s formats.

    Rows without scores are gaps. Without any score nothing is done.
    """
    contents = scored(chosen, stages)
    if not contents:
        return
    write_scores(contents, chosen, folder)
    path = folder / "comparisons.md"
    path.unlink(missing_ok=True)  # of a run with more rows
    pairs, lacking = _pairs(table, contents)
    parts = [comparison.summary(pairs)] if pairs else []
    parts += [f"{name}: not compared: {reason}." for name, reason in lacking.items()]
    if parts:
        text = "\n\n".join(parts)
        print(f"\n{text}\n")
        disk.write(path, f"{text}\n")
        print(f"Wrote {path}")


def scored(chosen: Sequence[str], stages: Sequence[Stage]) -> dict[str, Mapping[str, Any]]:
    """Returns {row: what its result files hold}, its seeds joined, of rows that have scores."""
    contents = {}
    for row in chosen:
        outputs = [s.output for s in stages if s.row == row and s.kind == "score" and s.done()]
        if outputs:
            [contents[row]] = results.read(outputs).values()
    return contents


def write_scores(
    contents: Mapping[str, Mapping[str, Any]], chosen: Sequence[str], folder: pathlib.Path
) -> None:
    """Prints the scores, and writes them to a folder in each of `report`'s formats."""
    made = dataclasses.replace(results.of(contents), runs=list(chosen))
    print(report_formats.to_markdown(made))
    report.write(made, formats(), folder)


def formats() -> list[str]:
    """Returns those of `report`'s formats that can be made here: a plot needs matplotlib."""
    can_plot = importlib.util.find_spec("matplotlib") is not None
    return [name for name, one in report_formats.FORMATS.items() if can_plot or not one.is_binary]


def _pairs(
    table: Mapping[str, Row], contents: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[tuple[str, str], list[comparison.Difference]], dict[str, str]]:
    """Returns the differences of rows from those of their tests, and {row: why it has none}."""
    pairs, lacking = {}, {}
    for name, row in table.items():
        against = row.compared_with
        if name not in contents or against is None:
            continue
        if against not in contents:
            lacking[name] = f"{against} has no scores"
            continue
        first, second = contents[against], contents[name]
        try:
            tasks = comparison.shared_tasks(first, second)
            found = [comparison.differences(first, second, task) for task in tasks]
        except InputError as error:
            lacking[name] = f"with {against}, {error}"
        else:
            pairs[against, name] = [one for of_task in found for one in of_task]
    return pairs, lacking
