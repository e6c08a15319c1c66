"""Evaluation: XQuAD under a language's own labels (`xquad_hi`) or English ones (`xquad_enhi`)."""

from commit_t5x.data import qa_metrics, sources
from commit_t5x.tasks import families, question_answering

for _language in families.XQUAD_LANGUAGES:
    for _english_labels in (False, True) if _language != "en" else (False,):
        question_answering.register(
            "xquad",
            _language,
            english_labels=_english_labels,
            examples=sources.xquad_examples,
            splits=("validation",),
            scores=qa_metrics.squad_scores,
        )
