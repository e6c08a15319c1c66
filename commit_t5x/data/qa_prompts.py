"""Zero-shot prompts of XQuAD and MLQA: the one home of their labels.

The layout and the labels are those of the OpenGPT-X tasks that the paper was scored with
(`ogx_xquad_*`, `ogx_mlqa_*`). Alpaca's template is not used at evaluation.
"""

import types
from typing import Literal, NamedTuple

from commit_t5x import errors


class Labels(NamedTuple):
    """The three headings of a prompt, each with its own colon."""

    background: str
    question: str
    answer: str


# The scoring code's own spellings, odd ones included: Arabic has its colon in front, Vietnamese and
# Spanish are in lower case, Chinese is in traditional characters.
LABELS = types.MappingProxyType(
    {
        "ar": Labels(":معرفتي", ":سؤال", ":إجابه"),
        "de": Labels("Hintergrund:", "Frage:", "Antwort:"),
        "el": Labels("Πληροφορίες ιστορικού:", "Ερώτηση:", "Απάντηση:"),
        "en": Labels("Background:", "Question:", "Answer:"),
        "es": Labels("antecedentes:", "pregunta:", "respuesta:"),
        "hi": Labels("पृष्ठभूमि:", "सवाल:", "उत्तर:"),
        "th": Labels("พื้นหลัง:", "คำถาม:", "ตอบ:"),
        "vi": Labels("lý lịch:", "câu hỏi:", "câu trả lời:"),
        "zh": Labels("背景:", "問題:", "答案:"),
    }
)

# What stands between the question's label and the question.
_AFTER_QUESTION_LABEL = {"xquad": "", "mlqa": " "}


def qa_prompt(
    family: Literal["xquad", "mlqa"], label_language: str, context: str, question: str
) -> str:
    r"""Returns the prompt that asks `question` about `context`.

    The answer follows the last label with nothing in between, and ends at a newline.

    Args:
      family: the data set; XQuAD has no space after the question's label, MLQA has one.
      label_language: the language of the labels, a key of LABELS; not always the language of the
        text (`ogx_xquad_enhi` asks Hindi questions under English labels).
      context: the passage.
      question: the question.

    Raises:
      InputError: there are no labels for `label_language`.

    Example:
      >>> qa_prompt("mlqa", "en", "It rains.", "What falls?")
      'Background:\n\nIt rains.\n\nQuestion: What falls?\n\nAnswer:'
    """
    if label_language not in LABELS:
        raise errors.InputError(
            f"label language {label_language!r}: no labels; use one of {', '.join(LABELS)}"
        )
    labels = LABELS[label_language]
    question = labels.question + _AFTER_QUESTION_LABEL[family] + question
    return "\n\n".join((labels.background, context, question, labels.answer))
