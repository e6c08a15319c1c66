import pathlib

import pytest
import sentencepiece
import tensorflow as tf
import tensorflow_text as tf_text
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentencepiece_models import train_model
from texts import EDGES, texts

from commit_t5x import resources
from commit_t5x.vocabularies.sentencepiece import SentencePieceTokenizer
from commit_t5x.vocabularies.seqio_vocabulary import TokenizerVocabulary

MODEL = resources.path("samples") / "tokenizer.model"
SENTENCES = [
    "Name three hot drinks.",
    "नदी मीठे पानी की एक बड़ी धारा होती है।",
    "Το νερό είναι ζωή.",
    "น้ำแข็งใส ๆ",
    "ᚠᛇᚻ 𝔘𝔫𝔦 👩‍👧 \U0010ffff",  # byte fallback
    "  two  spaces \n\n a\tb ",
    "▁ is SentencePiece's own space",
    "<s> </s> <unk> <0x41>",  # text, not special ids
    "e\u0301 \u094d \u0e49",
    " ",
    "",
]


@pytest.fixture(scope="module")
def vocabulary():
    return TokenizerVocabulary(SentencePieceTokenizer(MODEL))


@pytest.fixture(scope="module")
def reference():
    return sentencepiece.SentencePieceProcessor(model_file=str(MODEL))


def test_special_ids_are_llamas(vocabulary):
    assert (vocabulary.pad_id, vocabulary.bos_id, vocabulary.eos_id, vocabulary.unk_id) == (
        *(0, 1, 2, 0),
    )
    path = vocabulary.tokenizer.path
    assert path == MODEL and isinstance(path, pathlib.Path)


def test_size_and_ids_are_sentencepieces(vocabulary, reference):
    assert vocabulary.vocab_size == reference.vocab_size()
    for text in SENTENCES:
        assert list(vocabulary.encode(text)) == reference.encode(text)
        assert vocabulary.decode(reference.encode(text)) == text.replace("▁", " ")
        assert vocabulary.encode_tf(text).numpy().tolist() == reference.encode(text)


@settings(max_examples=150)
@given(batch=st.lists(texts | st.text(), min_size=1, max_size=16))
@example(batch=SENTENCES)
@example(batch=["".join(EDGES), *EDGES])
def test_ids_and_offsets_on_any_text(vocabulary, reference, batch):
    ids, starts = vocabulary.encode_with_offsets_tf(tf.constant(batch))
    assert (ids.dtype, starts.dtype) == (tf.int32, tf.int64)
    for text, row, places in zip(batch, ids.to_list(), starts.to_list(), strict=True):
        assert row == reference.encode(text)
        assert_tokens_begin_at(places, row, text.encode(), reference)


def assert_tokens_begin_at(starts, ids, text, reference):
    """Walks over the text by the pieces' own spelling, knowing nothing of offsets."""
    # The dummy prefix is a space that the text doesn't have.
    text = b" " + text if text else text
    position, character = 0, b""
    for start, id_ in zip(starts, ids, strict=True):
        assert not reference.is_unknown(id_)
        if reference.is_byte(id_):
            assert start == max(position - 1, 0), "byte tokens begin where their character begins"
            character += bytes([int(reference.id_to_piece(id_)[1:-1], 16)])
            if text.startswith(character, position) and _is_complete(character):
                position, character = position + len(character), b""
            continue
        assert not character, "a character was left unfinished"
        assert start == max(position - 1, 0)
        piece = reference.id_to_piece(id_)
        width = _width(text[position:], piece)
        position += width
    assert not character
    assert position == len(text), "the pieces cover the text"


def _is_complete(character):
    try:
        character.decode()
    except UnicodeDecodeError:
        return False
    return True


def _width(text, piece):
    """Returns how many bytes at the start of the text a piece spells; its ▁ may be a space."""
    width = 0
    for letter in piece:
        spellings = [letter.encode(), b" "] if letter == "▁" else [letter.encode()]
        spelling = next((s for s in spellings if text.startswith(s, width)), None)
        assert spelling is not None, (piece, text[:40])
        width += len(spelling)
    return width


def test_a_word_of_a_megabyte(vocabulary, reference):
    text = f"tea {'a' * 1_000_000} tea"
    ids, starts = vocabulary.encode_with_offsets_tf(tf.constant([text]))
    assert ids.to_list() == [reference.encode(text)]
    assert starts[0, -1] == len(text) - len(" tea")


def test_words_are_tokenised_apart_only_where_that_changes_nothing(vocabulary, tmp_path):
    assert vocabulary.tokenizer.words_are_independent
    bpe = {"model_type": "bpe", "normalization_rule_name": "identity"}
    kinds = {
        "unigram": {**bpe, "model_type": "unigram"},  # a sum of scores may round either way
        "normalised": {**bpe, "normalization_rule_name": "nfkc"},
        "trimmed": bpe,  # remove_extra_whitespaces is SentencePiece's default
        "across": {**bpe, "split_by_whitespace": False, "remove_extra_whitespaces": False},
    }
    batch = tf.constant(["tea  water", " water tea", "tea water tea water", "ﬁ"])
    for name, options in kinds.items():
        path = train_model(tmp_path / f"{name}.model", **options)
        model, reference = (
            SentencePieceTokenizer(path),
            sentencepiece.SentencePieceProcessor(str(path)),
        )
        assert not model.words_are_independent, name
        ids, starts = TokenizerVocabulary(model).encode_with_offsets_tf(batch)
        assert ids.to_list() == [reference.encode(text.decode()) for text in batch.numpy()]
        # TensorFlow's own copy of SentencePiece counts from the same text.
        theirs = tf_text.SentencepieceTokenizer(path.read_bytes()).tokenize_with_offsets(batch)
        assert starts.to_list() == theirs[1].to_list()
    plain = train_model(tmp_path / "plain.model", **bpe, remove_extra_whitespaces=False)
    assert SentencePieceTokenizer(plain).words_are_independent


def test_decoding_ends_at_eos_and_knows_rows_without_a_piece(reference):
    tokenizer = SentencePieceTokenizer(MODEL)
    tea = tokenizer.encode("tea")
    assert tokenizer.decode([tokenizer.bos_id, *tea, tokenizer.eos_id, *tea]) == "tea"
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode([tokenizer.vocab_size]) == reference.decode([tokenizer.unk_id])
