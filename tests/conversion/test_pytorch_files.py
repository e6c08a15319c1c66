import pickle
import sys

import ml_dtypes
import numpy as np
import pytest
import torch

from commit_t5x.conversion import pytorch_files
from commit_t5x.errors import InputError


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_tensors_of_several_files(dtype, tmp_path):
    tensor = torch.randn(2, 3).to(getattr(torch, dtype))
    torch.save({"a": tensor}, tmp_path / "1.bin")
    torch.save({"b": tensor.T}, tmp_path / "2.bin")
    reader = pytorch_files.Reader([tmp_path / "1.bin", tmp_path / "2.bin"])
    assert reader.shapes == {"a": (2, 3), "b": (3, 2)}
    assert set(reader.dtypes.values()) == {dtype}
    expected = tensor.float().numpy()
    assert reader.get("a").dtype == (ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    np.testing.assert_array_equal(reader.get("a").astype(np.float32), expected)
    np.testing.assert_array_equal(reader.get("b").astype(np.float32), expected.T)


def test_damaged_files(tmp_path):
    path = tmp_path / "a.bin"
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(InputError, match="a.bin: not a readable PyTorch file") as caught:
        pytorch_files.Reader([path])
    assert "\n" not in str(caught.value)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="a.bin: not a readable PyTorch file"):
        pytorch_files.Reader([path])


class Unwelcome:
    def __reduce__(self):
        return print, ("code in a checkpoint has run",)


def test_nothing_but_tensors_is_unpickled(tmp_path, capsys):
    torch.save({"a": Unwelcome()}, tmp_path / "zip.bin")
    (tmp_path / "plain.bin").write_bytes(pickle.dumps(Unwelcome()))
    for name in ("zip", "plain"):
        with pytest.raises(InputError, match="not a readable PyTorch file"):
            pytorch_files.Reader([tmp_path / f"{name}.bin"])
    assert capsys.readouterr().out == ""


def test_other_contents(tmp_path):
    path = tmp_path / "a.bin"
    torch.save([torch.zeros(1)], path)
    with pytest.raises(InputError, match="holds no state_dict"):
        pytorch_files.Reader([path])
    torch.save({"a": torch.zeros(1, dtype=torch.int8)}, path)
    with pytest.raises(InputError, match="a is no floating tensor"):
        pytorch_files.Reader([path])
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="a also stands in another file"):
        pytorch_files.Reader([path, path])


def test_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)  # as Python marks what can't be imported
    with pytest.raises(InputError, match=r"x.bin: needs torch.*pip install 'commit-t5x.convert.'"):
        pytorch_files.Reader([tmp_path / "x.bin"])
