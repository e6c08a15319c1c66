import pytest

from commit_t5x import errors
from commit_t5x.data import qa_prompts


@pytest.mark.parametrize(
    "language, expected",
    [
        ("en", "Background:\n\nC\n\nQuestion:Q\n\nAnswer:"),
        ("hi", "पृष्ठभूमि:\n\nC\n\nसवाल:Q\n\nउत्तर:"),
        ("el", "Πληροφορίες ιστορικού:\n\nC\n\nΕρώτηση:Q\n\nΑπάντηση:"),
        ("th", "พื้นหลัง:\n\nC\n\nคำถาม:Q\n\nตอบ:"),
    ],
)
def test_xquad_has_no_space_after_the_question_label(language, expected):
    assert qa_prompts.qa_prompt("xquad", language, "C", "Q") == expected


def test_mlqa_has_a_space_after_the_question_label():
    prompt = qa_prompts.qa_prompt("mlqa", "hi", "C", "Q")
    assert prompt == "पृष्ठभूमि:\n\nC\n\nसवाल: Q\n\nउत्तर:"


def test_context_and_question_are_kept_to_the_byte():
    prompt = qa_prompts.qa_prompt("xquad", "en", " a\n\nb ", "\tq?")
    assert prompt == "Background:\n\n a\n\nb \n\nQuestion:\tq?\n\nAnswer:"


def test_unknown_label_language():
    with pytest.raises(errors.InputError, match="label language 'xx': no labels; use one of ar"):
        qa_prompts.qa_prompt("xquad", "xx", "C", "Q")
