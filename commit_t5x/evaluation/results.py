"""What result files of lm-eval hold: scores by run, task and metric, with their intervals.

Files `seed_N.json` of one folder are one run, trained with several seeds.
"""

import dataclasses
import hashlib
import json
import math
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pydantic

from commit_t5x import disk, errors
from commit_t5x.data import qa_diagnostics
from commit_t5x.evaluation import bootstrap

# The key of a result file that holds {task: {metric: [score of each question]}}.
SAMPLE_SCORES = "sample_scores"
# The key of a result file that holds {task: a hash of each question's prompt, in their order}.
PROMPTS = "prompts"
# The key of several files' joined content that holds {task: their names}.
SEEDS = "seeds"

# Of the normal distribution: what an interval takes that has a standard error to go by only.
_TWO_SIDED_95 = 1.959963984540054


@dataclasses.dataclass(frozen=True)
class Score:
    """A metric of one run on one task, with the bounds of its 95 % interval.

    The bounds are None where a result file has neither per-question scores nor a standard error.
    """

    value: float
    low: float | None
    high: float | None
    num_samples: int | None


@dataclasses.dataclass(frozen=True)
class Report:
    """A table: a row for each run, a column for each (task, metric).

    Attributes:
      runs: names of the rows.
      columns: (task, metric), in the order of the table; metrics as lm-eval names them.
      scores: by (run, task, metric); a run that skipped a task has none.
      higher_is_better: the columns in which a higher score is the better one.
      conditions: (run, task) -> under what the scores came about, {what: value}.
    """

    runs: list[str]
    columns: list[tuple[str, str]]
    scores: Mapping[tuple[str, str, str], Score]
    higher_is_better: frozenset[tuple[str, str]] = frozenset()
    conditions: Mapping[tuple[str, str], Mapping[str, str]] = dataclasses.field(
        default_factory=dict
    )

    def tasks(self) -> dict[str, list[str]]:
        """Returns {task: its metrics}, in the order of the table."""
        tasks: dict[str, list[str]] = {}
        for task, metric in self.columns:
            tasks.setdefault(task, []).append(metric)
        return tasks

    def unlike(self, run: str, task: str) -> str | None:
        """Says why a run's scores on a task can't be compared with the others'; None if they can.

        The others are those under the conditions that most runs share; of equally many, those with
        the most questions, then seeds.

        Example:
          >>> report.unlike("commit", "ogx_xquad_hi")
          'questions 20 instead of 1190'
        """
        found = [self.conditions[key] for key in self.conditions if key[1] == task]
        own = self.conditions.get((run, task), {})

        def weight(one: Mapping[str, str]) -> tuple[int, int, int]:
            return found.count(one), int(one.get("questions", 0)), len(one.get("seeds", ""))

        usual = max(found, key=weight, default=own)
        differences = [
            f"{name} {own[name]} instead of {usual[name]}"
            for name in own
            if name in usual and own[name] != usual[name]
        ]
        return "; ".join(differences) or None


def load(paths: Sequence[str | pathlib.Path], metrics: Sequence[str] = ()) -> Report:
    """Reads result files.

    Args:
      paths: result files, or folders that are searched for them, subfolders included.
      metrics: those to keep, or "all"; by default, all but `qa_diagnostics.MEASURES`.

    Raises:
      InputError: no results found, a file that doesn't hold any, or a metric that none holds.
    """
    files = read(paths)
    return of(dict(zip(run_names(list(files)), files.values(), strict=True)), metrics)


def of(contents: Mapping[str, Mapping[str, Any]], metrics: Sequence[str] = ()) -> Report:
    """Returns the report of {run: what its result file holds}; see `load`."""
    scores: dict[tuple[str, str, str], Score] = {}
    conditions: dict[tuple[str, str], dict[str, str]] = {}
    higher: set[tuple[str, str]] = set()
    for run, results in contents.items():
        for (task, metric), score in _scores(results):
            scores[run, task, metric] = score
            conditions[run, task] = conditions_of(results, task)
            if results.get("higher_is_better", {}).get(task, {}).get(metric):
                higher.add((task, metric))
    keep = chosen({metric for _, _, metric in scores}, metrics)
    scores = {key: score for key, score in scores.items() if key[2] in keep}
    columns = sorted({(task, metric) for _, task, metric in scores})
    return Report(list(contents), columns, scores, frozenset(higher), conditions)


