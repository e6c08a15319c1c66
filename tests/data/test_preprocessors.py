import functools

import numpy as np
import pytest
import sentencepiece
import seqio
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from commit_t5x import resources
from commit_t5x.data import preprocessors, templates
from commit_t5x.data.qa_prompts import get_labels, qa_prompt
from commit_t5x.mixing import schedule
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.seqio_vocabulary import TokenizerVocabulary

EXAMPLES = [
    {"instruction": "Name two rivers.", "input": "", "output": "The Nile and the Ganges."},
    {"instruction": "Say it in one word.", "input": "very big 😀", "output": "विशाल"},
    {"instruction": "Say nothing.", "input": "", "output": ""},
]
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@pytest.fixture(scope="module")
def vocabulary():
    return TokenizerVocabulary(configured.load(resources.path("samples") / "tokenizer.model"))


@pytest.fixture
def features(vocabulary):
    return {"targets": seqio.Feature(vocabulary, add_eos=False)}


def dataset(examples):
    columns = {name: [e[name] for e in examples] for name in examples[0]}
    columns["index"] = np.arange(len(examples), dtype=np.int64)
    ds = preprocessors.batch_examples(tf.data.Dataset.from_tensor_slices(columns))
    return schedule.number_epochs(ds)


def rows(ds):
    """Returns the examples of a data set of batches."""
    return [
        {k: v.decode() if isinstance(v, bytes) else v for k, v in row.items()}
        for row in ds.unbatch().as_numpy_iterator()
    ]


def encoded(examples, features, **options):
    filled = preprocessors.fill_prompt(dataset(examples))
    return rows(preprocessors.encode_prompt_response(filled, features, **options))


def test_prompts_are_filled_as_in_python():
    for example, row in zip(
        EXAMPLES, rows(preprocessors.fill_prompt(dataset(EXAMPLES))), strict=True
    ):
        rendered = templates.get_prompts("en").choose(example).render(example)
        assert row["prompt"] == rendered.text
        assert row["response"] == example["output"]
        first, last = row["cuttable_span"]
        assert row["prompt"].encode()[first:last].decode() == example["input"]


def test_naive_code_mix_cannot_see_the_word_behind_a_header():
    # "Name" is glued to "### Instruction:\n", since pieces end at U+0020 only.
    mixer = CodeMixer(Lexicon({"Name": ("X",)}), ratio=1.0)
    fill = functools.partial(preprocessors.fill_prompt, dataset(EXAMPLES), mixer=lambda: mixer)
    assert "\nName two" in rows(fill(template_blocked=False))[0]["prompt"]
    assert "\nX two" in rows(fill(template_blocked=True))[0]["prompt"]


@pytest.mark.parametrize("blocked", [True, False])
def test_prompt_and_response_can_have_ratios_of_their_own(bind, blocked):
    bind("preprocessors.fill_prompt.response_ratio", 0.0)
    mixer = CodeMixer(Lexicon({"one": ("X",), "Nile": ("Y",), "big": ("Z",)}), ratio=1.0)
    ds = preprocessors.fill_prompt(dataset(EXAMPLES), mixer=lambda: mixer, template_blocked=blocked)
    got = rows(ds)
    assert "X word" in got[1]["prompt"]
    assert got[0]["response"] == EXAMPLES[0]["output"]


def test_the_ratio_follows_its_schedule(bind):
    bind("schedule.MixSchedule.factors", ((4, 0.0), (44, 1.0)))
    texts = tf.data.Dataset.from_tensors({"text": "a " * 500, "index": 0}).repeat(60)
    texts = texts.enumerate().map(lambda i, e: {**e, "index": i, "position": i, "epoch_seed": i})
    texts = preprocessors.batch_examples(texts)
    mixer = CodeMixer(Lexicon({"a": ("b",)}), ratio=0.8)
    shares = [
        row["text"].count("b") / 500
        for row in rows(preprocessors.mix_documents(texts, mixer=lambda: mixer))
    ]
    assert shares[:4] == [0.0] * 4
    expected = [0.8 * min(max(place - 4, 0), 40) / 40 for place in range(60)]
    assert shares == pytest.approx(expected, abs=0.1)


