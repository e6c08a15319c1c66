import functools
import logging

import numpy as np
import pytest
import seqio
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from commit_t5x import preprocessors, resources, templates, vocabularies
from commit_t5x.errors import InputError
from commit_t5x.lexicon import Lexicon
from commit_t5x.mixer import CodeMixer
from commit_t5x.qa_prompts import qa_prompt

EXAMPLES = [
    {"instruction": "Name two rivers.", "input": "", "output": "The Nile and the Ganges."},
    {"instruction": "Say it in one word.", "input": "very big 😀", "output": "विशाल"},
    {"instruction": "Say nothing.", "input": "", "output": ""},
]
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


@pytest.fixture(scope="module")
def vocabulary():
    return vocabularies.load(resources.path("samples") / "tokenizer.model")


@pytest.fixture
def features(vocabulary):
    return {"targets": seqio.Feature(vocabulary, add_eos=False)}


def dataset(examples):
    columns = {name: [e[name] for e in examples] for name in examples[0]}
    columns["index"] = np.arange(len(examples), dtype=np.int64)
    return tf.data.Dataset.from_tensor_slices(columns)


def rows(ds):
    return [
        {k: v.decode() if isinstance(v, bytes) else v for k, v in row.items()}
        for row in ds.as_numpy_iterator()
    ]


def encoded(examples, features, **options):
    filled = preprocessors.fill_prompt(dataset(examples))
    return rows(preprocessors.encode_prompt_response(filled, features, **options))


def test_prompts_are_filled_as_in_python():
    for example, row in zip(
        EXAMPLES, rows(preprocessors.fill_prompt(dataset(EXAMPLES))), strict=True
    ):
        rendered = templates.PROMPTS["en"].choose(example).render(example)
        assert row["prompt"] == rendered.text
        assert row["response"] == example["output"]
        first, last = row["cuttable_span"]
        assert row["prompt"].encode()[first:last].decode() == example["input"]


@pytest.mark.parametrize("blocked", [True, False])
def test_only_naive_code_mix_touches_the_template(blocked):
    # A lexicon that knows words of the template and of the examples alike.
    words = "below is an instruction that describes Write a response it the and big".split()
    mixer = CodeMixer(Lexicon({word: (f"<{word}>",) for word in words}), ratio=1.0)
    ds = preprocessors.fill_prompt(dataset(EXAMPLES), mixer=lambda: mixer, template_blocked=blocked)
    for example, row in zip(EXAMPLES, rows(ds), strict=True):
        prompts = templates.PROMPTS["en"]
        if blocked:
            mixed = {name: mixer.mix(text, (0, 0)) for name, text in example.items()}
            assert row["prompt"] == prompts.choose(mixed).render(mixed).text
        else:
            whole = prompts.choose(example).render(example).text
            assert row["prompt"] == mixer.mix(whole, (0, 0)) != whole
        assert row["response"] == mixer.mix(example["output"], (0, 0))


def test_naive_code_mix_cannot_see_the_word_behind_a_header():
    # "Name" is glued to "### Instruction:\n", since pieces end at U+0020 only.
    mixer = CodeMixer(Lexicon({"Name": ("X",)}), ratio=1.0)
    fill = functools.partial(preprocessors.fill_prompt, dataset(EXAMPLES), mixer=lambda: mixer)
    assert "\nName two" in rows(fill(template_blocked=False))[0]["prompt"]
    assert "\nX two" in rows(fill(template_blocked=True))[0]["prompt"]


def mixes(seed, epochs=2, shards=1):
    """Returns the mixed responses of each epoch, in the source's order, from `shards` shards."""
    lexicon = Lexicon({"a": ("1", "2", "3"), "b": ("4", "5", "6")})
    examples = [{"instruction": "", "input": "", "output": "a b a b a"}] * 12
    results = []
    for shard in range(shards):
        with seqio.utils.map_seed_manager(seed):
            ds = dataset(examples).shard(shards, shard).repeat(epochs)
            ds = preprocessors.fill_prompt(ds, mixer=lambda: CodeMixer(lexicon, 0.5))
        results.append([row["response"] for row in rows(ds)])
    together = [response for group in zip(*results, strict=True) for response in group]
    return [together[i : i + 12] for i in range(0, len(together), 12)]


