import pathlib

import byte_level
import gguf_files
import pytest
import sentencepiece
import torch
import transformers
from gguf_files import make
from tokenizer_texts import TEXTS, random_texts, sample_texts

from commit_t5x import conversion, resources
from commit_t5x.conversion import gguf
from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.hugging_face import HuggingFaceTokenizer

SAMPLE_MODEL = resources.path("samples") / "tokenizer.model"


def imported(directory: pathlib.Path, tokenizer) -> pathlib.Path:
    """Writes the tokenizer's files of a GGUF file that has this tokenizer; returns the first."""
    model = make(num_hidden_layers=1)
    path = gguf_files.write(directory / "model.gguf", model, tokenizer=tokenizer)
    files = gguf.read(path).tokenizer.files
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory / next(iter(files))


def texts():
    return [*TEXTS, *random_texts(100), *sample_texts(), "in 2024, 12345678 don't  stop\n\n\nhere"]


@pytest.mark.parametrize("name, cut", [("smollm", "smollm"), ("llama3", "llama-bpe")])
def test_byte_level_tokens_are_the_originals(name, cut, tmp_path):
    original = getattr(byte_level, name)(tmp_path / "original")
    path = imported(tmp_path, gguf_files.byte_level(original, cut))
    assert path.name == "tokenizer.json"
    theirs, ours = HuggingFaceTokenizer(original), HuggingFaceTokenizer(path)
    assert (ours.bos_id, ours.eos_id, ours.vocab_size) == (
        theirs.bos_id,
        theirs.eos_id,
        theirs.vocab_size,
    )
    for text in texts():
        ids = theirs.backend.encode(text).ids
        assert ours.backend.encode(text).ids == ids
        assert ours.backend.decode(ids) == text


@pytest.mark.parametrize("name, cut, bos", [("smollm", "smollm", []), ("llama3", "llama3", [-2])])
def test_transformers_puts_bos_first_where_llama_cpp_does(name, cut, bos, tmp_path):
    original = getattr(byte_level, name)(tmp_path / "original")
    imported(tmp_path, gguf_files.byte_level(original, cut))
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    body = tokenizer("tea", add_special_tokens=False).input_ids
    assert tokenizer("tea").input_ids == [len(tokenizer) + place for place in bos] + body
    assert tokenizer.model_max_length == 128


def test_sentencepiece_tokens_are_the_originals(tmp_path):
    path = imported(tmp_path, gguf_files.sentencepiece(SAMPLE_MODEL))
    assert path.name == "tokenizer.model"
    ours, theirs = (
        sentencepiece.SentencePieceProcessor(model_file=str(p)) for p in (path, SAMPLE_MODEL)
    )
    assert [ours.bos_id(), ours.eos_id(), ours.unk_id(), ours.pad_id()] == [1, 2, 0, -1]
    assert ours.vocab_size() == theirs.vocab_size()
    for text in texts():
        assert ours.encode(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == theirs.decode(theirs.encode(text))


def test_a_file_travels_to_native_and_to_hugging_face(tmp_path):
    original = byte_level.llama3(tmp_path / "original")
    theirs = HuggingFaceTokenizer(original)
    model = make(num_hidden_layers=1, vocab_size=theirs.vocab_size)
    add = gguf_files.byte_level(original, "llama-bpe")
    path = gguf_files.write(tmp_path / "model.gguf", model, tokenizer=add)
    conversion.convert(path, tmp_path / "native", to="native")
    conversion.convert(tmp_path / "native", tmp_path / "hf", to="hf")
    vocabulary = configured.load(tmp_path / "native")
    exported = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    for text in texts():
        ids = theirs.backend.encode(text).ids
        assert vocabulary.encode(text) == ids
        assert exported(text).input_ids == [theirs.bos_id, *ids]
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf")
    assert loaded.config.eos_token_id == theirs.eos_id
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight)


def test_the_end_of_a_turn_is_an_eos(tmp_path):
    original = byte_level.smollm(tmp_path / "original")
    add = gguf_files.byte_level(original, "smollm")

    def with_turns(writer):
        add(writer)
        writer.add_eot_token_id(0)

    path = gguf_files.write(
        tmp_path / "model.gguf", make(num_hidden_layers=1), tokenizer=with_turns
    )
    assert gguf.read(path).tokenizer.eos_ids == (2, 0)


def test_a_file_without_a_tokenizer(tmp_path):
    path = gguf_files.write(tmp_path / "model.gguf", make(num_hidden_layers=1))
    assert gguf.read(path).tokenizer is None


def t5(writer):
    writer.add_tokenizer_model("t5")


def incomplete(writer):
    writer.add_tokenizer_model("llama")


def test_what_cannot_be_read_is_left_out_with_a_note(tmp_path):
    original = byte_level.smollm(tmp_path / "original")
    tekken = gguf_files.byte_level(original, "tekken")
    for tokenizer, problem in (
        (tekken, "tokenizer.ggml.pre 'tekken' is not among gpt-2, "),
        (t5, "tokenizer.ggml.model 't5' can't be read; "),
        (incomplete, "tokenizer.ggml.tokens is missing; "),
    ):
        model = make(num_hidden_layers=1)
        source = gguf.read(gguf_files.write(tmp_path / "gguf", model, tokenizer=tokenizer))
        assert source.tokenizer is None
        assert source.notes[-1].startswith(f"the tokenizer was left out: {problem}")
        assert "pass the tokenizer of the original model, --tokenizer=" in source.notes[-1]
