import dataclasses

import flax.serialization
import jax
import msgpack
import numpy as np
import pytest
from small_llama import CONFIG, init

from commit_t5x import conversion
from commit_t5x.conversion import easylm, hf, memory
from commit_t5x.errors import InputError
from commit_t5x.model import llama

MULTI_HEAD = dataclasses.replace(CONFIG, num_kv_heads=CONFIG.num_heads)


def weights(config=CONFIG):
    return jax.device_get(init(llama.Llama(config)))


def as_easylm_writes(path, tensors):
    """A stream of pairs, each packed by msgpack, the array by flax."""
    packer = msgpack.Packer()
    with path.open("wb") as file:
        for name, tensor in tensors.items():
            file.write(packer.pack((name.split("/"), flax.serialization.to_bytes(tensor))))


def as_easylm_reads(path):
    with path.open("rb") as file:
        return {
            "/".join(key): flax.serialization.from_bytes(None, value)
            for key, value in msgpack.Unpacker(file, max_buffer_size=0)
        }


def exported(params, directory, config=CONFIG, **options):
    hf.export_hf(params, config, directory / "hf")
    conversion.convert("hf", "easylm", directory / "hf", directory / "easylm", **options)
    return directory / "easylm" / "streaming_params"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_easylm_reads_what_we_write(dtype, tmp_path):
    params = weights()
    tensors = as_easylm_reads(exported(params, tmp_path, dtype=dtype))
    assert len(tensors) == 3 + 9 * CONFIG.num_layers
    assert {tensor.dtype.name for tensor in tensors.values()} == {dtype}
    value = params["layers"]["self_attention"]["value"]["kernel"][2]
    read = tensors["transformer/h/2/attention/wv/kernel"]
    np.testing.assert_array_equal(read, value.astype(read.dtype))
    query = params["layers"]["self_attention"]["query"]["kernel"][0]
    read = tensors["transformer/h/0/attention/wq/kernel"]
    # The pairs of the first head's rotation are its columns 0 and 4; there they are neighbours.
    np.testing.assert_array_equal(read[:, :4], query[:, [0, 4, 1, 5]].astype(read.dtype))


def test_we_read_what_easylm_writes(tmp_path, monkeypatch):
    params = weights()
    tensors = as_easylm_reads(exported(params, tmp_path))
    as_easylm_writes(tmp_path / "plain", tensors)
    monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", 1000)  # 1 GiB in earnest
    as_easylm_writes(tmp_path / "chunked", tensors)
    for name in ("plain", "chunked"):
        read = memory.load(easylm.read(tmp_path / name, CONFIG))
        jax.tree.map(np.testing.assert_array_equal, read, params)
    assert (tmp_path / "plain").stat().st_size < (tmp_path / "chunked").stat().st_size


@pytest.mark.parametrize("prefix", ["", "params::"])
def test_back_to_hugging_face(prefix, tmp_path):
    path = exported(weights(), tmp_path)
    conversion.convert(None, "hf", f"{prefix}{path}", tmp_path / "back")
    first, second = (tmp_path / name / "model.safetensors" for name in ("hf", "back"))
    assert first.read_bytes() == second.read_bytes()
    assert easylm.read(path.parent).config == CONFIG  # the directory stands for its file


def test_a_file_alone_needs_a_configuration(tmp_path):
    path = exported(weights(), tmp_path).rename(tmp_path / "llama.easylm")
    with pytest.raises(InputError, match="llama.easylm: .* pass --config with a preset"):
        conversion.convert("easylm", "native", path, tmp_path / "out")
    config = tmp_path / "hf" / "config.json"
    conversion.convert("easylm", "native", path, tmp_path / "out", config=config)
    with pytest.raises(InputError, match="gone.json: neither a model nor a preset"):
        conversion.convert("easylm", "native", path, tmp_path / "x", config="gone.json")
    with pytest.raises(InputError, match="streaming_params|llama.easylm: .*do not fit"):
        conversion.convert("easylm", "native", path, tmp_path / "x", config="debug")


def test_damaged_files(tmp_path):
    path = exported(weights(), tmp_path)
    content = path.read_bytes()
    for damaged in (content[:-1], content[:5000], content[:100], b"\x92" + content, b"\x00" * 50):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not an EasyLM streaming checkpoint") as caught:
            easylm.read(path, CONFIG)
        assert "\n" not in str(caught.value)


def test_what_easylm_cannot_express(tmp_path):
    config = dataclasses.replace(CONFIG, tied_embeddings=True)
    with pytest.raises(InputError, match="neither biases nor tied embeddings"):
        exported(weights(config), tmp_path, config)
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]
