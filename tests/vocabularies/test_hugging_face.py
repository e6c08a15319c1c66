import json
import pickle

import byte_level
import pytest
import seqio
import tensorflow as tf
import transformers
from hypothesis import example, given, settings
from hypothesis import strategies as st
from texts import EDGES, texts

from commit_t5x import resources
from commit_t5x.conversion import hf_tokenizer
from commit_t5x.data import preprocessors
from commit_t5x.vocabularies.hugging_face import HuggingFaceTokenizer
from commit_t5x.vocabularies.sentencepiece import SentencePieceTokenizer
from commit_t5x.vocabularies.seqio_vocabulary import TokenizerVocabulary

SAMPLE_MODEL = resources.path("samples") / "tokenizer.model"
LOOK_SPECIAL = "a <|endoftext|> b<|im_end|>\n<|begin_of_text|> <s> </s> <unk>"


def converted(directory):
    """The sample SentencePiece model as a tokenizer.json."""
    directory.mkdir()
    files = hf_tokenizer.files(SentencePieceTokenizer(SAMPLE_MODEL), max_length=64)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (directory / name).write_bytes(files[name])
    return directory / "tokenizer.json"


def made(path):
    return TokenizerVocabulary(HuggingFaceTokenizer(path))


MADE = {"smollm": byte_level.smollm, "llama3": byte_level.llama3, "converted": converted}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizers")


@pytest.fixture(scope="module", params=MADE)
def vocabulary(request, directory):
    return made(MADE[request.param](directory / request.param))


@pytest.fixture(scope="module")
def byte_levels(tmp_path_factory):
    root = tmp_path_factory.mktemp("byte_level")
    return [made(MADE[name](root / name)) for name in ("smollm", "llama3")]


def test_special_ids(byte_levels, tmp_path):
    smollm, llama3 = byte_levels
    assert (smollm.bos_id, smollm.eos_id, smollm.unk_id, smollm.pad_id) == (1, 2, None, 0)
    assert llama3.bos_id == llama3.vocab_size - 2
    assert llama3.eos_id == llama3.vocab_size - 1
    assert llama3.encode("!") == [0]  # the padding's id is text
    vocabulary = made(converted(tmp_path / "converted"))
    special = (vocabulary.bos_id, vocabulary.eos_id, vocabulary.unk_id, vocabulary.pad_id)
    assert special == (1, 2, 0, 0)
    assert vocabulary.vocab_size == 3000


def test_ids_are_transformers_without_special_tokens(vocabulary):
    reference = transformers.AutoTokenizer.from_pretrained(vocabulary.tokenizer.path.parent)
    for text in ("", " ", "Name three hot drinks.", "नदी 2024\n\n  x", " น้ำแข็ง", "👩‍👧!"):
        ids = reference(text, add_special_tokens=False).input_ids
        assert vocabulary.encode(text) == ids
        assert vocabulary.encode_tf(tf.constant(text)).numpy().tolist() == ids
        assert vocabulary.decode(ids) == text
        ragged = vocabulary.encode_tf(tf.constant([text, "a"]))
        assert ragged.to_list() == [ids, vocabulary.encode("a")]


def test_text_that_looks_like_special_tokens_is_text(vocabulary):
    ids = vocabulary.encode(LOOK_SPECIAL)
    assert not {vocabulary.bos_id, vocabulary.eos_id} & set(ids)
    assert vocabulary.decode(ids) == LOOK_SPECIAL
    assert vocabulary.encode_with_offsets_tf(tf.constant([LOOK_SPECIAL]))[0].to_list() == [ids]


def test_special_tokens_are_left_out_of_the_text(vocabulary):
    ids = vocabulary.encode("tea")
    assert vocabulary.decode([vocabulary.bos_id, *ids, vocabulary.eos_id, *ids]) == "tea"


def test_decoding_in_a_graph_ends_at_eos(vocabulary):
    tea, milk = vocabulary.encode("tea!"), vocabulary.encode("milk and sugar")
    width = max(len(tea), len(milk)) + 2
    rows = [[*ids, vocabulary.eos_id, *tea, *[0] * width][:width] for ids in (tea, milk)]

    @tf.function
    def decode(ids):
        return vocabulary.decode_tf(ids)

    assert decode(tf.constant(rows)).numpy().tolist() == [b"tea!", b"milk and sugar"]
    assert decode(tf.ragged.constant([tea, [], milk])).numpy().tolist() == [
        *(b"tea!", b"", b"milk and sugar"),
    ]
    assert decode(tf.constant(tea)).numpy() == b"tea!"


