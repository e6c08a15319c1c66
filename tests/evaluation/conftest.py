"""What the tests of evaluation share."""

import pathlib

import pytest
import source_files


@pytest.fixture
def write_squad():
    """Returns a function that writes a SQuAD v1.1 file of (question, answers) on one context."""

    def write(path: pathlib.Path, *questions: tuple[str, list[str]], context: str) -> pathlib.Path:
        rows = [
            {"id": f"q{number}", "context": context, "question": question, "answers": answers}
            for number, (question, answers) in enumerate(questions)
        ]
        return source_files.write(path, source_files.squad(*rows))

    return write
