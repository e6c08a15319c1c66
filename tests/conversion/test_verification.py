import dataclasses
import sys

import numpy as np
import pytest
import safetensors.numpy
import trees
from small_llama import CONFIG, weights

from commit_t5x import conversion
from commit_t5x.conversion import hf, verification
from commit_t5x.engine import checkpoints
from commit_t5x.errors import InputError

SMALL = dataclasses.replace(CONFIG, num_layers=1, max_length=32)


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    directory = tmp_path_factory.mktemp("verification") / "native"
    checkpoints.save_params(directory, weights(SMALL), SMALL, None)
    return directory


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_right_conversions_pass(dtype, native, tmp_path, capsys):
    conversion.convert(native, tmp_path / "out", to="hf", dtype=dtype, verify=True)
    conversion.convert(tmp_path / "out", tmp_path / "back", to="native", verify=True)
    assert capsys.readouterr().out.count("verify: the logits differ by at most") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"out", "back"}


def test_finds_a_difference(native, tmp_path):
    conversion.convert(native, tmp_path / "hf", to="hf")
    path = tmp_path / "hf" / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    name = "model.layers.0.self_attn.q_proj.weight"
    tensors[name] = np.ascontiguousarray(tensors[name][::-1])
    safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})
    assert verification.compare(trees.read(native), SMALL, tmp_path / "hf") > verification.TOLERANCE
    right = hf.import_hf(tmp_path / "hf")[0]
    assert verification.compare(right, SMALL, tmp_path / "hf") < 1e-4


def test_a_wrong_conversion_leaves_nothing(native, tmp_path, monkeypatch):
    monkeypatch.setattr(verification, "TOLERANCE", -1.0)  # which no conversion meets
    with pytest.raises(InputError, match="--verify: the logits differ by .*nothing was written"):
        conversion.convert(native, tmp_path / "out", to="hf", verify=True)
    assert list(tmp_path.iterdir()) == []


def test_without_torch(native, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as Python marks what can't be imported
    with pytest.raises(InputError, match=r"--verify: needs torch.*pip install"):
        conversion.convert(native, tmp_path / "out", to="hf", verify=True)
    assert list(tmp_path.iterdir()) == []
