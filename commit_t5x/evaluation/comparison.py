"""Two runs against each other, question by question: `commit-t5x report --compare A B`."""

import dataclasses
import json
import logging
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tabulate

from commit_t5x import disk
from commit_t5x.errors import InputError
from commit_t5x.evaluation import bootstrap, report_formats, results

_LOGGER = logging.getLogger(__name__)

# Where these differ, the runs didn't answer the same questions.
_SAME = ("task version", "questions", "shots", "prompts")
_SHOWN = 160  # characters of a prompt's end, and of an answer


@dataclasses.dataclass(frozen=True)
class Difference:
    """How the second run's metric differs from the first's on one task, over the same questions.

    Attributes:
      first, second: the means over the questions.
      low, high: the 95 % percentile interval of second - first, by the paired bootstrap over the
        questions and, of each run by itself, over its seeds.
      p: of the two-sided test that there is no difference, from the same resamples.
      changes: second - first for each question, of several seeds the means.
    """

    task: str
    metric: str
    first: float
    second: float
    low: float
    high: float
    p: float
    changes: Sequence[float]


def compare(
    first: str | pathlib.Path,
    second: str | pathlib.Path,
    metrics: Sequence[str] = (),
    questions: int = 5,
) -> str:
    """Returns, as Markdown, what the second run does differently on the tasks of both.

    Args:
      first, second: a result file, or a folder that holds one.
      metrics: as `results.load`'s.
      questions: how many to show of those that changed most, with the answers of both runs where
        `lm-eval --log_samples` kept them.

    Raises:
      InputError: not one result file each, no task in common, no scores of each question, or
        other questions.

    Example:
      | xquad_hi    |   alpaca |   commit |   difference | 95 % interval   |     p |
      |:------------|---------:|---------:|-------------:|:----------------|------:|
      | exact_match |     31.0 |     34.0 |         +3.0 | +1.1 to +4.9    | 0.002 |
    """
    files = list(map(_only_file, (first, second)))
    names = results.run_names([file for file, _ in files])
    ours, theirs = (content for _, content in files)
    tasks = shared_tasks(ours, theirs)
    if not tasks:
        raise InputError(
            f"{first}, {second}: no task in common with scores of each question; score both by "
            "commit-t5x lm-eval"
        )
    there = {task: shared_metrics(ours, theirs, task) for task in tasks}
    keep = results.chosen(dict.fromkeys(sum(there.values(), [])), metrics)
    parts = []
    for task in tasks:
        if not keep.intersection(there[task]):
            continue
        found = differences(ours, theirs, task, keep.intersection(there[task]))
        parts += [_table(found, names), *notes(ours, theirs, task)]
        samples = dict(_samples(n, *file, task) for n, file in zip(names, files, strict=True))
        parts.append(_most_changed(found, samples, questions))
    alone = {*ours.get(results.SAMPLE_SCORES, {})} ^ {*theirs.get(results.SAMPLE_SCORES, {})}
    if alone:
        parts.append(f"Only one of them has {', '.join(sorted(alone))}.")
    return "\n\n".join(parts) + "\n"


