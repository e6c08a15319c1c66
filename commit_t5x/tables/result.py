"""A table at its end: the scores of its rows, and their paired tests."""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from commit_t5x import disk
from commit_t5x.evaluation import comparison, report, report_formats, results
from commit_t5x.tables.rows import Row
from commit_t5x.tables.stages import Stage


def write(
    table: Mapping[str, Row], chosen: Sequence[str], stages: Sequence[Stage], folder: pathlib.Path
) -> None:
    """Prints the scores and the tests, and writes them to a folder in each of `report`'s formats.

    Rows without scores are gaps. Without any score nothing is done.
    """
    files = {
        row: [s.output for s in stages if s.row == row and s.kind == "score" and s.done()]
        for row in chosen
    }
    scored = {row: outputs for row, outputs in files.items() if outputs}
    if not scored:
        return
    made = results.load([output for outputs in scored.values() for output in outputs])
    # A single run has the name of its file.
    made = dataclasses.replace(made, runs=list(chosen))
    print(report_formats.to_markdown(made))
    report.write(made, formats(), folder)
    pairs = _pairs(table, {row: _content(outputs) for row, outputs in scored.items()})
    if pairs:
        tests = comparison.summary(pairs)
        print(f"\n{tests}\n")
        disk.write(folder / "comparisons.md", f"{tests}\n")
        print(f"Wrote {folder / 'comparisons.md'}")


def formats() -> list[str]:
    """Returns those of `report`'s formats that can be made here: a plot needs matplotlib."""
    can_plot = importlib.util.find_spec("matplotlib") is not None
    return [name for name, one in report_formats.FORMATS.items() if can_plot or not one.is_binary]


def _content(outputs: Sequence[pathlib.Path]) -> Mapping[str, Any]:
    [content] = results.read(outputs).values()
    return content


def _pairs(
    table: Mapping[str, Row], contents: Mapping[str, Mapping[str, Any]]
) -> dict[tuple[str, str], list[comparison.Difference]]:
    pairs = {}
    for name, row in table.items():
        if name in contents and row.compared_with in contents:
            first, second = contents[row.compared_with], contents[name]
            tasks = comparison.shared_tasks(first, second)
            found = [comparison.differences(first, second, task) for task in tasks]
            pairs[row.compared_with, name] = [one for of_task in found for one in of_task]
    return pairs
