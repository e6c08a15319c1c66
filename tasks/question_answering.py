"""What the question-answering families share: a prompt in, a short answer out, scored as SQuAD."""

import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import seqio

from commit_t5x.data import preprocessors, seqio_source, sources
from commit_t5x.tasks import families, features

Scores = Callable[[str, Sequence[str]], Mapping[str, float]]


def register(
    family: str,
    language: str,
    *,
    english_labels: bool,
    examples: Callable[[str, str], sources.Examples],
    splits: Sequence[str],
    scores: Scores,
) -> None:
    """Registers one task.

    Args:
      family: "xquad" or "mlqa"; with English labels the task belongs to the family `{family}_en`.
      language: the language of the contexts, questions and answers.
      english_labels: prompt with English labels rather than with the language's own.
      examples: (language, split) -> `id`, `context`, `question`, `answers`.
      splits: the splits there are.
      scores: (prediction, answers) -> `exact_match` and `f1`, 0 to 100.
    """
    seqio.TaskRegistry.add(
        families.name(f"{family}_en" if english_labels else family, language),
        source=seqio_source.ExampleSource(
            functools.partial(examples, language),
            {"id": (), "context": (), "question": (), "answers": (None,)},
            splits=lambda: splits,
        ),
        preprocessors=[
            functools.partial(
                preprocessors.encode_question,
                family=family,
                label_language="en" if english_labels else language,
            ),
        ],
        output_features=features.FEATURES,
        postprocess_fn=_first_line_or_answers,
        metric_fns=[functools.partial(_mean_scores, scores=scores)],
        task_cls=seqio_source.Task,
    )


def _first_line_or_answers(output: str, example: Mapping[str, np.ndarray], is_target: bool):
    """Returns the accepted answers, or what the model said up to the first newline."""
    if is_target:
        return [answer.decode("utf-8") for answer in example["answers"]]
    return output.split("\n", 1)[0].strip()


def _mean_scores(targets: Sequence[Sequence[str]], predictions: Sequence[str], *, scores: Scores):
    rows = [scores(said, answers) for answers, said in zip(targets, predictions, strict=True)]
    return {name: float(np.mean([row[name] for row in rows])) for name in ("exact_match", "f1")}
