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
    assert qa_prompts.qa_prompt("xquad", qa_prompts.get_labels(language), "C", "Q") == expected


def test_mlqa_has_a_space_after_the_question_label():
    prompt = qa_prompts.qa_prompt("mlqa", qa_prompts.get_labels("hi"), "C", "Q")
    assert prompt == "पृष्ठभूमि:\n\nC\n\nसवाल: Q\n\nउत्तर:"


def test_context_and_question_are_kept_to_the_byte():
    prompt = qa_prompts.qa_prompt("xquad", qa_prompts.get_labels("en"), " a\n\nb ", "\tq?")
    assert prompt == "Background:\n\n a\n\nb \n\nQuestion:\tq?\n\nAnswer:"


OWN = """
[sw]
background = "Usuli:"
question = "Swali:"
answer = "Jibu:"
"""


def test_labels_of_ones_own_stand_beside_the_shipped_ones(tmp_path):
    path = tmp_path / "labels.toml"
    path.write_text(OWN + OWN.replace("[sw]", "[hi]"), encoding="utf-8")
    assert qa_prompts.get_labels("sw", str(path)) == ("Usuli:", "Swali:", "Jibu:")
    assert qa_prompts.get_labels("hi", str(path)).answer == "Jibu:"
    assert qa_prompts.get_labels("el", str(path)) == qa_prompts.get_labels("el")


@pytest.mark.parametrize(
    "content, message",
    [
        (
            OWN.replace("[sw]", "[om]"),
            "labels: none for language 'sw', but for ar, .*; write a TOML",
        ),
        (OWN.replace("Swali:", "Swali"), r"labels.toml: \[sw\] question: 'Swali' has no colon"),
        (OWN.replace("Jibu:", ""), r"labels.toml: \[sw\] answer: '' has no colon"),
        (OWN.replace("answer", "reply"), r"labels.toml: \[sw\]: expected the keys background, que"),
        (OWN.replace('question = "Swali:"', ""), r"\[sw\]: .*, found background, answer; mend it"),
        (OWN.replace("[sw]", "[Swahili]"), r"labels.toml: \[Swahili\]: not a language code"),
        ('sw = "Jibu:"', r"labels.toml: \[sw\]: expected the keys .*, found no table"),
        ("[sw", "labels.toml: not TOML: .*; mend it there"),
    ],
)
def test_labels_that_are_not_whole(tmp_path, content, message):
    path = tmp_path / "labels.toml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(errors.InputError, match=message):
        qa_prompts.get_labels("sw", str(path))


def test_missing_labels_file(tmp_path):
    with pytest.raises(errors.InputError, match="none.toml: no such file or directory; set the la"):
        qa_prompts.get_labels("sw", str(tmp_path / "none.toml"))
