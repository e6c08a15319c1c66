"""A report as Markdown, LaTeX, CSV or a bar plot."""

import csv
import dataclasses
import io
import math
import types
from collections.abc import Callable, Iterable, Mapping

import tabulate

from commit_t5x import bar_plot
from commit_t5x.data import qa_diagnostics
from commit_t5x.evaluation.results import Report, Score

_SHORT_NAMES = {"exact_match": "EM", "f1": "F1"}
_PERCENTAGES = {*_SHORT_NAMES, *qa_diagnostics.MEASURES}


@dataclasses.dataclass(frozen=True)
class Format:
    """How a report is written: `render` returns str, or bytes if `is_binary`."""

    suffix: str
    render: Callable[[Report], str | bytes]
    is_binary: bool = False


def to_markdown(report: Report) -> str:
    """Returns an aligned Markdown table; the best of several runs is bold.

    Behind a score stands half the width of its 95 % interval, whose exact bounds the CSV has. A
    letter marks a score that can't be compared with those of the other runs, and notes below the
    table say why.

    Example:
      | run    |   xquad_hi EM |   xquad_hi F1 |
      |:-------|--------------:|--------------:|
      | alpaca |      1.2 ±0.6 |      4.0 ±0.9 |
      | commit |  **6.5** ±1.4 |  **9.2** ±1.5 |
    """
    header = ["run", *(f"{_title(task)} {_short(metric)}" for task, metric in report.columns)]
    header = list(map(_plain_cell, header))
    notes = _notes(report)
    rows = [
        [
            _plain_cell(run),
            *(
                _cell(report, run, column, "–", "**{}**", " [{}]", " ±{}")
                for column in report.columns
            ),
        ]
        for run in report.runs
    ]
    sides = ["left", *("right" for _ in report.columns)]
    table = tabulate.tabulate(rows, header, "pipe", disable_numparse=True, colalign=sides)
    below = [f"[{letter}] not compared: {_plain_cell(note)}" for note, letter in notes.items()]
    return "\n".join([table, *(["", *below] if below else [])]) + "\n"


def to_latex(report: Report) -> str:
    """Returns a `tabular` of the booktabs package, tasks above their metrics.

    Behind a score stands, in small type, half the width of its interval as in Markdown.
    """
    spans = report.tasks()
    above = [f"\\multicolumn{{{len(m)}}}{{c}}{{{_escape(_title(t))}}}" for t, m in spans.items()]
    below = [_escape(_short(metric)) for _, metric in report.columns]
    rules, start = [], 2
    for metrics in spans.values():
        rules.append(f"\\cmidrule(lr){{{start}-{start + len(metrics) - 1}}}")
        start += len(metrics)
    lines = [
        f"\\begin{{tabular}}{{l{'r' * len(report.columns)}}}",
        "\\toprule",
        " & ".join(["", *above]) + r" \\",
        "".join(rules),
        " & ".join(["Run", *below]) + r" \\",
        "\\midrule",
    ]
    for run in report.runs:
        cells = (
            _cell(report, run, column, "--", r"\textbf{{{}}}", "$^{{{}}}$", _LATEX_MARGIN)
            for column in report.columns
        )
        lines.append(" & ".join([_escape(run), *cells]) + r" \\")
    below = [
        f"\\\\ {{\\footnotesize $^{{{letter}}}$ not compared: {_escape(note)}}}"
        for note, letter in _notes(report).items()
    ]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", *below]) + "\n"