def read(paths: Sequence[str | pathlib.Path]) -> dict[pathlib.Path, Mapping[str, Any]]:
    """Returns {file, or folder of seeds: what it holds}; see `load`."""
    files = _joined(dict(_result_files(paths)))
    if not files:
        raise errors.InputError(
            f"{', '.join(map(str, paths))}: no result files; make one with "
            "commit-t5x lm-eval --output_path DIR"
        )
    return files


def chosen(there: Iterable[str], metrics: Sequence[str]) -> set[str]:
    """Returns those of the metrics there that `metrics` keeps; see `load`."""
    there = set(there)
    if "all" in metrics:
        return there
    if unknown := set(metrics) - there:
        raise errors.InputError(
            f"metric {min(unknown)!r}: not in the results; use all or some of "
            f"{', '.join(sorted(there))}"
        )
    return set(metrics) or there - set(qa_diagnostics.MEASURES)


def _joined(
    files: Mapping[pathlib.Path, Mapping[str, Any]],
) -> dict[pathlib.Path, Mapping[str, Any]]:
    """Puts what the seeds of a run hold into one place, under their folder."""
    groups: dict[pathlib.Path, dict[str, Mapping[str, Any]]] = {}
    for path, content in files.items():
        seed = re.fullmatch(r"seed_(\d+)", path.stem)
        group = groups.setdefault(path.parent if seed else path, {})
        group[seed[1] if seed else ""] = content
    return {
        place: group[""] if "" in group else _join(place, group) for place, group in groups.items()
    }