def shared_tasks(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Returns the tasks for which both result files hold the scores of each question."""
    ours, theirs = (one.get(results.SAMPLE_SCORES, {}) for one in (first, second))
    return [task for task in ours if ours[task] and theirs.get(task)]


def shared_metrics(first: Mapping[str, Any], second: Mapping[str, Any], task: str) -> list[str]:
    """Returns the metrics of a task that both result files hold for each question."""
    ours, theirs = (one.get(results.SAMPLE_SCORES, {}).get(task, {}) for one in (first, second))
    return [metric for metric in ours if metric in theirs]


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], task: str, metrics: Iterable[str] = ()
) -> list[Difference]:
    """Returns the difference in each metric that both result files hold for each question."""
    for name in _SAME:
        ours, theirs = (results.conditions_of(one, task).get(name) for one in (first, second))
        if ours != theirs:
            raise InputError(
                f"{task}: {name} {theirs} instead of {ours}; compare runs on the same questions"
            )
    shared = shared_metrics(first, second, task)
    keep = results.chosen(shared, list(metrics))
    return [
        _difference(
            task, name, *(one[results.SAMPLE_SCORES][task][name] for one in (first, second))
        )
        for name in shared
        if name in keep
    ]


def _difference(task: str, metric: str, first: Sequence, second: Sequence) -> Difference:
    """Compares scores, each [questions] or [seeds, questions]."""
    ours, theirs = bootstrap.means(first, second)
    means = np.round(theirs - ours, 9)  # what is equal but for the order of adding up
    low, high = np.percentile(means, (2.5, 97.5))
    beyond = min(np.sum(means <= 0), np.sum(means >= 0))
    p = min(1.0, 2 * (1 + beyond) / (1 + len(means)))
    by_question = [np.atleast_2d(one).mean(axis=0) for one in (first, second)]
    value = [float(one.mean()) for one in by_question]
    changes = np.round(by_question[1] - by_question[0], 9).tolist()
    return Difference(task, metric, *value, float(low), float(high), float(p), changes)


def _only_file(path: str | pathlib.Path) -> tuple[pathlib.Path, Mapping[str, Any]]:
    found = results.read([path])
    if len(found) > 1:
        raise InputError(f"{path}: holds {len(found)} result files; name one of them")
    return next(iter(found.items()))


def summary(pairs: Mapping[tuple[str, str], Sequence[Difference]]) -> str:
    """Returns a Markdown table of the differences that pairs of runs have.

    Args:
      pairs: (first run, second run) -> what `differences` found.

    Example:
      | run    | against   | task     | metric      |   difference | 95 % interval   |      p |
      |:-------|:----------|:---------|:------------|-------------:|:----------------|-------:|
      | commit | alpaca    | xquad_hi | exact_match |         +3.0 | +1.1 to +4.9    | 0.0020 |
    """
    rows = [
        [second, first, one.task.removeprefix("ogx_"), one.metric, *_cells(one)]
        for (first, second), found in pairs.items()
        for one in found
    ]
    header = ["run", "against", "task", "metric", *_CELLS]
    return tabulate.tabulate(rows, header, "pipe", disable_numparse=True, colalign=_sides(4))


_CELLS = ("difference", "95 % interval", "p")


def _cells(one: Difference) -> list[str]:
    digits = _digits(one)
    interval = f"{one.low:+.{digits}f} to {one.high:+.{digits}f}"
    return [f"{one.second - one.first:+.{digits}f}", interval, f"{one.p:.4f}"]


def _digits(one: Difference) -> int:
    return report_formats.decimals(one.metric, (one.first, one.second))


def _sides(texts: int, numbers: int = 0) -> list[str]:
    return [*["left"] * texts, *["right"] * (numbers + 1), "left", "right"]


def _table(found: Sequence[Difference], names: Sequence[str]) -> str:
    rows = [
        [
            one.metric,
            *(f"{mean:.{_digits(one)}f}" for mean in (one.first, one.second)),
            *_cells(one),
        ]
        for one in found
    ]
    header = [found[0].task.removeprefix("ogx_"), *names, *_CELLS]
    return tabulate.tabulate(rows, header, "pipe", disable_numparse=True, colalign=_sides(1, 2))


def notes(first: Mapping[str, Any], second: Mapping[str, Any], task: str) -> list[str]:
    """Says what else differs, which may explain the difference."""
    ours, theirs = (results.conditions_of(one, task) for one in (first, second))
    return [
        f"{name}: {ours[name]} and {theirs[name]}."
        for name in ours
        if name in theirs and ours[name] != theirs[name]
    ]


def _samples(
    name: str, file: pathlib.Path, content: Mapping[str, Any], task: str
) -> tuple[str, list[Mapping[str, Any]]]:
    """Returns a run's name, and its logged questions in the order of the scores.

    Of several seeds, those of the first, which the name says then. None if they weren't kept, or
    are of other scores: a model that was scored again without --log_samples leaves them behind.
    """
    if seeds := content.get(results.SEEDS):
        seed = seeds[task].partition(",")[0]
        name, file = f"{name}, seed {seed}", file / f"seed_{seed}.json"
        content = disk.read_json(file)
    path = results.samples_path(file, task)
    if not path.is_file():
        return name, []
    rows: dict[int, Mapping[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows.setdefault(row["doc_id"], row)  # of several filters, the first
    kept = [rows[place] for place in sorted(rows)]
    for metric, scores in content[results.SAMPLE_SCORES][task].items():
        own = [row[metric] for row in kept if isinstance(row.get(metric), int | float)]
        if own and (len(own) != len(scores) or not np.allclose(own, scores, rtol=0, atol=1e-3)):
            _LOGGER.warning(
                "%s: holds other answers than those that %s was scored by, and isn't shown; score "
                "again with --log_samples",
                *(path, file),
            )
            return name, []
    return name, kept


def _most_changed(
    found: Sequence[Difference], samples: Mapping[str, Sequence[Mapping[str, Any]]], count: int
) -> str:
    """Counts the questions whose scores, summed, rose and fell; shows those that changed most."""
    changes = np.array([one.changes for one in found])  # [metrics, questions]
    total = changes.sum(axis=0)
    lines = [
        f"{np.sum(total > 0)} questions score higher, {np.sum(total < 0)} lower, "
        f"{np.sum(total == 0)} the same."
    ]
    for place in np.argsort(-np.abs(total), kind="stable")[:count]:
        if not total[place]:
            break
        moved = ", ".join(f"{one.metric} {one.changes[place]:+.{_digits(one)}f}" for one in found)
        lines += [f"- question {place + 1}: {moved}"]
        if all(samples.values()):
            rows = {name: kept[place] for name, kept in samples.items()}
            sample = next(iter(rows.values()))
            lines.append(f"  - asked: {_line(sample['arguments'][0][0], end=True)}")
            lines.append(f"  - gold: {_line(sample['target'])}")
            lines += [
                f"  - {name}: {_line(row['filtered_resps'][0])}" for name, row in rows.items()
            ]
    if not all(samples.values()):
        lines.append("(lm-eval --log_samples keeps the questions and answers, to be shown here.)")
    return "\n".join(lines)


def _line(value: Any, end: bool = False) -> str:
    """Returns a prompt's end or an answer on one line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    if len(text) <= _SHOWN:
        return text
    return f"... {text[-_SHOWN:]}" if end else f"{text[:_SHOWN]} ..."
