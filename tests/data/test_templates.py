import re
import unicodedata

import naive_original
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from texts import texts

from commit_t5x import resources
from commit_t5x.data import graph_templates
from commit_t5x.data.templates import Literal, Slot, Template, get_prompts
from commit_t5x.errors import InputError
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer

LANGUAGES = ("en", "ht", "qu", "te", "sw", "ta", "ur", "my", "hi", "th", "bn", "el")
TEMPLATES = {
    **{f"{language} with input": get_prompts(language).with_input for language in LANGUAGES},
    **{f"{language} without": get_prompts(language).without_input for language in LANGUAGES},
    "slots side by side": Template("{input}{instruction}"),
    "a slot twice": Template("η {input} — {instruction} 😀 {input}."),
    "no literal": Template("{input}"),
    "braces": Template('{{"a": {{{input}}}}} {{instruction}}'),
}
each_language = pytest.mark.parametrize("language", LANGUAGES)
values = st.fixed_dictionaries({"instruction": texts, "input": texts})


def literals(template):
    return [segment.text for segment in template.segments if isinstance(segment, Literal)]


def between(rendered):
    """Returns what stands between the filled slots, where it isn't empty."""
    bounds = [0, *(place for start, end, _ in rendered.spans for place in (start, end)), None]
    pieces = [rendered.text[a:b] for a, b in zip(bounds[::2], bounds[1::2], strict=True)]
    return list(filter(None, pieces))


def test_a_pattern_becomes_segments():
    template = Template("### Input:\n{input}\n\n{a}{b_2}")
    assert template.segments == (
        *(Literal("### Input:\n"), Slot("input"), Literal("\n\n"), Slot("a"), Slot("b_2")),
    )
    assert template.fields == ("input", "a", "b_2")
    assert Template("plain").segments == (Literal("plain"),)
    assert Template("").segments == ()


def test_doubled_braces_are_text():
    template = Template('{{"a": {{{input}}}}} {{instruction}}')
    assert template.segments == (Literal('{"a": {'), Slot("input"), Literal("}} {instruction}"))


@pytest.mark.parametrize(
    "pattern", ["{", "}", "{input", "input}", "{}", "{ input }", "{0}", "{a.b}", "{a!r}", "{a:>3}"]
)
def test_lone_braces_and_what_is_no_name_are_refused(pattern):
    with pytest.raises(ValueError, match="brace|'[{}]'"):
        Template(pattern)


# Each example of these three is tried on every template, as drawing texts takes the time.
@given(values=values)
def test_literals_stand_unchanged_around_whatever_fills_the_slots(values):
    for name, template in TEMPLATES.items():
        rendered = template.render(values)
        assert [field for _, _, field in rendered.spans] == list(template.fields), name
        for start, end, field in rendered.spans:
            assert rendered.text[start:end] == values[field], name
        assert between(rendered) == literals(template), name


@given(values=values, seed=st.tuples(st.integers(), st.integers()))
def test_literals_survive_mixing_with_a_dictionary_that_knows_their_words(values, seed):
    words = " ".join([*sum(map(literals, TEMPLATES.values()), []), *values.values()]).split()
    words += [word.strip("#:,.") for word in words]
    mixer = CodeMixer(Lexicon.from_pairs((word, "@") for word in filter(None, words)), ratio=1.0)
    mixed = {field: mixer.mix(text, seed) for field, text in values.items()}
    for name, template in TEMPLATES.items():
        assert between(template.render(mixed)) == literals(template), name


@settings(max_examples=25)
@given(batch=st.lists(values, min_size=1, max_size=16))
def test_tensorflow_renders_the_same_and_counts_bytes(batch):
    columns = {f: tf.constant([row[f] for row in batch]) for f in ("instruction", "input")}
    for name, template in TEMPLATES.items():
        rendered = [template.render(row) for row in batch]
        texts = graph_templates.render(template, columns).numpy().tolist()
        assert [text.decode() for text in texts] == [r.text for r in rendered], name
        for field in ("instruction", "input", "output"):
            spans = graph_templates.slot_span(template, columns, field)
            assert spans.dtype == tf.int32
            expected = [last_span_in_bytes(whole, field) for whole in rendered]
            assert spans.numpy().tolist() == expected, name


def last_span_in_bytes(rendered, field):
    span = [0, 0]
    for start, end, name in rendered.spans:
        if name == field:
            span = [len(rendered.text[:place].encode()) for place in (start, end)]
    return span


@pytest.mark.parametrize("input_", ["tea", " ", ""])
def test_alpacas_prompts_to_the_letter(input_):
    example = {"instruction": "Translate.", "input": input_, "output": "चाय"}
    rendered = get_prompts().choose(example).render(example)
    assert rendered.text == naive_original.prompt("Translate.", input_)


def test_the_papers_twelve_languages_are_shipped():
    files = (resources.path("data") / "prompts").iterdir()
    assert {file.name for file in files} == {f"{language}.toml" for language in LANGUAGES}