def test_a_seed_fixes_the_mix_and_each_epoch_draws_afresh():
    first, second = mixes(seed=1)
    assert mixes(seed=1) == [first, second]
    assert first != second
    assert len(set(first)) > 6  # equal examples are mixed differently
    assert mixes(seed=2)[0] != first


def test_the_mix_does_not_depend_on_the_number_of_shards():
    assert mixes(seed=1) == mixes(seed=1, shards=2) == mixes(seed=1, shards=4)


def test_loss_falls_on_the_response_and_eos(features, vocabulary):
    for example, row in zip(EXAMPLES, encoded(EXAMPLES, features), strict=True):
        prompt = templates.PROMPTS["en"].choose(example).render(example).text
        targets, weights = row["targets"], row["targets_loss_weights"]
        assert targets.tolist() == [*vocabulary.encode(prompt + example["output"]), 2]
        assert weights[-1] == 1
        # The weights are a run of zeros and then of ones, and the ones are the response.
        assert sorted(weights) == weights.tolist()
        response = vocabulary.decode(targets[weights == 1].tolist())
        assert response.strip() == example["output"].strip()


def test_the_paper_takes_the_loss_from_the_first_response_token(features, vocabulary):
    exact = encoded(EXAMPLES, features)
    for example, row, right in zip(
        EXAMPLES, encoded(EXAMPLES, features, response_mask="paper"), exact, strict=True
    ):
        prompt = templates.PROMPTS["en"].choose(example).render(example).text
        # What the paper's code does: BOS + tokens + EOS, of which the first len(BOS + prompt + EOS)
        # bear no loss; ours has no BOS.
        masked = 1 + len(vocabulary.encode(prompt)) + 1
        whole = [1, *vocabulary.encode(prompt + example["output"]), 2]
        assert row["targets"].tolist() == whole[1:]
        expected = [int(place >= masked) for place in range(len(whole))][1:]
        assert row["targets_loss_weights"].tolist() == expected
        assert row["targets_loss_weights"].sum() == right["targets_loss_weights"].sum() - 1


# Few lists of many texts: building the graph costs more than running it.
@settings(max_examples=2, deadline=None, phases=[Phase.generate])
@given(st.lists(st.tuples(*[TEXT] * 3), min_size=40, max_size=80))
def test_boundary_is_exact_for_any_text(vocabulary, texts):
    examples = [dict(zip(("instruction", "input", "output"), text, strict=True)) for text in texts]
    features = {"targets": seqio.Feature(vocabulary, add_eos=False)}
    for example, row in zip(examples, encoded(examples, features), strict=True):
        prompt = templates.PROMPTS["en"].choose(example).render(example).text
        pieces = vocabulary.tokenizer.encode(prompt + example["output"], out_type=str)
        # Bytes of the text that the unweighted tokens cover: all of the prompt, and more only by
        # the token that straddles the boundary.
        unweighted = [p for p, w in zip(pieces, row["targets_loss_weights"], strict=False) if not w]
        length = sum(map(_bytes_of_piece, unweighted)) - 1  # the dummy prefix
        excess = length - len(prompt.encode())
        assert 0 <= excess < (_bytes_of_piece(unweighted[-1]) if unweighted else 1)


def _bytes_of_piece(piece):
    if piece.startswith("<0x") and piece.endswith(">") and len(piece) == 6:
        return 1
    return len(piece.replace("▁", " ").encode())


