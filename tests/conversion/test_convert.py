import dataclasses

import jax
import numpy as np
import pytest
from small_llama import CONFIG, init

from commit_t5x import conversion, llama, resources
from commit_t5x.conversion import hf
from commit_t5x.engine import checkpoints
from commit_t5x.errors import InputError

TOKENIZER = resources.path("samples") / "tokenizer.model"


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """A model directory with weights and a tokenizer, and the weights."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=str(TOKENIZER))
    config = dataclasses.replace(CONFIG, vocab_size=processor.get_piece_size(), num_layers=1)
    params = jax.device_get(init(llama.Llama(config)))
    directory = tmp_path_factory.mktemp("native") / "model"
    checkpoints.save_params(directory, params, config, TOKENIZER)
    return directory, params, config


def test_native_to_hf_and_back(native, tmp_path):
    directory, params, config = native
    conversion.convert("native", "hf", directory, tmp_path / "hf")
    assert (tmp_path / "hf" / "tokenizer.json").is_file()
    conversion.convert("hf", "native", tmp_path / "hf", tmp_path / "back")
    back, back_config, tokenizer = checkpoints.restore_params(tmp_path / "back")
    assert back_config == config
    assert tokenizer.read_bytes() == TOKENIZER.read_bytes()
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_options_reach_the_export(native, tmp_path):
    directory, _, config = native
    conversion.convert(
        "native", "hf", directory, tmp_path / "hf", dtype="bfloat16", max_shard_size="100KB"
    )
    assert len(list((tmp_path / "hf").glob("model-*.safetensors"))) > 1
    stored = hf.import_hf(tmp_path / "hf")[0]["token_embedder"]["embedding"]
    assert not np.any(stored.view(np.uint32) & 0xFFFF)  # bfloat16 is the upper half of fp32
    assert hf.import_hf(tmp_path / "hf")[1] == config


def test_existing_target_and_missing_source(native, tmp_path):
    directory, _, _ = native
    (tmp_path / "there").mkdir()
    for formats in (("native", "hf"), ("hf", "native")):
        with pytest.raises(InputError, match="there: exists already"):
            conversion.convert(*formats, directory, tmp_path / "there")
        with pytest.raises(InputError, match="nowhere: no such directory"):
            conversion.convert(*formats, tmp_path / "nowhere", tmp_path / "new")
    with pytest.raises(InputError, match="gone.model: no such tokenizer"):
        conversion.convert(
            "native", "hf", directory, tmp_path / "new", tokenizer=tmp_path / "gone.model"
        )
    conversion.convert("native", "hf", directory, tmp_path / "there", overwrite=True)
    assert (tmp_path / "there" / "config.json").is_file()


def test_failed_import_leaves_nothing(tmp_path):
    (tmp_path / "src").mkdir()
    with pytest.raises(InputError, match="config.json"):
        conversion.convert("hf", "native", tmp_path / "src", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_formats(tmp_path):
    with pytest.raises(InputError, match="format 'onnx': unknown; choose from hf, native"):
        conversion.convert("onnx", "hf", tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="hf to hf: nothing to convert"):
        conversion.convert("hf", "hf", tmp_path, tmp_path / "out")
