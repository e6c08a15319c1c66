import json

import byte_level
import pytest
import tokenizers
from sentencepiece_models import train_model
from source_files import message_of, write

from commit_t5x import resources
from commit_t5x.conversion import hf_tokenizer
from commit_t5x.errors import InputError
from commit_t5x.extension import continuing, words
from commit_t5x.vocabularies import configured

MODEL = resources.path("samples") / "tokenizer.model"


def test_loading_is_cached_by_path():
    assert configured.load(MODEL) is configured.load(MODEL)


@pytest.mark.parametrize("content", [b"", b"not a model", bytes(range(256)), b"\n" * 1000])
def test_a_file_that_is_no_model(tmp_path, content):
    path = write(tmp_path / "tokenizer.model", content)
    expected = f"{path}: not a SentencePiece model; set TOKENIZER"
    assert message_of(configured.load, path).startswith(expected)


def test_names_are_those_of_the_ids(tmp_path):
    other = configured.load(train_model(tmp_path / "tokenizer.model"))
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "tokenizer.model").write_bytes(MODEL.read_bytes())
    name = configured.name(configured.load(MODEL))
    assert name == configured.name(configured.load(tmp_path / "copy"))
    assert name.startswith("3,000 tokens ") and name != configured.name(other)


def test_a_continued_tokenizer_is_another(tmp_path):
    base = configured.load(MODEL)
    found = words.Words({" गुड़हल": 9, " गुड़": 5}, ("Devanagari",), 1.0)
    longer, [addition, *_] = continuing.learn(base, found, 2)
    assert addition.token not in base.tokens()
    assert not configured.agree(base, longer) and not configured.agree(longer, base)
    others = words.Words({" मोगरा": 9, " मोग": 5}, ("Devanagari",), 1.0)
    different, _ = continuing.learn(base, others, 2)
    assert longer.vocab_size == different.vocab_size
    assert configured.name(longer) != configured.name(different)
    (tmp_path / "tokenizer.json").write_bytes(hf_tokenizer.files(base, 64)["tokenizer.json"])
    converted = configured.load(tmp_path / "tokenizer.json")
    assert configured.agree(base, converted)
    assert configured.name(base) == configured.name(converted)


def test_a_missing_model(tmp_path):
    for path in (tmp_path / "tokenizer.model", tmp_path):
        expected = f"{path}: no such tokenizer; set TOKENIZER"
        assert message_of(configured.load, path).startswith(expected)


@pytest.mark.parametrize("missing", ["bos_id", "eos_id"])
def test_a_model_without_bos_or_eos(tmp_path, missing):
    path = train_model(tmp_path / "tokenizer.model", **{missing: -1})
    with pytest.raises(InputError, match="defines no bos or eos id"):
        configured.load(path)


def test_files_directories_and_checkpoints(tmp_path):
    path = byte_level.smollm(tmp_path / "model")
    (tmp_path / "model" / "checkpoint_3").mkdir()
    assert configured.find(tmp_path) is None
    assert configured.find(tmp_path / "none.json") is None
    for place in (path, path.parent, str(path.parent), path.parent / "checkpoint_3"):
        assert configured.find(place).path == path


def test_of_two_files_that_agree_the_faster_is_taken(tmp_path, caplog):
    files = hf_tokenizer.files(configured.find(MODEL), max_length=64)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert configured.find(tmp_path).path == tmp_path / "tokenizer.model"
    assert not caplog.messages


def add_token(path):
    backend = tokenizers.Tokenizer.from_file(str(path))
    backend.add_tokens(["<obs>"])
    backend.save(str(path))


def trim_spaces(path):
    content = json.loads(path.read_text(encoding="utf-8"))
    content["normalizer"]["normalizers"].insert(0, {"type": "Strip", "strip_left": True})
    content["normalizer"]["normalizers"][0]["strip_right"] = False
    path.write_text(json.dumps(content), encoding="utf-8")


def name_another_eos(path):
    config = path.with_name("tokenizer_config.json")
    config.write_text(json.dumps({"bos_token": "<s>", "eos_token": "<unk>"}))
    path.with_name("tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\n")  # of tiktoken's kind


@pytest.mark.parametrize("change", [add_token, trim_spaces, name_another_eos])
def test_of_two_files_that_differ_tokenizer_json_is_taken(tmp_path, change, caplog):
    files = hf_tokenizer.files(configured.find(MODEL), max_length=64)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    change(tmp_path / "tokenizer.json")
    assert configured.find(tmp_path).path == tmp_path / "tokenizer.json"
    [line] = caplog.messages
    assert line.startswith(f"{tmp_path}: tokenizer.model and tokenizer.json differ; tokenizer.json")


@pytest.mark.parametrize(
    "name, content",
    [
        ("added_tokens.json", {"<|im_end|>": 3000}),
        ("tokenizer_config.json", {"eos_token": "<|im_end|>"}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"3000": {"content": "<|im_end|>"}}}),
    ],
)
def test_tokens_added_to_a_sentencepiece_model_are_not_lost(tmp_path, name, content):
    (tmp_path / "tokenizer.model").write_bytes(MODEL.read_bytes())
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"add tokens, <.im_end.>, .*save_pretrained"):
        configured.load(tmp_path)


def test_what_lies_beside_a_sentencepiece_model_travels(tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(MODEL.read_bytes())
    config = {"bos_token": "", "eos_token": "", "pad_token": "</s>", "chat_template": "{{ hi }}"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [2, 5]}')
    tokenizer = configured.find(tmp_path)
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (1, 2, 2)
    assert tokenizer.eos_ids == (2, 5)
    assert tokenizer.decode([300, 5, 300]) == tokenizer.decode([300])
    exported = json.loads(hf_tokenizer.files(tokenizer, 64)["tokenizer_config.json"])
    assert (exported["pad_token"], exported["eos_token"]) == ("</s>", "</s>")
    assert exported["chat_template"] == "{{ hi }}"
