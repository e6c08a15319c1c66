import types

import byte_level
import pytest
import tiny
import transformers

from commit_t5x import resources
from commit_t5x.engine import restoring, utils
from commit_t5x.errors import InputError
from commit_t5x.vocabularies import configured


def test_checkpoint_of_another_tokenizer_is_an_error(tmp_path):
    beside = byte_level.smollm(tmp_path)
    model = types.SimpleNamespace(vocabulary=configured.load(beside))
    restoring.check_tokenizer(tmp_path, model.vocabulary)
    restoring.check_tokenizer(tmp_path / "none beside", model.vocabulary)
    model.vocabulary = configured.load(resources.path("samples") / "tokenizer.model")
    expected = f"TOKENIZER: .*/tokenizer.model gives texts other ids than {beside}, which"
    with pytest.raises(InputError, match=expected):
        restoring.check_tokenizer(tmp_path, model.vocabulary)


def test_same_tokens_from_files_of_two_kinds_are_one_tokenizer(tmp_path):
    sentencepiece = resources.path("samples") / "tokenizer.model"
    converted = transformers.LlamaTokenizerFast.from_pretrained(sentencepiece.parent, legacy=False)
    converted.save_pretrained(tmp_path)
    model = types.SimpleNamespace(vocabulary=configured.load(sentencepiece))
    restoring.check_tokenizer(tmp_path, model.vocabulary)


def test_another_list_of_eos_is_an_error(tmp_path):
    beside = byte_level.smollm(tmp_path)
    model = types.SimpleNamespace(vocabulary=configured.find(beside))
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [2, 0]}')
    with pytest.raises(InputError, match=r"answers end at \[2\] by .*, and at \[2, 0\] by .*; set"):
        restoring.check_tokenizer(tmp_path, model.vocabulary)


def test_weights_must_be_given(tmp_path):
    with pytest.raises(InputError, match="CHECKPOINT_PATH: not set"):
        restoring.restore_weights(tiny.model(), tiny.partitioner(), utils.RestoreCheckpointConfig())