def test_documents(features, vocabulary):
    ds = tf.data.Dataset.from_tensor_slices({"text": ["नमस्ते दुनिया", ""]})
    plain = rows(preprocessors.encode_documents(ds, features))
    tokens = vocabulary.encode("नमस्ते दुनिया")
    assert [row["targets"].tolist() for row in plain] == [[*tokens, 2], [2]]
    assert all(row["targets_loss_weights"].all() for row in plain)
    paper = rows(preprocessors.encode_documents(ds, features, repeat_special_tokens=True))
    assert [row["targets"].tolist() for row in paper] == [[1, *tokens, 2, 2], [1, 2, 2]]
    assert all(row["targets_loss_weights"].all() for row in paper)


def test_long_documents_are_split_or_kept():
    tokens = np.arange(1, 11, dtype=np.int32)
    ds = tf.data.Dataset.from_tensors({"targets": tokens, "targets_loss_weights": tokens > 0})
    split = rows(preprocessors.fit_documents(ds, {"targets": 4}))
    assert [row["targets"].tolist() for row in split] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    for kept in (
        preprocessors.fit_documents(ds, {"targets": 4}, too_long="keep"),
        preprocessors.fit_documents(ds, None),
    ):
        assert rows(kept)[0]["targets"].tolist() == tokens.tolist()


def fitted(lengths_in_input, longest, **options):
    """Fits one example: 3 tokens, n of `input`, 2, and 2 of the response."""
    n = lengths_in_input
    ds = tf.data.Dataset.from_tensors(
        {
            "targets": np.arange(1, 8 + n, dtype=np.int32),
            "targets_loss_weights": np.array([0] * (5 + n) + [1] * 2, np.int32),
            "targets_cuttable": np.array([0] * 3 + [1] * n + [0] * 4, np.int32),
        }
    )
    return rows(preprocessors.fit_prompt_response(ds, {"targets": longest}, **options))


def test_too_long_examples_lose_the_end_of_their_input(caplog):
    with caplog.at_level(logging.INFO):
        [row] = fitted(5, 10)
    assert row["targets"].tolist() == [1, 2, 3, 4, 5, 6, 9, 10, 11, 12]
    assert row["targets_loss_weights"].tolist() == [0] * 8 + [1] * 2
    assert "12 tokens is over the row's 10: cut its input" in caplog.text


def test_what_cannot_be_cut_enough_is_dropped(caplog):
    with caplog.at_level(logging.INFO):
        assert fitted(2, 6) == []
        assert fitted(5, 10, too_long="drop") == []
    assert caplog.text.count("dropped") == 2
    assert len(fitted(5, 12)) == len(fitted(5, 10, too_long="keep")) == 1


def test_questions(features, vocabulary):
    example = {"id": "1", "context": "Tea is hot.", "question": "What is hot?", "answers": ["Tea"]}
    prompt = qa_prompt("xquad", "hi", example["context"], example["question"])
    ds = tf.data.Dataset.from_tensors(example)
    encode = functools.partial(
        preprocessors.encode_question, ds, features, family="xquad", label_language="hi"
    )
    [row] = rows(encode(None))
    assert row["inputs_pretokenized"] == prompt
    whole = vocabulary.encode(prompt + "Tea")
    assert [*row["inputs"], *row["targets"]] == [*whole, 2]
    assert vocabulary.decode(row["targets"].tolist()) == "Tea"
    [short] = rows(encode({"inputs": 8, "targets": 8}))
    assert short["inputs"].tolist() == row["inputs"][-8:].tolist()


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda ds, f: preprocessors.encode_prompt_response(ds, f, response_mask="x"), "'exact'"),
        (lambda ds, f: preprocessors.fit_prompt_response(ds, None, too_long="x"), "'cut_input'"),
        (lambda ds, f: preprocessors.fit_documents(ds, None, too_long="x"), "'split'"),
    ],
)
def test_unknown_options_name_the_known_ones(features, call, name):
    with pytest.raises(InputError, match=name):
        call(dataset(EXAMPLES), features)
