import dataclasses
import json

import jax
import numpy as np
import pytest
import tiny

from commit_t5x import llama
from commit_t5x.engine import checkpoints, data, train_state, utils
from commit_t5x.errors import InputError

CONFIG = llama.LlamaConfig(
    vocab_size=8, emb_dim=4, mlp_dim=6, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=2
)
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
    tokenizer = tmp_path / "pieces.model"
    tokenizer.write_bytes(b"pieces")
    model_dir = tmp_path / "weights"
    checkpoints.save_params(model_dir, WEIGHTS, CONFIG, tokenizer, step=3)
    return model_dir


@pytest.mark.parametrize("name", ["", "checkpoint_3"])
def test_weights_round_trip(weights, name):
    params, config, tokenizer = checkpoints.restore_params(weights / name)
    jax.tree.map(np.testing.assert_array_equal, params, WEIGHTS)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(params))
    assert config == CONFIG
    assert tokenizer == weights / "tokenizer.model"
    assert tokenizer.read_bytes() == b"pieces"


def test_latest_checkpoint_is_taken(weights):
    later = jax.tree.map(lambda leaf: leaf + 1, WEIGHTS)
    checkpoints.save_params(weights, later, CONFIG, None, step=20)
    (weights / "checkpoint_30.orbax-checkpoint-tmp").mkdir()  # an unfinished one
    assert checkpoints.find(weights) == weights / "checkpoint_20"
    np.testing.assert_array_equal(checkpoints.restore_params(weights)[0]["scale"], later["scale"])


def test_existing_weights_are_not_overwritten(weights):
    with pytest.raises(InputError, match="checkpoint_3: exists; choose another directory"):
        checkpoints.save_params(weights, WEIGHTS, CONFIG, None, step=3)


def test_weights_of_other_shapes_are_an_error(weights):
    other = {"layers": {"kernel": np.ones((2, 7), np.float32)}, "scale": WEIGHTS["scale"]}
    expected = (
        r"checkpoint_3: parameter layers/kernel is \(2, 6\) in the checkpoint and \(2, 7\) in the "
        "network; choose the gin file of the checkpoint's model size"
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
        checkpoints.restore_params(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no checkpoint_N folder"):
        checkpoints.restore_params(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="commit-t5x convert --from hf --to native"):
        checkpoints.restore_params(tmp_path)


def test_damaged_checkpoint_is_an_error(weights):
    (weights / "checkpoint_3" / "state" / "_METADATA").unlink()
    with pytest.raises(InputError, match="checkpoint_3: not a readable checkpoint"):
        checkpoints.restore_params(weights)


def test_damaged_configuration_is_an_error(weights):
    (weights / "model_config.json").write_text("{\n  oops")
    with pytest.raises(InputError, match="model_config.json:2: "):
        checkpoints.restore_params(weights)
    (weights / "model_config.json").unlink()
    with pytest.raises(InputError, match="model_config.json: missing"):
        checkpoints.restore_params(weights)


class _Run:
    """A state and a data iterator to save."""

    def __init__(self):
        self.model = tiny.model()
        initializer = train_state.TrainStateInitializer(self.model, tiny.partitioner())
        self.abstract = initializer.train_state
        self.state = initializer.from_scratch(jax.random.PRNGKey(0))

    def iterator(self, **options):
        return data.TrainIterator(tiny.dataset_config(**options), self.model.FEATURE_CONVERTER_CLS)


@pytest.fixture(scope="module")
def run():
    return _Run()


def _save(model_dir, run, steps, **options):
    manager = checkpoints.CheckpointManager(model_dir, utils.SaveCheckpointConfig(**options))
    for step in steps:
        manager.save(step, run.state, run.iterator())
    manager.close()


def test_state_round_trip(tmp_path, run):
    _save(tmp_path, run, [5])
    manager = checkpoints.CheckpointManager(tmp_path, utils.SaveCheckpointConfig())
    restored = manager.restore(5, run.abstract, run.iterator())
    assert jax.tree.structure(restored) == jax.tree.structure(run.state)
    jax.tree.map(np.testing.assert_array_equal, restored, run.state)
    assert [leaf.dtype for leaf in jax.tree.leaves(restored)] == [
        leaf.dtype for leaf in jax.tree.leaves(run.state)
    ]


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, [2, 4, 6, 8, 10]),
        ({"keep": 2}, [8, 10]),
        ({"keep": 1, "keep_period": 4}, [4, 8, 10]),
    ],
)
def test_keep_rule(tmp_path, run, options, kept):
    _save(tmp_path, run, [2, 4, 6, 8, 10], **options)
    assert checkpoints.all_steps(tmp_path) == kept


def test_save_that_breaks_off_leaves_the_checkpoints_before(tmp_path, run):
    _save(tmp_path, run, [2], keep=1)

    class FullDisk(data.TrainIterator):
        def save(self, directory):
            raise OSError("No space left on device")

    broken = FullDisk(tiny.dataset_config(), run.model.FEATURE_CONVERTER_CLS)
    manager = checkpoints.CheckpointManager(tmp_path, utils.SaveCheckpointConfig(keep=1))
    with pytest.raises(OSError, match="No space left"):
        manager.save(4, run.state, broken)
    assert checkpoints.all_steps(tmp_path) == [2]
    # What the broken save left is swept away, and saving works again.
    _save(tmp_path, run, [4], keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_4"]


def test_run_does_not_resume_from_weights_alone(tmp_path, run):
    state = run.state.state_dict()
    checkpoints.save_params(tmp_path, state["target"], CONFIG, None, step=2)
    manager = checkpoints.CheckpointManager(tmp_path, utils.SaveCheckpointConfig())
    with pytest.raises(InputError, match="weights only.*INITIAL_CHECKPOINT_PATH"):
        manager.restore(2, run.abstract, run.iterator())


def test_weights_of_a_run_can_be_read_alone(tmp_path, run):
    _save(tmp_path, run, [5])
    (tmp_path / "model_config.json").write_text(json.dumps(CONFIG.to_json()))
    params, _, tokenizer = checkpoints.restore_params(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, params, jax.device_get(run.state.params))
    assert tokenizer is None


@pytest.mark.parametrize("name", ["period", "keep", "keep_period"])
def test_rules_must_be_positive(name):
    with pytest.raises(InputError, match=f"SaveCheckpointConfig.{name}: 0 is not positive"):
        utils.SaveCheckpointConfig(**{name: 0})
