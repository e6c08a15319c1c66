"""What the YAML tasks in tasks/lm_eval call: questions with their prompts, and their scores.

lm-eval hands `custom_dataset` the task's `dataset_kwargs` together with the run's metadata, which
is the way in for the data directory: `commit-t5x lm-eval --data-dir DIR`, or
`lm_eval --metadata '{"data_dir": "DIR"}'` with lm-eval's own command.
"""

import functools
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import datasets

from commit_t5x import errors, resources
from commit_t5x.data import qa_metrics, qa_prompts, sources

# MLQA's own name of a split, as its files carry it, by the hub's.
_MLQA_FILE_SPLITS = {"test": "test", "validation": "dev"}
# Where the official archives keep their files below the folder that they unpack to.
_SUBFOLDERS = (".", "xquad", "mlqa", "test", "dev", "MLQA_V1/test", "MLQA_V1/dev")


def load_xquad(
    *, language: str, label_language: str, data_dir: str | None = None, **_unused: Any
) -> dict[str, datasets.Dataset]:
    """Returns XQuAD's questions as lm-eval wants them.

    Args:
      language: of the questions and contexts.
      label_language: of the prompt's labels.
      data_dir: a folder with `xquad.{language}.json`, such a file, or the word "samples" for the
        shipped ones; None means the hub.

    Returns:
      `{"validation": rows}`; a row has id, prompt, answers and language.

    Raises:
      InputError: the file is missing or malformed, or the hub can't be reached.
    """
    rows = _questions(
        data_dir,
        f"xquad.{language}.json",
        lambda: sources.xquad_examples(language, "validation"),
    )
    return {"validation": _dataset("xquad", language, label_language, rows)}


def load_mlqa(
    *, language: str, label_language: str, split: str, data_dir: str | None = None, **_unused: Any
) -> dict[str, datasets.Dataset]:
    """Returns one split of MLQA, questions and contexts in the same language.

    Args:
      language: of the questions and contexts.
      label_language: of the prompt's labels.
      split: test or validation (whose file says dev).
      data_dir: as `load_xquad`'s, for `{test|dev}-context-{language}-question-{language}.json`.

    Returns, raises: as `load_xquad` does; the key is `split`.
    """
    rows = _questions(
        data_dir,
        f"{_MLQA_FILE_SPLITS[split]}-context-{language}-question-{language}.json",
        lambda: sources.mlqa_examples(language, split),
    )
    return {split: _dataset("mlqa", language, label_language, rows)}


def score_xquad(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """lm-eval's `process_results`: SQuAD v1.1's scores of the one answer in `results`."""
    return qa_metrics.squad_scores(results[0], doc["answers"])


def score_mlqa(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """lm-eval's `process_results`: MLQA's scores, by the language of the row."""
    return qa_metrics.mlqa_scores(results[0], doc["answers"], doc["language"])


def _dataset(
    family: str, language: str, label_language: str, rows: Iterable[Mapping[str, Any]]
) -> datasets.Dataset:
    prompt = functools.partial(qa_prompts.qa_prompt, family, label_language)
    return datasets.Dataset.from_list(
        [
            {
                "id": row["id"],
                "prompt": prompt(row["context"], row["question"]),
                "answers": list(row["answers"]),
                "language": language,
            }
            for row in rows
        ]
    )


def _questions(
    data_dir: str | None, file_name: str, default: Callable[[], Iterable[Mapping[str, Any]]]
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
        place = _find(data_dir, file_name)
        rows = list(sources.squad_examples(place))
    for row in rows:
        if not row["answers"]:
            raise errors.InputError(f"{place}: question {row['id']} has no answers; mend the file")
    if not rows:
        raise errors.InputError(f"{place}: holds no questions; put the official file there")
    return rows


def _find(data_dir: str, file_name: str) -> pathlib.Path:
    """Returns the file `data_dir`, or the one called `file_name` in the folder `data_dir`."""
    place = resources.path("samples") if data_dir == "samples" else pathlib.Path(data_dir)
    if place.is_file():
        return place
    for folder in _SUBFOLDERS:
        if (path := place / folder / file_name).is_file():
            return path
    raise errors.InputError(
        f"{place / file_name}: no such file; put the official {file_name} there, "
        "or point --data-dir elsewhere"
    )
