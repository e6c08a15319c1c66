import json
import pathlib

import pytest
from small_llama import CONFIG

from commit_t5x.errors import InputError
from commit_t5x.model import config_files, llama_presets


@pytest.fixture
def model(tmp_path):
    """A model directory with a checkpoint, and beside it an export."""
    (tmp_path / "model" / "checkpoint_7").mkdir(parents=True)
    (tmp_path / "export").mkdir()
    native, foreign = json.dumps(CONFIG.to_json()), json.dumps(CONFIG.to_hf())
    (tmp_path / "model" / "model_config.json").write_text(native)
    (tmp_path / "export" / "config.json").write_text(foreign)
    return tmp_path


@pytest.mark.parametrize(
    "place", ["model", "model/checkpoint_7", "model/model_config.json", "export"]
)
def test_files_and_directories(model, place):
    assert config_files.load(model / place) == CONFIG
    assert config_files.load(str(model / place)) == CONFIG


def test_presets():
    assert config_files.load("7b") == llama_presets.preset("7b")


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"model_type": "gemma"}', "model_type='gemma' can't be expressed"),
        ('{"width": 1}', "vocab_size: field required"),
    ],
)
def test_broken_files(tmp_path, content, message):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(InputError, match=f"{path}: .*{message}"):
        config_files.load(path)


def test_neither_a_model_nor_a_preset(tmp_path):
    with pytest.raises(InputError, match="9b: neither a model nor a preset; .*smollm2_1b7"):
        config_files.load("9b")
    with pytest.raises(InputError, match="neither a model nor a preset"):
        config_files.load(pathlib.Path(tmp_path))


def test_another_vocabulary_than_expected(model):
    assert config_files.load(model / "export", vocab_size=CONFIG.vocab_size) == CONFIG
    with pytest.raises(InputError, match="VOCAB_SIZE: 7, but that of .* is 61; leave it out"):
        config_files.load(model / "export", vocab_size=7)
    with pytest.raises(InputError, match="NUM_LAYERS: 9, but that of"):
        config_files.load(model / "export", num_layers=9)
