import json

import flax.serialization
import jax
import msgpack
import numpy as np
import pytest
from small_llama import CONFIG, weights

from commit_t5x import conversion
from commit_t5x.conversion import easylm, native_names, rules
from commit_t5x.errors import InputError


@pytest.fixture(scope="module")
def params():
    return weights()


def write(path, params, dtype=np.float32):
    """Writes as EasyLM does: a stream of pairs packed by msgpack, the arrays by flax."""
    leaves = rules.flatten(params)
    packer = msgpack.Packer()
    with path.open("wb") as file:
        for entry in rules.plan(easylm.RULES, CONFIG):
            leaf = leaves[entry.path]
            tensor = entry.to_foreign(leaf if entry.index is None else leaf[entry.index])
            value = flax.serialization.to_bytes(np.ascontiguousarray(tensor, dtype))
            file.write(packer.pack((entry.foreign.split("/"), value)))
    return path


def test_rotary_pairs_are_neighbours(params):
    [query, *_] = [e for e in rules.plan(easylm.RULES, CONFIG) if "wq" in e.foreign]
    ours = params["layers"]["self_attention"]["query"]["kernel"][0]
    # The pairs of the first head's rotation are its columns 0 and 4; there they are neighbours.
    np.testing.assert_array_equal(query.to_foreign(ours)[:, :4], ours[:, [0, 4, 1, 5]])


@pytest.mark.parametrize("chunk_bytes", [2**30, 1000])  # flax cuts larger arrays up
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_reads_what_easylm_writes(chunk_bytes, dtype, params, tmp_path, monkeypatch):
    monkeypatch.setattr(flax.serialization, "MAX_CHUNK_SIZE", chunk_bytes)
    source = easylm.read(write(tmp_path / "llama", params, jax.numpy.dtype(dtype)), CONFIG)
    assert set(source.dtypes.values()) == {dtype}
    expected = jax.tree.map(lambda leaf: leaf.astype(dtype).astype(np.float32), params)
    jax.tree.map(np.testing.assert_array_equal, native_names.load(source), expected)


def test_a_file_needs_a_configuration(params, tmp_path):
    path = write(tmp_path / "llama.easylm", params)
    with pytest.raises(InputError, match="llama.easylm: .* pass --config with a preset"):
        conversion.convert(path, tmp_path / "out", to="native", source_format="easylm")
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG.to_hf()))
    conversion.convert(f"params::{path}", tmp_path / "out", to="native", config=config)
    read = native_names.load(conversion.open_source("native", tmp_path / "out"))
    jax.tree.map(np.testing.assert_array_equal, read, params)
    with pytest.raises(InputError, match="gone.json: neither a model nor a preset"):
        conversion.convert(path, tmp_path / "x", to="native", config="gone.json")
    with pytest.raises(InputError, match="llama.easylm: .*do not fit"):
        conversion.convert(path, tmp_path / "x", to="native", config="debug")


def test_damaged_files(params, tmp_path):
    path = write(tmp_path / "llama", params)
    content = path.read_bytes()
    for damaged in (content[:-1], content[:5000], content[:100], b"\x92" + content, b"\x00" * 50):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not an EasyLM streaming checkpoint") as caught:
            easylm.read(path, CONFIG)
        assert "\n" not in str(caught.value)
