import flax.serialization
import jax
import numpy as np
import pytest
import tensorstore as ts
from flax import traverse_util
from small_llama import CONFIG, init

from commit_t5x import conversion
from commit_t5x.conversion import memory, t5x
from commit_t5x.engine import model_files
from commit_t5x.errors import InputError
from commit_t5x.model import llama


def save(folder, params):
    """Writes as T5X did: each array of two axes or more in zarr, the rest in the msgpack file."""
    folder.mkdir(parents=True)
    leaves = traverse_util.flatten_dict(params, sep="/")
    for path, leaf in leaves.items():
        if leaf.ndim < 2:
            continue
        spec = {
            "driver": "zarr",
            "dtype": "float32",
            "kvstore": {"driver": "file", "path": f"target.{path.replace('/', '.')}"},
            "metadata": {
                "shape": list(leaf.shape),
                "chunks": list(leaf.shape),
                "compressor": {"id": "gzip"},
            },
        }
        absolute = {"driver": "file", "path": str(folder / spec["kvstore"]["path"])}
        ts.open({**spec, "kvstore": absolute}, create=True).result().write(leaf).result()
        leaves[path] = spec
    tree = {"target": traverse_util.unflatten_dict(leaves, sep="/"), "state": {"step": 7}}
    (folder / "checkpoint").write_bytes(
        flax.serialization.msgpack_serialize({"version": 3, "optimizer": tree})
    )


@pytest.mark.parametrize("scanned", [True, False])
def test_reads_old_checkpoints(scanned, tmp_path):
    params = jax.device_get(init(llama.Llama(CONFIG)))
    save(tmp_path / "checkpoint_7", params if scanned else llama.unstack_layers(params))
    for path in (tmp_path, tmp_path / "checkpoint_7"):
        read = memory.load(t5x.read(path, CONFIG))
        jax.tree.map(np.testing.assert_array_equal, read, params)
    model_files.write(tmp_path, CONFIG, None)
    conversion.convert(None, "native", tmp_path, tmp_path / "native")
    read = memory.load(conversion.open_source("native", tmp_path / "native"))
    jax.tree.map(np.testing.assert_array_equal, read, params)


def test_bad_checkpoints(tmp_path):
    with pytest.raises(InputError, match="holds no file 'checkpoint'"):
        t5x.read(tmp_path, CONFIG)
    (tmp_path / "checkpoint").write_bytes(b"\x81\xa1")
    with pytest.raises(InputError, match="pass --config"):
        t5x.read(tmp_path)
    with pytest.raises(InputError, match="not a readable checkpoint"):
        t5x.read(tmp_path, CONFIG)
