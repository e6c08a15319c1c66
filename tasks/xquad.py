"""Evaluation: XQuAD under a language's own labels (`xquad_hi`) or English ones (`xquad_enhi`).

Questions of your own in any other language are tasks of the same names, given their file
(`XQUAD_PATH`) and labels (`QA_LABELS`).
"""

from commit_t5x.data import qa_metrics, sources
from commit_t5x.tasks import question_answering


def register(language: str) -> None:
    """Registers a language's tasks."""
    question_answering.register(
        "xquad",
        language,
        examples=sources.xquad_examples,
        splits=("validation",),
        scores=qa_metrics.squad_scores,
    )


register("en")
