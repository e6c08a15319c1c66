import dataclasses

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from small_llama import CONFIG, weights

from commit_t5x.conversion import formats, native, native_names, rules, stream
from commit_t5x.engine import checkpoints, model_files
from commit_t5x.errors import InputError
from commit_t5x.model import llama


def save_as_orbax_does(model_dir, params):
    """Whole weights in one chunk each, as T5X's and training's checkpoints keep them."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(model_dir / "checkpoint_5" / "state", {"target": params})
    model_files.write(model_dir, CONFIG, None)


@pytest.mark.parametrize("scanned", [True, False])
def test_reads_what_orbax_writes(scanned, tmp_path):
    params = weights()
    save_as_orbax_does(tmp_path, params if scanned else llama.unstack_layers(params))
    source = native.read(tmp_path)
    assert source.name == str(tmp_path / "checkpoint_5")
    assert source.config == CONFIG
    jax.tree.map(np.testing.assert_array_equal, native_names.load(source), params)


def test_orbax_reads_what_we_write(tmp_path):
    params = weights()
    checkpoints.save_params(tmp_path, params, CONFIG, None)
    with ocp.PyTreeCheckpointer() as checkpointer:
        restored = checkpointer.restore(tmp_path / "checkpoint_0" / "state")
    jax.tree.map(np.testing.assert_array_equal, restored["target"], params)
    assert restored["state"]["step"] == 0


def test_a_weight_larger_than_a_chunk(tmp_path):
    config = dataclasses.replace(CONFIG, vocab_size=150_001, num_layers=1)  # 19 MB
    params = weights(config)
    checkpoints.save_params(tmp_path / "a", params, config, None)
    source = native.read(tmp_path / "a")
    jax.tree.map(np.testing.assert_array_equal, native_names.load(source), params)
    (tmp_path / "b").mkdir()
    shapes = rules.shapes(native.RULES, config)
    with native.write(tmp_path / "b", shapes, formats.Header(config)) as put:
        stream.copy(source, stream.plan(source, native.RULES), put, "float32")
    jax.tree.map(
        np.testing.assert_array_equal, native_names.load(native.read(tmp_path / "b")), params
    )


@pytest.mark.parametrize("size", [100, None])
def test_damaged_checkpoint(tmp_path, size):
    checkpoints.save_params(tmp_path, weights(), CONFIG, None)
    state = tmp_path / "checkpoint_0" / "state"
    largest = max(state.rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    if size is None:
        largest.unlink()
    else:
        largest.write_bytes(largest.read_bytes()[:size])
    with pytest.raises(InputError, match="checkpoint_0.*(damaged|not a readable)") as caught:
        native_names.load(native.read(tmp_path))
    assert "\n" not in str(caught.value)