def tokens(row):
    return [*row["inputs"].tolist(), *row["targets"].tolist()]


def test_targets_are_the_response_and_eos(features, vocabulary):
    for example, row in zip(EXAMPLES, encoded(EXAMPLES, features), strict=True):
        prompt = templates.get_prompts("en").choose(example).render(example).text
        assert tokens(row) == [*vocabulary.encode(prompt + example["output"]), 2]
        assert row["targets"][-1] == 2
        response = vocabulary.decode(row["targets"].tolist())
        assert response.strip() == example["output"].strip()


@pytest.mark.parametrize("response_mask", ["exact", "paper"])
def test_every_token_of_the_prompt_can_be_cut_or_not(features, response_mask):
    for row in encoded(EXAMPLES, features, response_mask=response_mask):
        assert len(row["inputs_cuttable"]) == len(row["inputs"])


# Few lists of many texts: building the graph costs more than running it.
@settings(max_examples=2, phases=[Phase.generate])
@given(st.lists(st.tuples(*[TEXT] * 3), min_size=40, max_size=80))
def test_boundary_is_exact_for_any_text(vocabulary, texts):
    examples = [dict(zip(("instruction", "input", "output"), text, strict=True)) for text in texts]
    features = {"targets": seqio.Feature(vocabulary, add_eos=False)}
    reference = sentencepiece.SentencePieceProcessor(str(vocabulary.tokenizer.path))
    for example, row in zip(examples, encoded(examples, features), strict=True):
        prompt = templates.get_prompts("en").choose(example).render(example).text
        pieces = reference.encode(prompt + example["output"], out_type=str)
        # Bytes of the text that the inputs cover: all of the prompt, and more only by the token
        # that straddles the boundary.
        inputs = pieces[: len(row["inputs"])]
        length = sum(map(_bytes_of_piece, inputs)) - 1  # the dummy prefix
        excess = length - len(prompt.encode())
        assert 0 <= excess < (_bytes_of_piece(inputs[-1]) if inputs else 1)


def _bytes_of_piece(piece):
    if piece.startswith("<0x") and piece.endswith(">") and len(piece) == 6:
        return 1
    return len(piece.replace("▁", " ").encode())


def test_documents(features, vocabulary):
    ds = tf.data.Dataset.from_tensors({"text": ["नमस्ते दुनिया", ""]})
    plain = rows(preprocessors.encode_documents(ds, features))
    tokens = vocabulary.encode("नमस्ते दुनिया")
    assert [row["targets"].tolist() for row in plain] == [[*tokens, 2], [2]]
    assert all(len(row["inputs"]) == 0 for row in plain)
    paper = rows(preprocessors.encode_documents(ds, features, repeat_special_tokens=True))
    assert [row["targets"].tolist() for row in paper] == [[1, *tokens, 2, 2], [1, 2, 2]]


def test_questions(features, vocabulary):
    example = {"id": "1", "context": "Tea is hot.", "question": "What is hot?", "answers": ["Tea"]}
    prompt = qa_prompt("xquad", get_labels("hi"), example["context"], example["question"])
    ds = tf.data.Dataset.from_tensors(example)
    encode = functools.partial(
        preprocessors.encode_question, ds, features, family="xquad", label_language="hi"
    )
    [row] = rows(encode(None).batch(1))
    assert row["inputs_pretokenized"] == prompt
    whole = vocabulary.encode(prompt + "Tea")
    assert [*row["inputs"], *row["targets"]] == [*whole, 2]
    assert vocabulary.decode(row["targets"].tolist()) == "Tea"
    [short] = rows(encode({"inputs": 8, "targets": 8}).batch(1))
    assert short["inputs"].tolist() == row["inputs"][-8:].tolist()


def test_batches_are_taken_apart_to_their_tokens(features):
    batched = preprocessors.encode_prompt_response(
        preprocessors.fill_prompt(dataset(EXAMPLES)), features
    )
    expected = rows(batched)
    got = list(preprocessors.unbatch_examples(batched).as_numpy_iterator())
    assert [set(row) for row in got] == [{"inputs", "targets"}] * len(EXAMPLES)
    for one, other in zip(got, expected, strict=True):
        for name, values in one.items():
            assert values.tolist() == other[name].tolist()