def _join(folder: pathlib.Path, seeds: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Returns the means of the seeds' scores, and the scores of each question by seed.

    Raises:
      InputError: they weren't scored under the same conditions.
    """
    [first, *_] = seeds.values()
    joined: dict[str, Any] = {"results": {}, SAMPLE_SCORES: {}, SEEDS: {}}
    for task in dict.fromkeys(task for one in seeds.values() for task in one["results"]):
        of_task = {seed: one for seed, one in seeds.items() if task in one["results"]}
        conditions = {seed: conditions_of(one, task) for seed, one in of_task.items()}
        usual = next(iter(conditions.values()))
        for seed, own in conditions.items():
            if own != usual:
                raise errors.InputError(
                    f"{folder}/seed_{seed}.json: {task}: other questions, prompts or options than "
                    "in the files beside it; score it anew as those were"
                )
        scores = [one["results"][task] for one in of_task.values()]
        joined["results"][task] = {
            key: float(np.mean([one[key] for one in scores]))
            for key, value in scores[0].items()
            if isinstance(value, int | float)
            and "_stderr" not in key
            # One may lack what needs a library that wasn't there.
            and all(key in one for one in scores)
        }
        samples = [one.get(SAMPLE_SCORES, {}).get(task, {}) for one in of_task.values()]
        joined[SAMPLE_SCORES][task] = {
            metric: [one[metric] for one in samples]
            for metric in samples[0]
            if all(one.get(metric) for one in samples)
        }
        joined[SEEDS][task] = ", ".join(sorted(of_task, key=int))
    return {**first, **joined}


def samples_path(results: pathlib.Path, task: str) -> pathlib.Path:
    """Returns where `lm-eval --log_samples` keeps a task's questions, beside a result file."""
    return results.with_name(f"{results.stem}_samples_{task}.jsonl")


def _result_files(
    paths: Iterable[str | pathlib.Path],
) -> Iterator[tuple[pathlib.Path, Mapping[str, Any]]]:
    for path in map(pathlib.Path, paths):
        if path.is_dir():
            for file in sorted(path.rglob("*.json")):
                if b'"results"' in file.read_bytes() and _is_results(results := _read(file)):
                    yield file, results
        elif path.is_file():
            results = _read(path)
            if not _is_results(results):
                raise errors.InputError(
                    f"{path}: not a result file: no key 'results'; name one written by lm-eval"
                )
            yield path, results
        else:
            raise errors.InputError(f"{path}: no such file or folder; name one with result files")


def _read(path: pathlib.Path) -> dict[str, Any]:
    content = disk.read_json(path, "make it anew or move it")
    if _is_results(content):
        try:
            _Results.model_validate(content)
        except pydantic.ValidationError as error:
            [first, *_] = error.errors()
            key = ".".join(map(str, first["loc"]))
            raise errors.InputError(
                f"{path}: {key}: {first['msg'].lower()}; make it anew or move it"
            ) from error
    return content


def _is_results(content: Mapping[str, Any]) -> bool:
    scores = content.get("results")
    return isinstance(scores, dict) and all(isinstance(task, dict) for task in scores.values())


class _Results(pydantic.BaseModel):
    """What is read of a result file besides its scores, each by task."""

    samples: dict[str, dict[str, list[float | None]]] = pydantic.Field({}, alias=SAMPLE_SCORES)
    prompts: dict[str, str] = pydantic.Field({}, alias=PROMPTS)
    counts: dict[str, dict[str, int]] = pydantic.Field({}, alias="n-samples")
    shots: dict[str, Any] = pydantic.Field({}, alias="n-shot")
    versions: dict[str, Any] = {}
    configs: dict[str, dict[str, Any]] = {}
    config: dict[str, Any] = {}
    higher_is_better: dict[str, dict[str, Any]] = {}


def run_names(files: Sequence[pathlib.Path]) -> list[str]:
    """Names runs by their paths, less what all have in common.

    Example: runs/commit/results.json and runs/alpaca/results.json are `commit` and `alpaca`.
    """
    absolute = [file.absolute() for file in files]
    folders = [path.parent for path in absolute]
    names = [
        # A file's own name says something unless it is `results` (or lm-eval's, with a date).
        folder if path.stem.startswith("results") and folders.count(folder) == 1
        else path.with_suffix("")
        for path, folder in zip(absolute, folders, strict=True)
    ]  # fmt: skip
    if len(names) == 1:
        return [names[0].name]
    shared = os.path.commonpath(names)
    return [os.path.relpath(name, shared) if str(name) != shared else name.name for name in names]


def conditions_of(results: Mapping[str, Any], task: str) -> dict[str, str]:
    """Returns what must be the same where scores are compared, as far as the file says."""
    config = results.get("configs", {}).get(task, {})
    found = {
        "task version": results.get("versions", {}).get(task),
        "questions": results.get("n-samples", {}).get(task, {}).get("effective"),
        "shots": results.get("n-shot", {}).get(task),
        "prompts": results.get(PROMPTS, {}).get(task) or config.get("doc_to_text"),
        "generation options": config.get("generation_kwargs"),
        "tokenizer": results.get("config", {}).get("tokenizer"),
        "seeds": results.get(SEEDS, {}).get(task),
    }
    return {
        name: _short(json.dumps(value, ensure_ascii=False, sort_keys=True))
        for name, value in found.items()
        if value is not None
    }


def _short(text: str) -> str:
    """Puts the hash of a long text, such as a template, in its place."""
    text = text.strip('"')
    return text if len(text) <= 80 else hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def _scores(results: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], Score]]:
    sample_scores = results.get(SAMPLE_SCORES, {})
    for task, values in results["results"].items():
        counts = results.get("n-samples", {}).get(task, {})
        seen: set[str] = set()
        for key, value in values.items():
            metric, _, filtered = key.partition(",")
            if not filtered or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            if metric in seen:  # by another filter; the first one's questions are kept
                continue
            seen.add(metric)
            samples = sample_scores.get(task, {}).get(metric, [])
            error = values.get(f"{metric}_stderr,{filtered}")
            if not math.isfinite(value):
                low = high = None
            elif samples:
                low, high = bootstrap.interval(samples)
                low, high = min(low, value), max(high, value)  # the questions' scores are rounded
            elif isinstance(error, int | float):
                low, high = value - _TWO_SIDED_95 * error, value + _TWO_SIDED_95 * error
            else:
                low = high = None
            yield (task, metric), Score(value, low, high, counts.get("effective"))