@each_language
def test_each_language_keeps_alpacas_layout(language):
    prompts = get_prompts(language)
    patterns = {
        prompts.with_input: r"(.+)\n\n### (.+):\n{instruction}\n\n### (.+):\n{input}\n\n### (.+):",
        prompts.without_input: r"(.+)\n\n### (.+):\n{instruction}\n\n### (.+):",
    }
    words = []
    for template, pattern in patterns.items():
        text = template.render({"instruction": "{instruction}", "input": "{input}"}).text
        assert unicodedata.is_normalized("NFC", text)
        match = re.fullmatch(pattern, text)
        assert match, text
        words.append(match.groups())
    (longer, instruction, input_, response), (shorter, *headers) = words
    assert headers == [instruction, response]  # both prompts call them the same
    assert len({instruction, input_, response}) == 3
    assert len(shorter) < len(longer)


@each_language
def test_each_language_is_another(language):
    def words(code):
        prompts = get_prompts(code)
        text = " ".join(literals(prompts.with_input) + literals(prompts.without_input))
        return {word.strip("#:,.。").lower() for word in text.split()} - {""}

    for other in set(LANGUAGES) - {language}:
        assert not words(language) & words(other)


@pytest.fixture
def prompt_file(tmp_path, bind):
    """Binds PROMPT_LANGUAGE to a file of that content; returns its path."""

    def write(content):
        path = tmp_path / "my.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        bind("templates.get_prompts.language", str(path))
        return path

    return write


def test_gin_chooses_the_language(bind):
    assert literals(get_prompts().with_input)[-1].endswith("### Response:")
    bind("templates.get_prompts.language", "hi")
    assert literals(get_prompts().with_input)[-1].endswith("### उत्तर:")
    bind("templates.get_prompts.language", "xx")
    message = "PROMPT_LANGUAGE 'xx': no prompts in that language; use one of bn, .*ur, .*toml"
    with pytest.raises(InputError, match=message):
        get_prompts()


def test_a_file_adds_a_language(prompt_file):
    prompt_file("with_input = 'Q {input}{{}} {instruction} A:'\nwithout_input = '{instruction}:'")
    example = {"instruction": "tê", "input": "av"}
    prompts = get_prompts()
    assert prompts.choose(example).render(example).text == "Q av{} tê A:"
    assert prompts.choose({"input": ""}).render(example).text == "tê:"


@each_language
@pytest.mark.parametrize("change", [b"\r\n", b"\xef\xbb\xbf"], ids=["Windows", "byte-order mark"])
def test_files_of_other_editors_read_the_same(language, change, prompt_file):
    shipped = (resources.path("data") / "prompts" / f"{language}.toml").read_bytes()
    prompt_file(shipped.replace(b"\n", change) if change == b"\r\n" else change + shipped)
    assert get_prompts().with_input.segments == get_prompts(language).with_input.segments
    assert get_prompts().without_input.segments == get_prompts(language).without_input.segments


GOOD = {"with_input": "'{instruction} {input}:'", "without_input": "'{instruction}:'"}


def file_of(**changes):
    lines = {**GOOD, **changes}.items()
    return "\n".join(f"{key} = {value}" for key, value in lines if value is not None)


@pytest.mark.parametrize(
    "content, message",
    [
        ("a = 1\nwith_input '", r": not TOML: .*line 2.*; mend it"),
        ("with_input = '''\n{instruction}", r": not TOML: .*; mend it"),
        (b"\n\nx = '\xff'", r":3: not UTF-8; convert"),
        ("", r": with_input: no such key; set it"),
        (file_of(without_input=None), r": without_input: no such key; set it"),
        (file_of(with_input="3"), r": with_input: not text; set it"),
        ("[with_input]\nx = 1", r": with_input: not text; set it"),
        (file_of(prompt="''"), r": prompt: unknown key; use only with_input and without_input"),
        (file_of(with_input="'{input}:'"), r": with_input: no slot {instruction}; put"),
        (file_of(with_input="'{instruction}:'"), r": with_input: no slot {input}; put"),
        (file_of(without_input="'{{instruction}}'"), r": without_input: no slot {instruction}"),
        (
            file_of(without_input="'{instruction} {input}'"),
            r": without_input: unknown slot {input}; use only {instruction}, and double each brace",
        ),
        (
            file_of(with_input="'{instruction} {input} {output}'"),
            r": with_input: unknown slot {output}; use only {instruction} and {input}, and double",
        ),
        (
            file_of(with_input="'{instruction} {input} {instruction}'"),
            r": with_input: two or more slots {instruction}; put one",
        ),
        (file_of(with_input="'{ {instruction} {input}'"), r": with_input: .*; double each brace"),
        (file_of(without_input="'{instruction!r}'"), r": without_input: .*; double each brace"),
    ],
)
def test_broken_files_are_refused_by_name_and_key(content, message, prompt_file):
    path = prompt_file(content)
    with pytest.raises(InputError, match=f"^{re.escape(str(path))}{message}"):
        get_prompts()


def test_missing_and_unreadable_files_are_refused(bind, tmp_path):
    bind("templates.get_prompts.language", str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match="none.toml: no such file; check PROMPT_LANGUAGE"):
        get_prompts()
    (tmp_path / "folder.toml").mkdir()
    bind("templates.get_prompts.language", str(tmp_path / "folder.toml"))
    with pytest.raises(InputError, match="folder.toml: cannot be read .*; set PROMPT_LANGUAGE"):
        get_prompts()
