import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import texts

from commit_t5x.errors import InputError
from commit_t5x.lexicon import Lexicon
from commit_t5x.mixer import CodeMixer
from commit_t5x.templates import PROMPTS, Literal, Rendered, Slot, Template, get_prompts

TEMPLATES = {
    **{f"{language} with input": prompts.with_input for language, prompts in PROMPTS.items()},
    **{f"{language} without": prompts.without_input for language, prompts in PROMPTS.items()},
    "slots side by side": Template("{input}{instruction}"),
    "a slot twice": Template("η {input} — {instruction} 😀 {input}."),
    "no literal": Template("{input}"),
}
each_template = pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
values = st.fixed_dictionaries({"instruction": texts, "input": texts})


def literals(template):
    return [segment.text for segment in template.segments if isinstance(segment, Literal)]


def test_a_pattern_becomes_segments():
    template = Template("### Input:\n{input}\n\n{a}{b_2}")
    assert template.segments == (
        *(Literal("### Input:\n"), Slot("input"), Literal("\n\n"), Slot("a"), Slot("b_2")),
    )
    assert template.fields == ("input", "a", "b_2")
    assert Template("plain {} { x }").segments == (Literal("plain {} { x }"),)


@each_template
@given(values=values)
def test_literals_stand_unchanged_around_whatever_fills_the_slots(template, values):
    rendered = template.render(values)
    assert [field for _, _, field in rendered.spans] == list(template.fields)
    between, position = [], 0
    for start, end, field in rendered.spans:
        assert rendered.text[start:end] == values[field]
        between.append(rendered.text[position:start])
        position = end
    between.append(rendered.text[position:])
    assert list(filter(None, between)) == literals(template)


@each_template
@given(values=values, seed=st.tuples(st.integers(), st.integers()))
def test_literals_survive_mixing_with_a_dictionary_that_knows_their_words(template, values, seed):
    words = " ".join([*literals(template), *values.values()]).split()
    words += [word.strip("#:,.") for word in words]
    mixer = CodeMixer(Lexicon({word: ("@",) for word in filter(None, words)}), ratio=1.0)
    mixed = {field: mixer.mix(text, seed) for field, text in values.items()}
    rendered = template.render(mixed)
    assert list(filter(None, _between(rendered))) == literals(template)


def _between(rendered):
    bounds = [0, *(place for start, end, _ in rendered.spans for place in (start, end)), None]
    return [rendered.text[a:b] for a, b in zip(bounds[::2], bounds[1::2], strict=True)]


@each_template
@settings(max_examples=25)
@given(batch=st.lists(values, min_size=1, max_size=16))
def test_tensorflow_renders_the_same_and_counts_bytes(template, batch):
    columns = {f: tf.constant([row[f] for row in batch]) for f in ("instruction", "input")}
    rendered = [template.render(row) for row in batch]
    texts = template.render_tf(columns).numpy().tolist()
    assert [text.decode() for text in texts] == [r.text for r in rendered]
    for field in ("instruction", "input", "output"):
        spans = template.slot_span_tf(columns, field)
        assert spans.dtype == tf.int32
        for row, text, (start, end) in zip(batch, texts, spans.numpy().tolist(), strict=True):
            if field in template.fields:
                assert text[start:end].decode() == row[field]
            else:
                assert (start, end) == (0, 0)


def test_spans_of_multibyte_text():
    template = Template("प्र: {input} {instruction}")
    values = {"input": "पानी", "instruction": "é"}
    assert template.render(values) == Rendered(
        "प्र: पानी é", ((5, 9, "input"), (10, 11, "instruction"))
    )
    columns = {field: tf.constant([text]) for field, text in values.items()}
    assert template.slot_span_tf(columns, "input").numpy().tolist() == [[11, 23]]
    assert template.slot_span_tf(columns, "instruction").numpy().tolist() == [[24, 26]]


def test_the_last_of_equal_slots_counts():
    columns = {"input": tf.constant(["ab", ""])}
    spans = Template("{input}-{input}").slot_span_tf(columns, "input")
    assert spans.numpy().tolist() == [[3, 5], [1, 1]]


def test_alpacas_prompts_to_the_letter():
    prompts = get_prompts()
    example = {"instruction": "Translate.", "input": "tea", "output": "चाय"}
    assert prompts.choose(example).render(example).text == (
        "Below is an instruction that describes a task, paired with an input that provides further "
        "context. Write a response that appropriately completes the request.\n"
        "\n"
        "### Instruction:\n"
        "Translate.\n"
        "\n"
        "### Input:\n"
        "tea\n"
        "\n"
        "### Response:"
    )
    example["input"] = ""
    assert prompts.choose(example).render(example).text == (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n"
        "\n"
        "### Instruction:\n"
        "Translate.\n"
        "\n"
        "### Response:"
    )


def test_only_an_empty_input_chooses_the_shorter_prompt():
    prompts = get_prompts()
    assert prompts.choose({"input": ""}) is prompts.without_input
    assert prompts.choose({"input": " "}) is prompts.with_input
    assert prompts.with_input.fields == ("instruction", "input")
    assert prompts.without_input.fields == ("instruction",)


def test_gin_chooses_the_language(bind):
    bind("templates.get_prompts.language", "en")
    assert get_prompts() is PROMPTS["en"]
    bind("templates.get_prompts.language", "xx")
    with pytest.raises(InputError, match="PROMPT_LANGUAGE 'xx': no prompts .*; use .*en"):
        get_prompts()
