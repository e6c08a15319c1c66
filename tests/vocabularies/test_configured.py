import io
import pathlib

import byte_level
import pytest
import sentencepiece
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st
from texts import EDGES, texts

from commit_t5x import resources
from commit_t5x.errors import InputError
from commit_t5x.vocabularies import configured

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
    return configured.load(MODEL)


@pytest.fixture(scope="module")
def reference():
    return sentencepiece.SentencePieceProcessor(model_file=str(MODEL))


def train_model(path, **options):
    """Trains a SentencePiece model of a few pieces."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["tea water", "water tea"]),
        model_writer=model,
        vocab_size=24,
        hard_vocab_limit=False,
        minloglevel=2,
        **options,
    )
    path.write_bytes(model.getvalue())
    return path


def test_special_ids_are_llamas(vocabulary):
    assert (vocabulary.pad_id, vocabulary.bos_id, vocabulary.eos_id, vocabulary.unk_id) == (
        *(0, 1, 2, 0),
    )
    assert vocabulary.path == MODEL
    assert isinstance(vocabulary.path, pathlib.Path)


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
    assert vocabulary._words_are_independent
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
        model, reference = configured.load(path), sentencepiece.SentencePieceProcessor(str(path))
        assert not model._words_are_independent, name
        ids, _ = model.encode_with_offsets_tf(batch)
        assert ids.to_list() == [reference.encode(text.decode()) for text in batch.numpy()]
    plain = train_model(tmp_path / "plain.model", **bpe, remove_extra_whitespaces=False)
    assert configured.load(plain)._words_are_independent


def test_offsets_by_example(vocabulary, reference):
    text = "पानी ᚠ!"
    ids, starts = (x.to_list()[0] for x in vocabulary.encode_with_offsets_tf(tf.constant([text])))
    pieces = [reference.id_to_piece(id_) for id_ in ids]
    rune = pieces.index("<0xE1>")
    assert pieces[rune : rune + 4] == ["<0xE1>", "<0x9A>", "<0xA0>", "!"]
    assert starts[rune : rune + 4] == [13, 13, 13, 16]
    assert starts[0] == 0


def test_loading_is_cached_by_path():
    assert configured.load(MODEL) is configured.load(MODEL)


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256)), b"\n" * 1000])
def test_a_file_that_is_no_model(tmp_path, content):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a SentencePiece model; set TOKENIZER") as caught:
        configured.load(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_missing_model(tmp_path):
    for path in (tmp_path / "tokenizer.model", tmp_path):
        with pytest.raises(InputError, match="no such tokenizer; set TOKENIZER") as caught:
            configured.load(path)
        assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("missing", ["bos_id", "eos_id"])
def test_a_model_without_bos_or_eos(tmp_path, missing):
    path = train_model(tmp_path / "tokenizer.model", **{missing: -1})
    with pytest.raises(InputError, match="defines no bos or eos id"):
        configured.load(path)


def test_gin_names_the_tokenizer(bind, tmp_path):
    bind("configured.get_vocabulary.tokenizer", "samples")
    assert configured.get_vocabulary().path == MODEL
    path = train_model(tmp_path / "tokenizer.model")
    bind("configured.get_vocabulary.tokenizer", str(path))
    assert configured.get_vocabulary().path == path


def test_a_configured_vocabulary_follows_gin(bind, tmp_path, vocabulary):
    late = configured.ConfiguredVocabulary()  # before gin has said anything
    small = configured.load(train_model(tmp_path / "tokenizer.model", bos_id=3, eos_id=4))
    for name, expected in [("samples", vocabulary), (str(small.path), small)]:
        bind("configured.get_vocabulary.tokenizer", name)
        assert late.vocab_size == expected.vocab_size
        assert late.bos_id == expected.bos_id
        assert late.eos_id == expected.eos_id
        assert late.pad_id == expected.pad_id == 0
        assert late.unk_id == expected.unk_id
        ids = expected.encode("tea water")
        assert late.encode("tea water") == ids
        assert late.decode(ids) == "tea water"
        assert late.encode_tf(tf.constant("tea water")).numpy().tolist() == ids
        assert late.decode_tf(tf.constant([ids])).numpy().tolist() == [b"tea water"]
        tokens, starts = late.encode_with_offsets_tf(tf.constant(["tea water"]))
        assert tokens.to_list() == [ids]
        assert starts.to_list()[0][0] == 0
    assert vocabulary.vocab_size != small.vocab_size


def test_configured_vocabularies_are_equal_as_seqio_wants_of_mixtures(vocabulary):
    late = configured.ConfiguredVocabulary()
    assert late == configured.ConfiguredVocabulary()
    assert late != vocabulary


def test_a_hugging_face_tokenizer_by_file_or_directory(bind, tmp_path):
    path = byte_level.llama3(tmp_path / "model")
    for name in (path, path.parent):
        assert configured.load(name).path == path
    late = configured.ConfiguredVocabulary()
    bind("configured.get_vocabulary.tokenizer", str(path.parent))
    assert late.unk_id is None
    assert late.vocab_size == late.eos_id + 1
    ids = late.encode("tea!")
    ended = tf.constant([[*ids, late.eos_id, 0, 0]])  # 0 is "!"
    assert late.decode_tf(ended).numpy().tolist() == [b"tea!"]
    assert late.decode([*ids, late.eos_id, 0]) == "tea!"
    tokens, starts = late.encode_with_offsets_tf(tf.constant(["tea!"]))
    assert (tokens.to_list(), starts[0, -1]) == ([ids], 3)


def test_a_directory_with_both_gives_the_sentencepiece_model(tmp_path):
    path = byte_level.llama3(tmp_path / "model")
    model = path.with_name("tokenizer.model")
    model.write_bytes(MODEL.read_bytes())
    assert configured.load(path.parent).path == model


def test_a_configured_vocabulary_reports_a_missing_tokenizer_at_use(bind, tmp_path):
    late = configured.ConfiguredVocabulary()
    bind("configured.get_vocabulary.tokenizer", str(tmp_path / "none.model"))
    with pytest.raises(InputError, match=r"none\.model: no such tokenizer"):
        late.encode("tea")
