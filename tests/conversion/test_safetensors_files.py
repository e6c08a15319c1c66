import json

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from commit_t5x.conversion import arrays, safetensors_files
from commit_t5x.errors import InputError

RNG = np.random.default_rng(0)
TENSORS = {f"layer.{i}": RNG.normal(size=(i + 1, 3)).astype(np.float32) for i in range(5)}
SHAPES = {name: tensor.shape for name, tensor in TENSORS.items()}


def write(directory, dtype="float32", max_shard_bytes=10**9):
    with safetensors_files.write(directory, SHAPES, dtype, max_shard_bytes) as put:
        for name in reversed(SHAPES):  # any order will do
            put(name, TENSORS[name])


@pytest.mark.parametrize("dtype", arrays.DTYPES)
def test_the_packages_own_reader_reads_what_we_write(tmp_path, dtype):
    write(tmp_path, dtype)
    read = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert set(read) == set(TENSORS)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read[name], tensor.astype(arrays.DTYPES[dtype]))


def test_shards_and_index(tmp_path):
    write(tmp_path, max_shard_bytes=100)  # tensors take 12, 24, 36, 48 and 60 bytes
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 180
    files = list(index["weight_map"].values())
    assert files == [f"model-0000{i}-of-00003.safetensors" for i in (1, 1, 1, 2, 3)]
    assert not (tmp_path / "model.safetensors").exists()
    reader = safetensors_files.Reader(tmp_path)
    assert reader.shapes == SHAPES
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(reader.get(name), tensor)


def test_a_tensor_larger_than_a_shard_has_its_own(tmp_path):
    write(tmp_path, max_shard_bytes=1)
    assert len(list(tmp_path.glob("*.safetensors"))) == 5


def test_reads_bfloat16_without_rounding_it(tmp_path):
    tensor = RNG.normal(size=(2, 3)).astype(ml_dtypes.bfloat16)
    safetensors.numpy.save_file({"x": tensor}, tmp_path / "model.safetensors")
    read = safetensors_files.Reader(tmp_path).get("x")
    np.testing.assert_array_equal(read.astype(np.float32), tensor.astype(np.float32))


def test_float16_refuses_what_it_cannot_hold(tmp_path):
    with safetensors_files.write(tmp_path, {"x": (1,)}, "float16", 10**9) as put:
        with pytest.raises(InputError, match="x: holds values beyond float16's range"):
            put("x", np.array([1e6], np.float32))


def test_no_weights(tmp_path):
    with pytest.raises(InputError, match="holds no .safetensors"):
        safetensors_files.Reader(tmp_path)


def test_broken_files(tmp_path):
    path = tmp_path / "model.safetensors"
    write(tmp_path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(InputError, match="model.safetensors: not a readable"):
        safetensors_files.Reader(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"x": "gone.safetensors"}}')
    with pytest.raises(InputError, match="names gone.safetensors, not found"):
        safetensors_files.Reader(tmp_path)
    outside = json.dumps({"weight_map": {"x": f"../{tmp_path.name}/model.safetensors"}})
    for content in ("{}", '{"weight_map": ["x"]}', '{"weight_map": {"x": 1}}', outside):
        index.write_text(content)
        with pytest.raises(InputError, match="not an index of weight files that lie beside it"):
            safetensors_files.Reader(tmp_path)
    index.write_text("[]")
    with pytest.raises(InputError, match="not a JSON object"):
        safetensors_files.Reader(tmp_path)


def test_one_name_in_two_files(tmp_path):
    for name in ("a", "b"):
        safetensors.numpy.save_file({"x": np.zeros(2)}, tmp_path / f"model-{name}.safetensors")
    with pytest.raises(InputError, match="b.safetensors: x also stands in another file"):
        safetensors_files.Reader(tmp_path)


def test_quantised_weights(tmp_path):
    safetensors.numpy.save_file({"x": np.zeros(2, np.int8)}, tmp_path / "model.safetensors")
    with pytest.raises(InputError, match="x is of type I8"):
        safetensors_files.Reader(tmp_path)