@settings(max_examples=60)
@given(batch=st.lists(texts | st.text(), max_size=8))
@example(batch=["".join(EDGES), *EDGES, LOOK_SPECIAL, "हिन्दी 2024", "  two  spaces "])
def test_offsets_of_byte_level_tokens_add_up_their_bytes(byte_levels, batch):
    for vocabulary in byte_levels:
        ids, starts = vocabulary.encode_with_offsets_tf(tf.constant(batch, tf.string))
        assert (ids.dtype, starts.dtype) == (tf.int32, tf.int64)
        assert ids.nrows() == len(batch)
        for text, row, places in zip(batch, ids.to_list(), starts.to_list(), strict=True):
            assert row == vocabulary.encode(text)
            content, position = text.encode(), 0
            for id_, place in zip(row, places, strict=True):
                begin = position
                while content[begin] & 0xC0 == 0x80:
                    begin -= 1
                assert place == begin
                # In its own spelling, each byte of a token is one character.
                position += len(vocabulary.tokenizer.backend.id_to_token(id_))
            assert position == len(content)


@settings(max_examples=60)
@given(batch=st.lists(texts, min_size=1, max_size=8))
def test_offsets_of_a_converted_model_are_sentencepieces(converted_pair, batch):
    sentencepiece, vocabulary = converted_pair
    batch = tf.constant([text.replace("▁", "_") for text in batch])
    for ours, theirs in zip(
        vocabulary.encode_with_offsets_tf(batch),
        sentencepiece.encode_with_offsets_tf(batch),
        strict=True,
    ):
        assert ours.to_list() == theirs.to_list()


@pytest.fixture(scope="module")
def converted_pair(tmp_path_factory):
    path = converted(tmp_path_factory.mktemp("converted") / "model")
    return TokenizerVocabulary(SentencePieceTokenizer(SAMPLE_MODEL)), made(path)


def test_a_token_across_the_boundary_belongs_to_the_prompt(byte_levels):
    vocabulary = byte_levels[0]
    assert len(vocabulary.encode(" the")) == 1
    features = {"targets": seqio.Feature(vocabulary, add_eos=False)}
    prompts, responses = ["is ", "is", "क", ""], ["the cat", " the cat", "ा", "the cat"]
    ds = tf.data.Dataset.from_tensor_slices(
        {"prompt": prompts, "response": responses, "cuttable_span": [[0, 0]] * 4}
    ).batch(4)
    rows = next(iter(preprocessors.encode_prompt_response(ds, features)))
    for prompt, response, ids in zip(prompts, responses, rows["targets"].to_list(), strict=True):
        assert ids[-1] == vocabulary.eos_id
        expected = " cat" if prompt == "is " else response  # " the" straddles
        assert vocabulary.decode(ids) == expected


def test_in_a_data_set_whose_position_can_be_saved(byte_levels, tmp_path):
    vocabulary = byte_levels[0]
    texts = [f"text {number}" for number in range(9)]

    def pipeline():
        ds = tf.data.Dataset.from_tensor_slices(texts).map(vocabulary.encode_tf)
        return iter(ds.padded_batch(1))

    iterator = pipeline()
    for _ in range(3):
        next(iterator)
    saved = tf.train.Checkpoint(iterator=iterator).write(str(tmp_path / "iterator"))
    restored = pipeline()
    tf.train.Checkpoint(iterator=restored).read(saved)
    assert vocabulary.decode(next(restored)[0]) == "text 3"


def test_equality_and_pickling(directory, byte_levels):
    smollm, llama3 = byte_levels
    again = made(byte_level.smollm(directory / "again"))
    assert smollm == again
    assert hash(smollm.tokenizer) == hash(again.tokenizer)
    assert smollm != llama3
    copy = pickle.loads(pickle.dumps(smollm))
    assert copy == smollm
    assert copy.encode("tea") == smollm.encode("tea")
    other = byte_level.smollm(directory / "other_bos")
    config = other.with_name("tokenizer_config.json")
    config.write_text(json.dumps({"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}))
    assert made(other) != smollm
