"""What the YAML tasks in tasks/lm_eval call: questions with their prompts, texts, and scores.

lm-eval hands `custom_dataset` the task's `dataset_kwargs` together with the run's metadata, which
is the way in for data and labels: `commit-t5x lm-eval --data-dir DIR --labels FILE`, or
`lm_eval --metadata '{"data_dir": "DIR", "labels": "FILE"}'` with lm-eval's own command.
"""

import functools
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import datasets
from lm_eval.tasks import manager

from commit_t5x import errors, resources
from commit_t5x.data import data_files, qa_diagnostics, qa_metrics, qa_prompts, records, sources

# MLQA's own name of a split, as its files carry it, by the hub's.
_MLQA_FILE_SPLITS = {"test": "test", "validation": "dev"}
# Where the official archives keep their files below the folder that they unpack to.
_SUBFOLDERS = (".", "xquad", "mlqa", "test", "dev", "MLQA_V1/test", "MLQA_V1/dev")


def task_config(name: str) -> dict[str, Any] | None:
    """Returns lm-eval's configuration of a task in a language that has no YAML file, or None.

    Such tasks are `ogx_xquad_{language}`, with English labels `ogx_xquad_en{language}`, and
    `ogx_text_{language}`.

    Example:
      >>> task_config("ogx_xquad_ensw")["dataset_kwargs"]
      {'language': 'sw', 'label_language': 'en'}
    """
    match = re.fullmatch(f"ogx_(?:(text)|xquad)_(?(1)|(en)?)({qa_prompts.LANGUAGE_CODE})", name)
    if match is None:
        return None
    text, english, language = match.groups()
    config = manager.load_yaml(resources.path("tasks") / "lm_eval" / f"_{text or 'xquad'}")
    options = {"language": language}
    if not text:
        options["label_language"] = english or language
    return {**config, "task": name, "dataset_kwargs": options}


def load_xquad(
    *,
    language: str,
    label_language: str,
    data_dir: str | None = None,
    labels: str | None = None,
    **_unused: Any,
) -> dict[str, datasets.Dataset]:
    """Returns XQuAD's questions as lm-eval wants them.

    Args:
      language: of the questions and contexts.
      label_language: of the prompt's labels.
      data_dir: a folder with `xquad.{language}.json`, such a file, or the word "samples" for the
        shipped ones; None means the hub.
      labels: a file with labels of one's own, see `qa_prompts.get_labels`.

    Returns:
      `{"validation": rows}`; a row has id, prompt, answers, context, question, language and the
      scripts that the language is written in.

    Raises:
      InputError: a file is missing or malformed, there are no labels, or the hub can't be reached.
    """
    rows = _questions(
        *(data_dir, f"xquad.{language}.json", language),
        lambda: sources.xquad_examples(language, "validation"),
    )
    found = qa_prompts.get_labels(label_language, labels)
    return {"validation": _dataset("xquad", language, found, rows)}


def load_mlqa(
    *,
    language: str,
    label_language: str,
    split: str,
    data_dir: str | None = None,
    labels: str | None = None,
    **_unused: Any,
) -> dict[str, datasets.Dataset]:
    """Returns one split of MLQA, questions and contexts in the same language.

    Args:
      language: of the questions and contexts.
      label_language: of the prompt's labels.
      split: test or validation (whose file says dev).
      data_dir: as `load_xquad`'s, for `{test|dev}-context-{language}-question-{language}.json`.
      labels: as `load_xquad`'s.

    Returns, raises: as `load_xquad` does; the key is `split`.
    """
    name = f"{_MLQA_FILE_SPLITS[split]}-context-{language}-question-{language}.json"
    rows = _questions(
        *(data_dir, name, language),
        lambda: sources.mlqa_examples(language, split),
    )
    found = qa_prompts.get_labels(label_language, labels)
    return {split: _dataset("mlqa", language, found, rows)}


