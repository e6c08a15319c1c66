"""A table at its end: the scores of its rows, and their paired tests."""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from commit_t5x import disk
from commit_t5x.errors import InputError
from commit_t5x.evaluation import comparison, report, report_formats, results
from commit_t5x.tables.rows import Row
from commit_t5x.tables.stages import Stage


def write(
    table: Mapping[str, Row],
    chosen: Sequence[str],
    contents: Mapping[str, Mapping[str, Any]],
    folder: pathlib.Path,
) -> None:
    """Prints the scores and the tests, and writes them to a folder in each of `report`'s formats.

    Args:
      table: all rows.
      chosen: those of the table; without scores they are gaps.
      contents: see scored; without any nothing is done.
      folder: of the report.
    """
    if not contents:
        return
    write_scores(contents, chosen, folder)
    path = folder / "comparisons.md"
    path.unlink(missing_ok=True)  # of a run with more rows
    pairs, remarks = _pairs(table, contents)
    parts = [comparison.summary(pairs)] if pairs else []
    parts += remarks
    if parts:
        text = "\n\n".join(parts)
        print(f"\n{text}\n")
        disk.write(path, f"{text}\n")
        print(f"Wrote {path}")


def scored(
    chosen: Sequence[str], stages: Sequence[Stage]
) -> tuple[dict[str, Mapping[str, Any]], str]:
    """Reads the scores of rows.

    Returns:
      {row: what its result files hold}, its seeds joined, of rows that have scores; and why one
      has none though it was scored, or "".
    """
    contents, problem = {}, ""
    for row in chosen:
        outputs = [s.output for s in stages if s.row == row and s.kind == "score" and s.done()]
        if outputs:
            try:
                [contents[row]] = results.read(outputs).values()
            except InputError as error:
                problem = str(error)
    return contents, problem


def write_scores(
    contents: Mapping[str, Mapping[str, Any]], chosen: Sequence[str], folder: pathlib.Path
) -> None:
    """Prints the scores, and writes them to a folder in each of `report`'s formats."""
    made = dataclasses.replace(results.of(contents), runs=list(chosen))
    print(report_formats.to_markdown(made))
    report.write(made, formats(), folder)


# The keys of a result file below which things stand by task.
_BY_TASK = (
    *("results", "versions", "n-shot", "n-samples", "configs", "higher_is_better"),
    *(results.SAMPLE_SCORES, results.PROMPTS, results.SEEDS),
)


def union(
    contents: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> dict[str, dict[str, Any]]:
    """Joins what result files of several languages hold; a task of several is named for each.

    Args:
      contents: row -> language -> what a file holds.

    Example, of the tasks of the results:
      >>> union({"commit": {"hi": {"results": {"xquad_hi": {}, "xquad_en": {}}},
      ...                   "el": {"results": {"xquad_en": {}}}}})["commit"]["results"].keys()
      dict_keys(['xquad_hi', 'xquad_en (hi)', 'xquad_en (el)'])
    """
    languages: dict[str, set[str]] = {}
    for of_row in contents.values():
        for language, one in of_row.items():
            for task in one["results"]:
                languages.setdefault(task, set()).add(language)
    return {row: _union(of_row, languages) for row, of_row in contents.items()}


def _union(
    contents: Mapping[str, Mapping[str, Any]], languages: Mapping[str, Collection[str]]
) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for language, one in contents.items():
        for key, value in one.items():
            if key in _BY_TASK:
                joined.setdefault(key, {}).update(
                    {
                        f"{task} ({language})" if len(languages[task]) > 1 else task: of_task
                        for task, of_task in value.items()
                    }
                )
            else:
                joined.setdefault(key, value)
    return joined


def formats() -> list[str]:
    """Returns those of `report`'s formats that can be made here: a plot needs matplotlib."""
    can_plot = importlib.util.find_spec("matplotlib") is not None
    return [name for name, one in report_formats.FORMATS.items() if can_plot or not one.is_binary]


def _pairs(
    table: Mapping[str, Row], contents: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[tuple[str, str], list[comparison.Difference]], list[str]]:
    """Returns the differences of rows from those of their tests, and what is to say of them."""
    pairs, remarks = {}, []
    for name, row in table.items():
        against = row.compared_with
        if name not in contents or against is None:
            continue
        if against not in contents:
            remarks.append(f"{name}: not compared: {against} has no scores.")
            continue
        first, second = contents[against], contents[name]
        try:
            tasks = comparison.shared_tasks(first, second)
            found = [comparison.differences(first, second, task) for task in tasks]
        except InputError as error:
            remarks.append(f"{name}: not compared: with {against}, {error}.")
        else:
            pairs[against, name] = [one for of_task in found for one in of_task]
            others = [note for task in tasks for note in comparison.notes(first, second, task)]
            remarks += [f"{against} and {name}: {note}" for note in dict.fromkeys(others)]
    return pairs, remarks
