import dataclasses
import os
import pathlib
import tempfile

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import tiny
import trees
from small_llama import CONFIG

from commit_t5x import resources
from commit_t5x.engine import checkpoints, model_files, utils
from commit_t5x.errors import InputError
from commit_t5x.vocabularies import configured

WEIGHTS = {
    "layers": {"kernel": np.arange(12, dtype=np.float32).reshape(2, 6)},
    "scale": np.ones(4, np.float32),
}


def _abstract(params):
    replicated = tiny.partitioner().replicated
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated), params
    )


@pytest.fixture
def weights(tmp_path):
    """A model directory with weights at step 3."""
    tokenizer = configured.load(resources.path("samples") / "tokenizer.model")
    model_dir = tmp_path / "weights"
    checkpoints.save_params(model_dir, WEIGHTS, CONFIG, tokenizer, step=3)
    return model_dir


@pytest.mark.parametrize("name", ["", "checkpoint_3"])
def test_weights_round_trip(weights, name):
    jax.tree.map(np.testing.assert_array_equal, trees.read(weights / name), WEIGHTS)
    assert model_files.read_config(weights) == CONFIG
    tokenizer = model_files.tokenizer(weights)
    assert tokenizer.path == weights / "tokenizer.model"
    assert tokenizer == configured.load(resources.path("samples") / "tokenizer.model")


def test_latest_checkpoint_is_taken(weights):
    later = jax.tree.map(lambda leaf: leaf + 1, WEIGHTS)
    checkpoints.save_params(weights, later, CONFIG, None, step=20)
    (weights / "checkpoint_30.orbax-checkpoint-tmp").mkdir()  # an unfinished one
    assert checkpoints.find(weights) == weights / "checkpoint_20"
    np.testing.assert_array_equal(trees.read(weights)["scale"], later["scale"])


def test_existing_weights_are_not_overwritten(weights):
    with pytest.raises(InputError, match="checkpoint_3: exists; choose another directory"):
        checkpoints.save_params(weights, WEIGHTS, CONFIG, None, step=3)


def test_key_of_another_generator_is_named(tmp_path):
    saved, wanted = (
        {"state": {"rng": jax.ShapeDtypeStruct((length,), np.uint32)}} for length in (2, 4)
    )
    with pytest.raises(InputError, match="the key rng is .* JAX_DEFAULT_PRNG_IMPL"):
        checkpoints.check_shapes(tmp_path, wanted, saved=saved)


def test_weights_of_other_shapes_are_an_error(weights):
    other = {"layers": {"kernel": np.ones((2, 7), np.float32)}, "scale": WEIGHTS["scale"]}
    expected = (
        r"checkpoint_3: parameter layers/kernel is \(2, 6\) in the checkpoint and \(2, 7\) in the "
        "network; choose the gin file of the checkpoint's size"
    )
    with pytest.raises(InputError, match=expected):
        checkpoints.load_params(weights, _abstract(other))


def test_weights_of_other_layers_are_an_error(weights):
    other = {"layers_0": {"kernel": np.ones(6, np.float32)}, "scale": WEIGHTS["scale"]}
    with pytest.raises(InputError, match="layers/kernel is .* and missing in the network"):
        checkpoints.load_params(weights, _abstract(other))


def test_weights_of_another_configuration_are_an_error(weights):
    config = dataclasses.replace(CONFIG, rope_theta=5e5, max_length=64)
    with pytest.raises(InputError, match="rope_theta is 10000.0 in the checkpoint and 500000.0"):
        checkpoints.load_params(weights, _abstract(WEIGHTS), config)
    longer = dataclasses.replace(CONFIG, max_length=64)
    params = checkpoints.load_params(weights, _abstract(WEIGHTS), longer)
    np.testing.assert_array_equal(params["scale"], WEIGHTS["scale"])


def test_missing_checkpoints_are_errors(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such checkpoint; give a model directory"):
        checkpoints.find(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no checkpoint_N folder"):
        checkpoints.find(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="commit-t5x convert --from hf --to native"):
        checkpoints.find(tmp_path)


def test_damaged_configuration_is_an_error(weights):
    (weights / "model_config.json").write_text("{\n  oops")
    with pytest.raises(InputError, match="model_config.json: not valid JSON .*line 2"):
        model_files.read_config(weights)
    (weights / "model_config.json").unlink()
    with pytest.raises(InputError, match="model_config.json: no such file; copy it"):
        model_files.read_config(weights)


def test_truncated_weights_are_an_error(tmp_path):
    params = {"kernel": np.random.default_rng(0).random((512, 512), np.float32)}
    checkpoints.save_params(tmp_path, params, CONFIG, None)
    largest = max((tmp_path / "checkpoint_0").rglob("*"), key=lambda path: path.stat().st_size)
    assert largest.stat().st_size > 2**19
    os.truncate(largest, 2**19)
    expected = "checkpoint_0: not a readable checkpoint .*; remove it"
    with pytest.raises(checkpoints.DamagedError, match=expected):
        checkpoints.load_params(tmp_path, _abstract(params))


@pytest.mark.parametrize("pattern", ["_METADATA", "manifest.ocdbt", "d"])
def test_checkpoint_that_may_not_be_read_is_not_damaged(as_nobody, pattern):
    with tempfile.TemporaryDirectory() as model_dir:
        folder = pathlib.Path(model_dir, "checkpoint_0")
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as orbax:
            orbax.save(folder / "state", {"target": WEIGHTS})
        (folder / "state" / pattern).chmod(0)
        with pytest.raises(InputError, match="can't be read .*; make it readable") as caught:
            checkpoints.load_params(model_dir, _abstract(WEIGHTS))
        assert not isinstance(caught.value, checkpoints.DamagedError)
        (folder / "state" / pattern).chmod(0o700)


@pytest.mark.parametrize("name", ["period", "keep", "keep_period"])
def test_rules_must_be_positive(name):
    with pytest.raises(InputError, match=f"{name}: 0 doesn't fit; it takes a whole number"):
        utils.SaveCheckpointConfig(**{name: 0})