def load_text(
    *, language: str, data_dir: str | None = None, **_unused: Any
) -> dict[str, datasets.Dataset]:
    """Returns the documents of a text file, or of records with `text`.

    Args:
      language: of the text.
      data_dir: a folder with `{language}.txt`, such a file (or JSON, JSONL, Parquet), or "samples".

    Returns:
      `{"validation": rows}`; a row has `text`.

    Raises:
      InputError: no data_dir, no such file, or a record without text.
    """
    name = f"{language}.txt"
    if data_dir is None:
        raise errors.InputError(f"ogx_text_{language}: no text; pass {name} as --data-dir")
    # Another folder's Wikipedia is what models are aligned on.
    place = _find(data_dir, f"wikipedia.{name}" if data_dir == "samples" else name, language)
    rows = [dict(sources.document(*found)) for found in records.read_records(place)]
    if not rows:
        raise errors.InputError(f"{place}: holds no text; put held-out text there")
    for number, row in enumerate(rows, 1):
        if not row["text"].strip():
            raise errors.InputError(f"{place}: document {number} is empty; take it out")
    return {"validation": datasets.Dataset.from_list(rows)}


def score_xquad(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """lm-eval's `process_results`: SQuAD v1.1's scores, and diagnostics, of the one answer."""
    official = qa_metrics.squad_scores(results[0], doc["answers"])
    return {**official, **_diagnostics(doc, results[0])}


def score_mlqa(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """lm-eval's `process_results`: MLQA's scores, by the language of the row, and diagnostics."""
    official = qa_metrics.mlqa_scores(results[0], doc["answers"], doc["language"])
    return {**official, **_diagnostics(doc, results[0])}


def score_text(doc: Mapping[str, Any], results: Sequence[float]) -> dict[str, tuple[float, int]]:
    """lm-eval's `process_results`: log-likelihood and UTF-8 bytes, which its metrics sum."""
    return {"bits_per_byte": (results[0], len(doc["text"].encode("utf-8")))}


def _diagnostics(doc: Mapping[str, Any], answer: str) -> dict[str, float]:
    fields = {name: doc[name] for name in ("answers", "context", "language", "scripts")}
    return qa_diagnostics.diagnostics(answer, **fields)


def _dataset(
    family: str, language: str, labels: qa_prompts.Labels, rows: Sequence[Mapping[str, Any]]
) -> datasets.Dataset:
    prompt = functools.partial(qa_prompts.qa_prompt, family, labels)
    scripts = qa_diagnostics.main_scripts(row["context"] for row in rows)
    return datasets.Dataset.from_list(
        [
            {
                "id": row["id"],
                "prompt": prompt(row["context"], row["question"]),
                "answers": list(row["answers"]),
                "context": row["context"],
                "question": row["question"],
                "language": language,
                "scripts": scripts,
            }
            for row in rows
        ]
    )


def _questions(
    data_dir: str | None,
    file_name: str,
    language: str,
    default: Callable[[], Iterable[Mapping[str, Any]]],
) -> list[Mapping[str, Any]]:
    """Reads the file from `data_dir`, or where the gin macros say: by default, from the hub."""
    if data_dir is None:
        place = file_name
        try:
            rows = list(default())
        except errors.InputError as error:
            raise errors.InputError(
                f"{error}; for lm-eval, pass the folder with {file_name} as --data-dir"
            ) from error
    else:
        place = _find(data_dir, file_name, language)
        rows = list(sources.squad_examples(place))
    for row in rows:
        if not row["answers"]:
            raise errors.InputError(f"{place}: question {row['id']} has no answers; mend the file")
    if not rows:
        raise errors.InputError(f"{place}: holds no questions; put the official file there")
    return rows


def _find(data_dir: str, file_name: str, language: str) -> pathlib.Path:
    """Returns the file `data_dir`, or the one of this name in the folder `data_dir`."""
    place = resources.path("samples") if data_dir == "samples" else pathlib.Path(data_dir)
    if place.is_file():
        data_files.check_language(str(place), "--data-dir", language)
        return place
    for folder in _SUBFOLDERS:
        if (path := place / folder / file_name).is_file():
            return path
    raise errors.InputError(
        f"{place / file_name}: no such file; put the official {file_name} there, "
        "or point --data-dir elsewhere"
    )
