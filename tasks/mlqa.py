"""Evaluation: MLQA under a language's own labels (`mlqa_hi`) or English ones (`mlqa_enhi`)."""

import functools

from commit_t5x.data import qa_metrics, sources
from commit_t5x.tasks import families, question_answering

for _language in families.MLQA_LANGUAGES:
    question_answering.register(
        "mlqa",
        _language,
        examples=sources.mlqa_examples,
        splits=("test", "validation"),
        scores=functools.partial(qa_metrics.mlqa_scores, language=_language),
    )
