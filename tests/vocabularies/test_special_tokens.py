import json

import byte_level
import pytest
import transformers
from source_files import message_of

from commit_t5x import resources
from commit_t5x.errors import InputError
from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.hugging_face import HuggingFaceTokenizer

SAMPLE_MODEL = resources.path("samples") / "tokenizer.model"


@pytest.fixture
def path(tmp_path):
    """A tokenizer.json with nothing beside it."""
    path = byte_level.smollm(tmp_path / "smollm")
    path.with_name("tokenizer_config.json").unlink()
    return path


def special(path):
    tokenizer = HuggingFaceTokenizer(path)
    return tokenizer.bos_id, tokenizer.eos_id


def write(path, **content):
    path.write_text(json.dumps(content))


def test_the_nearest_file_says_what_bos_and_eos_are(path):
    assert special(path) == (0, 0)  # <|endoftext|>, the usual name among its tokens
    write(path.with_name("config.json"), bos_token_id=5, eos_token_id=[6, 7])
    assert special(path) == (5, 6)
    write(path.with_name("generation_config.json"), eos_token_id=8)
    assert special(path) == (5, 8)
    write(path.with_name("special_tokens_map.json"), bos_token={"content": "<|im_start|>"})
    assert special(path) == (1, 8)
    write(path.with_name("tokenizer_config.json"), bos_token=None, eos_token="<|im_end|>")
    assert special(path) == (1, 2)


def test_what_is_carried_says_it_alone(path, tmp_path):
    write(path.with_name("special_tokens_map.json"), bos_token="<|im_start|>")
    write(path.with_name("generation_config.json"), eos_token_id=2)
    config = {"pad_token": "<|im_end|>", "chat_template": "{{ older }}"}
    write(path.with_name("tokenizer_config.json"), **config)
    path.with_name("chat_template.jinja").write_text("{{ messages }}")
    carried = tmp_path / "carried"
    carried.mkdir()
    files = configured.find(path).files
    for name, content in files.items():
        (carried / name).write_bytes(content)
    assert files["tokenizer.json"] == path.read_bytes()
    assert special(carried / "tokenizer.json") == (1, 2)
    tokenizer = transformers.AutoTokenizer.from_pretrained(carried)
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert tokenizer.chat_template == "{{ messages }}"
    assert configured.find(carried).files == files


def test_a_sentencepiece_model_is_carried_alone():
    assert configured.find(SAMPLE_MODEL).files == {"tokenizer.model": SAMPLE_MODEL.read_bytes()}


def test_what_a_tokenizer_does_at_training_is_not_wanted(path):
    content = json.loads(path.read_text())
    content["truncation"] = {
        **{"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
    }
    content["padding"] = {
        **{"strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": None},
        **{"pad_id": 0, "pad_type_id": 0, "pad_token": "<|endoftext|>"},
    }
    path.write_text(json.dumps(content))
    backend = HuggingFaceTokenizer(path).backend
    assert backend.decode(backend.encode("1 2 3 4").ids) == "1 2 3 4"


@pytest.mark.parametrize(
    "content", [b"", b"text", b"[]", b"{}", b'{"model": {}}', b'{"model": null}', b"\xff\xfe"]
)
def test_a_file_that_is_no_tokenizer(path, content):
    path.write_bytes(content)
    expected = f"{path}: not a tokenizer.json; set TOKENIZER"
    assert message_of(HuggingFaceTokenizer, path).startswith(expected)


def test_nothing_says_what_bos_is(path):
    content = json.loads(path.read_text())
    content["added_tokens"] = []
    del content["model"]["vocab"]["<|endoftext|>"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="nothing says which token is bos; put a tokenizer_config"):
        HuggingFaceTokenizer(path)


def test_broken_files_beside_it(path):
    config = path.with_name("tokenizer_config.json")
    write(config, bos_token="<bos>")
    with pytest.raises(InputError, match="bos_token '<bos>' is not in tokenizer.json"):
        HuggingFaceTokenizer(path)
    config.write_text("{")
    with pytest.raises(InputError, match="tokenizer_config.json: not valid JSON"):
        HuggingFaceTokenizer(path)


def test_all_tokens_that_end_an_answer(path):
    generation = path.with_name("generation_config.json")
    write(path.with_name("tokenizer_config.json"), bos_token="<|im_start|>", eos_token="<|im_end|>")
    assert HuggingFaceTokenizer(path).eos_ids == (2,)
    write(path.with_name("config.json"), eos_token_id=0)
    tokenizer = HuggingFaceTokenizer(path)
    assert tokenizer.eos_ids == (2, 0)  # what training appends comes first
    assert json.loads(tokenizer.files["generation_config.json"]) == {"eos_token_id": [2, 0]}
    write(generation, eos_token_id=[0, 2, 7], temperature=0.6)
    tokenizer = HuggingFaceTokenizer(path)
    assert tokenizer.eos_ids == (0, 2, 7)
    settings = {"eos_token_id": [0, 2, 7], "temperature": 0.6}
    assert json.loads(tokenizer.files["generation_config.json"]) == settings
    tea = tokenizer.encode("tea")
    assert tokenizer.decode([*tea, 7, *tea]) == "tea"
    assert tokenizer.special_tokens == {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2}


@pytest.mark.parametrize("ids", [600, [2, 600], "2", [None]])
def test_ids_that_are_none_of_the_tokenizers(path, ids):
    write(path.with_name("generation_config.json"), eos_token_id=ids)
    with pytest.raises(InputError, match="generation_config.json: eos_token_id .* the ids below"):
        HuggingFaceTokenizer(path)
