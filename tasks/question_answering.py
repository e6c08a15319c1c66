"""What the question-answering families share: a prompt in, a short answer out, scored as SQuAD."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import seqio

from commit_t5x.data import preprocessors, qa_diagnostics, seqio_source, sources
from commit_t5x.tasks import families, features

Scores = Callable[[str, Sequence[str]], Mapping[str, float]]
Target = Mapping[str, Any]  # the accepted `answers` to a question, and its `context`


def register(
    family: str,
    language: str,
    *,
    examples: Callable[[str, str], sources.Examples],
    splits: Sequence[str],
    scores: Scores,
) -> None:
    """Registers a language's tasks: one with its own labels, one with English labels.

    Args:
      family: "xquad" or "mlqa"; with English labels the task belongs to the family `{family}_en`.
      language: the language of the contexts, questions and answers.
      examples: (language, split) -> `id`, `context`, `question`, `answers`.
      splits: the splits there are.
      scores: (prediction, answers) -> `exact_match` and `f1`, 0 to 100.
    """
    for labels in dict.fromkeys((language, "en")):
        seqio.TaskRegistry.add(
            families.name(family if labels == language else f"{family}_en", language),
            source=seqio_source.ExampleSource(
                functools.partial(examples, language),
                {"id": (), "context": (), "question": (), "answers": (None,)},
                splits=lambda: splits,
            ),
            preprocessors=[
                functools.partial(
                    preprocessors.encode_question, family=family, label_language=labels
                ),
            ],
            output_features=features.FEATURES,
            postprocess_fn=_first_line_or_target,
            metric_fns=[
                functools.partial(_mean_scores, scores=scores),
                functools.partial(_mean_diagnostics, language=language),
            ],
            task_cls=seqio_source.Task,
        )


def _first_line_or_target(output: str, example: Mapping[str, Any], is_target: bool) -> Any:
    """Returns the target, or what the model said up to the first newline."""
    if is_target:
        answers = [answer.decode("utf-8") for answer in example["answers"]]
        return {"answers": answers, "context": example["context"].decode("utf-8")}
    return output.split("\n", 1)[0].strip()


def _mean_scores(
    targets: Sequence[Target], predictions: Sequence[str], *, scores: Scores
) -> dict[str, float]:
    pairs = zip(targets, predictions, strict=True)
    return _means(scores(said, target["answers"]) for target, said in pairs)


def _mean_diagnostics(
    targets: Sequence[Target], predictions: Sequence[str], *, language: str
) -> dict[str, float]:
    scripts = qa_diagnostics.main_scripts({target["context"] for target in targets})
    return _means(
        qa_diagnostics.diagnostics(said, **target, language=language, scripts=scripts)
        for target, said in zip(targets, predictions, strict=True)
    )


def _means(rows: Iterable[Mapping[str, float]]) -> dict[str, float]:
    rows = list(rows)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]} if rows else {}