def to_csv(report: Report) -> str:
    """Returns one line for each score: run, task, metric, value, low, high, num_samples, unlike.

    The last says why a score can't be compared with those of the other runs.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = [field.name for field in dataclasses.fields(Score)]
    writer.writerow(["run", "task", "metric", *fields, "unlike"])
    for (run, task, metric), score in report.scores.items():
        unlike = report.unlike(run, task)
        writer.writerow([run, task, metric, *dataclasses.astuple(score), unlike])
    return text.getvalue()


def to_png(report: Report) -> bytes:
    """Returns a bar plot: a panel for each metric, a group for each task, a bar for each run.

    Bars of scores that can't be compared with the others are hatched.

    Raises:
      InputError: matplotlib isn't installed.
    """
    panels, nan = {}, math.nan
    for metric in sorted({metric for _, metric in report.columns}):
        panels[_short(metric)] = {
            (task, run): (score.value, *(nan if b is None else b for b in (score.low, score.high)))
            for (run, task, name), score in report.scores.items()
            if name == metric and math.isfinite(score.value)
        }
    tasks = report.tasks()
    return bar_plot.png(
        "format png",
        {task: _title(task) for task in tasks},
        report.runs,
        panels,
        {(task, run) for task in tasks for run in report.runs if report.unlike(run, task)},
        "\n".join(f"hatched: not compared: {note}" for note in _notes(report)),
    )


FORMATS: Mapping[str, Format] = types.MappingProxyType(
    {
        "markdown": Format(".md", to_markdown),
        "latex": Format(".tex", to_latex),
        "csv": Format(".csv", to_csv),
        "png": Format(".png", to_png, is_binary=True),
    }
)


def _title(task: str) -> str:
    return task.removeprefix("ogx_")


def _short(metric: str) -> str:
    return _SHORT_NAMES.get(metric, metric)


def decimals(metric: str, scores: Iterable[float]) -> int:
    """Returns how many decimals scores have: percentages one; shares and bits, up to 8, three.

    >>> decimals("bits_per_byte", [1.28, 1.24]), decimals("exact_match", [3.0, 1.0])
    (3, 1)
    """
    return 3 if metric not in _PERCENTAGES and all(score <= 8 for score in scores) else 1


def _number(report: Report, task: str, metric: str, value: float) -> str:
    column = (report.scores.get((run, task, metric)) for run in report.runs)
    return f"{value:.{decimals(metric, [score.value for score in column if score])}f}"


def _cell(
    report: Report,
    run: str,
    column: tuple[str, str],
    missing: str,
    bold: str,
    marked: str,
    margin: str,
) -> str:
    """Returns a score as text, `missing` if there is none; the best of its column in `bold`.

    `marked` takes a note's letter, `margin` half the width of an interval.
    """
    score = report.scores.get((run, *column))
    if score is None:
        return missing
    if not math.isfinite(score.value):
        return "NaN"
    text = _number(report, *column, score.value)
    text = bold.format(text) if _is_best(report, run, *column) else text
    if score.low is not None:
        text += margin.format(_number(report, *column, (score.high - score.low) / 2))
    if note := report.unlike(run, column[0]):
        text += marked.format(_notes(report)[note])
    return text


def _notes(report: Report) -> dict[str, str]:
    """Returns {why scores can't be compared: the letter that marks them}."""
    tasks = report.tasks()
    found = (report.unlike(run, task) for run in report.runs for task in tasks)
    notes = dict.fromkeys(note for note in found if note)
    return {note: chr(ord("a") + place) for place, note in enumerate(notes)}


def _is_best(report: Report, run: str, task: str, metric: str) -> bool:
    if (task, metric) not in report.higher_is_better:
        return False
    mine = report.scores.get((run, task, metric))
    values = [
        score.value
        for other in report.runs
        if (score := report.scores.get((other, task, metric))) is not None
        and math.isfinite(score.value)
        and not report.unlike(other, task)
    ]
    if mine is None or len(values) < 2 or report.unlike(run, task):
        return False
    return mine.value == max(values) > min(values)


def _plain_cell(text: str) -> str:
    """Returns a text that ends no cell of a Markdown table."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


_LATEX_MARGIN = r" {{\scriptsize $\pm${}}}"
_LATEX = {
    **{character: f"\\{character}" for character in "_&%#${}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def _escape(text: str) -> str:
    """Escapes what LaTeX reads as a command."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
