"""Examples, files and error messages for the tests of what is read."""

import json

import pytest

from commit_t5x.errors import InputError

ALPACA = [
    {"instruction": "Name a drink.", "input": "", "output": "चाय"},
    {"instruction": "b", "input": "c\nd", "output": "😀"},
    {"instruction": "e", "input": "f", "output": ""},
]
ANSWERED = {
    "id": "7",
    "context": "दिल्ली में बारिश है।",
    "question": "कहाँ?",
    "answers": ["दिल्ली", "दिल्ली में"],
}


def jsonl(records):
    return "".join(json.dumps(record) + "\n" for record in records)


def squad(*questions):
    """Returns a SQuAD v1.1 document with one paragraph a question."""
    paragraphs = [
        {
            "context": q["context"],
            "qas": [
                {
                    "id": q["id"],
                    "question": q["question"],
                    "answers": [{"text": text, "answer_start": 0} for text in q["answers"]],
                }
            ],
        }
        for q in questions
    ]
    articles = [{"title": "t", "paragraphs": [paragraph]} for paragraph in paragraphs]
    return {"version": "1.1", "data": articles}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, dict):
        content = json.dumps(content, ensure_ascii=False)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_squad(path, *questions, context):
    """Writes a SQuAD v1.1 file of (question, answers) on one context."""
    rows = [
        {"id": f"q{number}", "context": context, "question": question, "answers": answers}
        for number, (question, answers) in enumerate(questions)
    ]
    return write(path, squad(*rows))


def message_of(read, *args):
    """Returns the message of the input error that reading raises; it must be one line."""
    with pytest.raises(InputError) as caught:
        list(read(*args))
    assert "\n" not in str(caught.value)
    return str(caught.value)
