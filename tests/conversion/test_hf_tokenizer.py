import pathlib
import random
import shutil

import pytest
import sentencepiece
import transformers

from commit_t5x import resources
from commit_t5x.conversion import hf_tokenizer
from commit_t5x.errors import InputError

LANGUAGES = ("hi", "el", "th")
TEXTS = [
    "",
    " ",
    "hello world",
    "  two leading spaces, trailing  ",
    "a\nb\n\nc\t tab\r\n",
    "### Response:",
    "सवाल: पृष्ठभूमि।",
    "Ερώτηση: τι;",
    "พื้นหลัง: คำถาม",
    "mixed हिंदी and English, ελληνικά",
    "😀👩‍👩‍👧 e\u0301 \u00a0nbsp ﬁ Ａ \x00",
    "▁ a▁b",
    *(" " * n + "x" for n in range(2, 40)),
]


def random_texts(count, seed=0):
    """Strings of characters from many scripts, most of them unknown to a small tokenizer."""
    rng = random.Random(seed)
    ranges = [(32, 127), (0x900, 0x980), (0x370, 0x400), (0xE00, 0xE5C), (0x4E00, 0x4E20)]
    extra = [" ", " ", "\n", "😀", "e"]

    def character():
        start, end = rng.choice(ranges)
        return rng.choice([chr(rng.randrange(start, end)), rng.choice(extra)])

    return ["".join(character() for _ in range(rng.randrange(60))) for _ in range(count)]


def sample_texts():
    for language in LANGUAGES:
        path = resources.path("samples") / f"wikipedia.{language}.txt"
        yield from path.read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Returns a function that trains a small SentencePiece model, LLaMA's way by default."""

    def train(**options):
        folder = tmp_path_factory.mktemp("tokenizer")
        defaults = dict(
            model_type="bpe",
            vocab_size=700,
            byte_fallback=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            minloglevel=2,
        )
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=sample_texts(),
            model_prefix=str(folder / "model"),
            **{**defaults, **options},
        )
        return folder / "model.model"

    return train


def assert_encodes_alike(model: pathlib.Path, folder: pathlib.Path):
    hf_tokenizer.export(model, folder, max_length=64)
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
def test_trained_tokenizers(train, tmp_path, options):
    assert_encodes_alike(train(**options), tmp_path)


def test_pieces_of_one_score_are_joined_from_the_left(train, tmp_path):
    # As in LLaMA's model, where all runs of spaces score the same.
    from sentencepiece import sentencepiece_model_pb2 as model_pb2

    proto = model_pb2.ModelProto.FromString(train().read_bytes())
    spaces = [piece for piece in proto.pieces if set(piece.piece) == {"▁"}]
    for length in range(2, 17):
        if length not in {len(piece.piece) for piece in spaces}:
            spaces.append(proto.pieces.add(piece="▁" * length))
    for piece in spaces:
        piece.score = -1e9
    model = tmp_path / "spaces.model"
    model.write_bytes(proto.SerializeToString())
    assert_encodes_alike(model, tmp_path)


def test_special_tokens_and_files(tmp_path):
    model = resources.path("samples") / "tokenizer.model"
    ids = hf_tokenizer.export(model, tmp_path, max_length=64)
    assert (ids["bos_token_id"], ids["eos_token_id"], ids["pad_token_id"]) == (1, 2, 0)
    assert (tmp_path / "tokenizer.model").read_bytes() == model.read_bytes()
    exported = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(exported) == ids["vocab_size"]
    assert exported.model_max_length == 64
    special = (exported.bos_token_id, exported.eos_token_id, exported.pad_token_id)
    assert special == (1, 2, 0)
    assert exported("a", add_special_tokens=False).input_ids == exported("a").input_ids[1:]
    assert exported.decode([1, *exported("a b").input_ids, 2], skip_special_tokens=True) == "a b"


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
def test_refuses_what_it_cannot_express(train, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        hf_tokenizer.export(train(**options), tmp_path, max_length=64)


def test_not_a_tokenizer(tmp_path):
    path = tmp_path / "tokenizer.model"
    path.write_text("text")
    with pytest.raises(InputError, match="not a readable SentencePiece model"):
        hf_tokenizer.export(path, tmp_path, max_length=64)
    shutil.rmtree(tmp_path)
    with pytest.raises(InputError, match="not a readable SentencePiece model"):
        hf_tokenizer.export(path, tmp_path, max_length=64)
