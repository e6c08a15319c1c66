import functools

import pytest

from commit_t5x.data import preprocessors
from commit_t5x.data.templates import PromptTemplates, Template
from commit_t5x.inspection import texts
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.mixing.segmenters import SpaceSegmenter


def looks(parts):
    return [(part.piece.text, part.role) for part in parts]


def test_a_text_is_cut_where_a_role_begins(mixer):
    roles = [(0, "template"), (6, "input"), (13, "template")]
    parts = texts.mix(mixer, "Tea:\n\n a cup.##", roles, (0, 0), 1.0)
    assert [look for look in looks(parts) if look[0]] == [
        ("Tea", "template"),
        (":\n\n", "template"),
        (" ", "input"),
        ("a", "input"),
        (" ", "input"),
        ("कप", "input"),
        (".", "input"),
        ("##", "template"),
    ]
    assert [part.piece.words for part in parts if part.piece.words] == [("Tea",), ("a",), ("cup",)]
    assert texts.Text(tuple(parts)).source == "Tea:\n\n a cup.##"
    assert all(part.mixable for part in parts)


def test_a_replaced_phrase_has_the_role_that_it_begins_in(mixer):
    parts = texts.mix(mixer, "hot milk", [(0, "a"), (4, "b")], (0, 0), 1.0)
    assert [look for look in looks(parts) if look[0]] == [("गरम दूध", "a")]


def test_a_word_over_an_edge_counts_once(mixer):
    glued = CodeMixer(mixer.lexicon, segmenter=SpaceSegmenter())
    parts = texts.mix(glued, "# In:\ntea", [(0, "template"), (6, "input")], (0, 0), 1.0)
    assert looks(parts)[-2:] == [("In:\n", "template"), ("tea", "input")]
    assert [part.piece.words for part in parts if part.piece.words] == [("In:\ntea",)]


@pytest.mark.parametrize("blocked", [True, False])
def test_a_prompt_and_its_response(mixer, blocked):
    prompt = Template("tea: {instruction}.")
    step = functools.partial(
        preprocessors.fill_prompt,
        prompts=lambda: PromptTemplates(prompt, prompt),
        mixer=lambda: mixer,
        template_blocked=blocked,
        response_ratio=0.0,
    )
    reader = texts.Reader(step)
    fields = {"instruction": b"a cup", "input": b"", "output": b"milk"}
    text = reader.read({**fields, "index": 0, "epoch_seed": 1, "factor": 1.0})
    assert text.source == "tea: a cup.milk"
    assert text.text == ("tea: a कप.milk" if blocked else "चाय: a कप.milk")
    assert [found.source for found in text.replacements] == ["cup"] if blocked else ["tea", "cup"]
    assert {part.role for part in text.parts if part.mixable} == {"instruction", "output"} | (
        set() if blocked else {"template"}
    )


def test_without_a_mixer_words_end_at_white_space():
    text = texts.Reader(preprocessors.encode_documents).read({"text": b"Hot\ttea, (2)"})
    assert text.text == text.source == "Hot\ttea, (2)"
    words = [word for part in text.parts for word in part.piece.words]
    assert words == ["Hot", "tea", "2"]
    assert not any(part.piece.known or part.piece.replaced for part in text.parts)
