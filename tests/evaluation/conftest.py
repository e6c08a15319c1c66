"""What the tests of evaluation share."""

import json
import pathlib

import pytest


@pytest.fixture
def write_squad():
    """Returns a function that writes a SQuAD v1.1 file of (question, answers) on one context."""

    def write(path: pathlib.Path, *questions: tuple[str, list[str]], context: str) -> pathlib.Path:
        qas = [
            {
                "id": f"q{number}",
                "question": question,
                "answers": [{"text": text, "answer_start": 0} for text in answers],
            }
            for number, (question, answers) in enumerate(questions)
        ]
        paragraphs = [{"context": context, "qas": qas}]
        content = {"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write
