"""Zero-shot prompts of XQuAD and MLQA, and of questions in any language with labels.

The layout, and the labels of `qa_labels.toml`, are those of the OpenGPT-X tasks that the paper was
scored with (`ogx_xquad_*`, `ogx_mlqa_*`). Alpaca's template is not used at evaluation.
"""

import pathlib
import re
import tomllib
from typing import Literal, NamedTuple

import gin

from commit_t5x import fingerprints, ranges, resources
from commit_t5x.errors import InputError

# A language, as in the dictionaries' names: hi, quy, zh_Hant.
LANGUAGE_CODE = r"[a-z]{2,3}(?:_[A-Za-z0-9]{2,8})*"


class Labels(NamedTuple):
    """The three headings of a prompt, each with its own colon."""

    background: str
    question: str
    answer: str


# What stands between the question's label and the question.
_AFTER_QUESTION_LABEL = {"xquad": "", "mlqa": " "}


@gin.configurable(allowlist=["path"])
def get_labels(language: str, path: ranges.Path | None = None) -> Labels:
    """Returns a language's labels.

    Args:
      language: such as "hi"; not always the language of the text, as `ogx_xquad_enhi` asks Hindi
        questions under English labels.
      path: a TOML file of your own (`QA_LABELS`), of the form of `qa_labels.toml`: a table for each
        language, with the keys background, question and answer. Its languages come before the
        shipped ones.

    Raises:
      InputError: there are no labels for the language, or the file is missing or not of that form;
        it names the key.

    Example:
      >>> get_labels("hi").answer
      'उत्तर:'
    """
    labels = _load(resources.path("data") / "qa_labels.toml")
    if path is not None:
        fingerprints.record("QA_LABELS", path)
        labels = {**labels, **_load(pathlib.Path(path).expanduser())}
    if language not in labels:
        raise InputError(
            f"labels: none for language {language!r}, but for {', '.join(sorted(labels))}; write a "
            f"TOML file with [{language}] and set QA_LABELS or --labels to it"
        )
    return labels[language]


def qa_prompt(family: Literal["xquad", "mlqa"], labels: Labels, context: str, question: str) -> str:
    r"""Returns the prompt that asks `question` about `context`.

    The answer follows the last label with nothing in between, and ends at a newline.

    Args:
      family: the data set; XQuAD has no space after the question's label, MLQA has one.
      labels: the headings.
      context: the passage.
      question: the question.

    Example:
      >>> qa_prompt("mlqa", get_labels("en"), "It rains.", "What falls?")
      'Background:\n\nIt rains.\n\nQuestion: What falls?\n\nAnswer:'
    """
    question = labels.question + _AFTER_QUESTION_LABEL[family] + question
    return "\n\n".join((labels.background, context, question, labels.answer))


def _load(path: pathlib.Path) -> dict[str, Labels]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        reason = error.strerror.lower()
        raise InputError(f"{path}: {reason}; set the labels to a TOML file") from error
    except ValueError as error:  # of UTF-8, too
        raise InputError(f"{path}: not TOML: {error}; mend it there") from error
    return {language: _labels(f"{path}: [{language}]", tables[language]) for language in tables}


def _labels(place: str, table: object) -> Labels:
    """Returns a language's labels, checked; `place` names file and language."""
    if not re.fullmatch(LANGUAGE_CODE, place.rpartition("[")[2][:-1]):
        raise InputError(f"{place}: not a language code; name the table as in [hi] or [zh_Hant]")
    if not isinstance(table, dict) or set(table) != set(Labels._fields):
        keys = ", ".join(Labels._fields)
        found = ", ".join(table) if isinstance(table, dict) else "no table"
        raise InputError(f"{place}: expected the keys {keys}, found {found or 'none'}; mend it")
    for key, label in table.items():
        if not isinstance(label, str) or not re.search("^[:：]|[:：]$", label):
            example = "'Answer:'"
            raise InputError(f"{place} {key}: {label!r} has no colon at an end, as {example} has")
    return Labels(**table)
