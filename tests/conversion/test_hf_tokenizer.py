import json
import pathlib

import byte_level
import pytest
import sentencepiece
import transformers
from sentencepiece_models import train_model
from tokenizer_texts import TEXTS, random_texts, sample_texts

from commit_t5x import resources
from commit_t5x.conversion import hf_tokenizer
from commit_t5x.errors import InputError
from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.tokenizer import Tokenizer


def train(folder: pathlib.Path, **options) -> pathlib.Path:
    """Trains a small SentencePiece model, LLaMA's way by default."""
    defaults = dict(
        sentence_iterator=sample_texts(),
        model_type="bpe",
        vocab_size=700,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
    )
    return train_model(folder / "trained.model", **{**defaults, **options})


def write(path: pathlib.Path, folder: pathlib.Path) -> Tokenizer:
    """Exports a tokenizer to a folder, and returns what is found there."""
    for name, content in hf_tokenizer.files(configured.find(path), max_length=64).items():
        (folder / name).write_bytes(content)
    return configured.find(folder)


def assert_encodes_alike(model: pathlib.Path, folder: pathlib.Path):
    write(model, folder)
    exported = transformers.AutoTokenizer.from_pretrained(folder)
    reference = sentencepiece.SentencePieceProcessor(model_file=str(model))
    for text in [*TEXTS, *random_texts(200), *sample_texts()]:
        ids = reference.encode(text)
        assert exported(text).input_ids == [reference.bos_id(), *ids], repr(text)
        if reference.unk_id() not in ids and "▁" not in text:
            assert exported.decode(ids) == reference.decode(ids), repr(text)


def test_sample_tokenizer(tmp_path):
    assert_encodes_alike(resources.path("samples") / "tokenizer.model", tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"remove_extra_whitespaces": True, "allow_whitespace_only_pieces": False},
        {"add_dummy_prefix": False},
        {"byte_fallback": False, "character_coverage": 0.99},
    ],
    ids=["llama", "removes spaces", "no prefix", "no bytes"],
)
def test_trained_tokenizers(tmp_path, options):
    assert_encodes_alike(train(tmp_path, **options), tmp_path)


def test_pieces_of_one_score_are_joined_from_the_left(tmp_path, caplog):
    # As in LLaMA's model, where all runs of spaces score the same.
    from sentencepiece import sentencepiece_model_pb2 as model_pb2

    proto = model_pb2.ModelProto.FromString(train(tmp_path).read_bytes())
    spaces = [piece for piece in proto.pieces if set(piece.piece) == {"▁"}]
    for length in range(2, 17):
        if length not in {len(piece.piece) for piece in spaces}:
            spaces.append(proto.pieces.add(piece="▁" * length))
    for piece in spaces:
        piece.score = -1e9
    model = tmp_path / "spaces.model"
    model.write_bytes(proto.SerializeToString())
    assert_encodes_alike(model, tmp_path)
    assert "share their score" not in caplog.text
    for piece in (" tea", "xq"):  # as some lengthen LLaMA's model
        proto.pieces.add(piece=piece.replace(" ", "▁"), score=0)
    model.write_bytes(proto.SerializeToString())
    write(model, tmp_path)
    assert "spaces.model: 3 pieces share their score with others, such as" in caplog.text


def test_special_tokens_and_files(tmp_path):
    model = resources.path("samples") / "tokenizer.model"
    ours = write(model, tmp_path)
    assert (ours.bos_id, ours.eos_ids, ours.pad_id) == (1, (2,), 0)
    assert (tmp_path / "tokenizer.model").read_bytes() == model.read_bytes()
    exported = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(exported) == ours.vocab_size
    assert exported.model_max_length == 64
    special = (exported.bos_token_id, exported.eos_token_id, exported.pad_token_id)
    assert special == (1, 2, 0)
    assert exported("a", add_special_tokens=False).input_ids == exported("a").input_ids[1:]
    assert exported.decode([1, *exported("a b").input_ids, 2], skip_special_tokens=True) == "a b"


def test_a_hugging_face_tokenizer_goes_through_unchanged(tmp_path):
    path = byte_level.llama3(tmp_path / "first")
    first = transformers.AutoTokenizer.from_pretrained(path.parent)
    second = tmp_path / "second"
    second.mkdir()
    ours = write(path, second)
    ids = (ours.vocab_size, ours.bos_id, ours.eos_id)
    assert ids == (len(first), first.bos_token_id, first.eos_token_id)
    exported = transformers.AutoTokenizer.from_pretrained(second)
    for text in [*TEXTS, *random_texts(100), *sample_texts()]:
        assert exported(text).input_ids == first(text).input_ids
    assert exported("a").input_ids[0] == first.bos_token_id
    assert hf_tokenizer.files(ours, max_length=64) == ours.files


def test_a_named_pad_token_is_reported(tmp_path):
    path = byte_level.smollm(tmp_path)
    config = path.with_name("tokenizer_config.json")
    config.write_text(json.dumps({**json.loads(config.read_text()), "pad_token": "<|im_end|>"}))
    assert write(path, tmp_path).pad_id == 2


@pytest.mark.parametrize(
    "options, message",
    [
        ({"normalization_rule_name": "nmt_nfkc"}, "normalisation"),
        ({"user_defined_symbols": ["<new>"]}, "user-defined symbols \\['<new>'\\]"),
        ({"model_type": "unigram", "vocab_size": 600}, "only SentencePiece models of type BPE"),
        ({"bos_id": -1}, "no bos or eos"),
    ],
    ids=["nfkc", "symbols", "unigram", "no bos"],
)
def test_refuses_what_it_cannot_express(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        write(train(tmp_path, **options), tmp_path)
