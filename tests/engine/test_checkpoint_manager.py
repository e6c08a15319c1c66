import functools
import os
import shutil

import jax
import numpy as np
import optax
import pytest
import tiny
from small_llama import CONFIG

from commit_t5x.engine import checkpoint_manager, checkpoints, data, model_files, train_state, utils
from commit_t5x.errors import InputError
from commit_t5x.model import optim


class _Run:
    """A state and a data iterator, at its beginning, to save."""

    def __init__(self, **options):
        self.model = tiny.model(**options)
        initializer = train_state.TrainStateInitializer(self.model, tiny.partitioner())
        self.abstract = initializer.train_state
        self.state = initializer.from_scratch(jax.random.PRNGKey(0))

    @functools.cached_property
    def iterator(self):
        return data.TrainIterator(tiny.dataset_config(), self.model.FEATURE_CONVERTER_CLS)


@pytest.fixture(scope="module")
def run():
    return _Run()


def _save(model_dir, run, steps, **options):
    manager = checkpoint_manager.CheckpointManager(model_dir, utils.SaveCheckpointConfig(**options))
    for step in steps:
        manager.save(step, run.state, run.iterator)
    manager.close()


def test_state_round_trip(tmp_path, run):
    _save(tmp_path, run, [5])
    manager = checkpoint_manager.CheckpointManager(tmp_path, utils.SaveCheckpointConfig())
    restored = manager.restore(5, run.abstract, run.iterator)
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


def test_run_does_not_resume_from_weights_alone(tmp_path, run):
    state = run.state.state_dict()
    checkpoints.save_params(tmp_path, state["target"], CONFIG, None, step=2)
    manager = checkpoint_manager.CheckpointManager(tmp_path, utils.SaveCheckpointConfig())
    with pytest.raises(InputError, match="weights only.*INITIAL_CHECKPOINT_PATH"):
        manager.restore(2, run.abstract, run.iterator)


def test_weights_of_a_run_can_be_read_alone(tmp_path, run):
    _save(tmp_path, run, [5])
    params = checkpoints.load_params(tmp_path, run.abstract.params)
    jax.tree.map(np.testing.assert_array_equal, params, run.state.params)
    assert model_files.tokenizer(tmp_path) is None


@pytest.fixture(scope="module")
def saved(run, tmp_path_factory):
    """A model directory with the steps 2 and 4."""
    model_dir = tmp_path_factory.mktemp("saved")
    _save(model_dir, run, [2, 4])
    return model_dir


def _resume(model_dir, run):
    manager = checkpoint_manager.CheckpointManager(model_dir, utils.SaveCheckpointConfig())
    resumed = manager.resume(run.abstract, run.iterator)
    jax.tree.map(np.testing.assert_array_equal, resumed.state, run.state)
    manager.close()
    return resumed


@pytest.mark.parametrize(
    "pattern",
    ["state/_METADATA", "state/manifest.ocdbt", "state/d/*", "dataset/position.json"],
)
def test_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, saved, run, pattern):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    for file in (tmp_path / "checkpoint_4").glob(pattern):
        os.truncate(file, file.stat().st_size // 2)
    resumed = _resume(tmp_path, run)
    assert resumed.step == 2
    (note,) = resumed.notes
    assert note.startswith(f"{tmp_path}/checkpoint_4: not a readable checkpoint (")
    assert note.endswith("; it is damaged_checkpoint_4 now")
    assert "\n" not in note
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint_2", "damaged_checkpoint_4",
    ]  # fmt: skip
    _save(tmp_path, run, [4], keep=1)
    assert checkpoints.all_steps(tmp_path) == [4]
    assert (tmp_path / "damaged_checkpoint_4").is_dir()


@pytest.mark.parametrize("pattern", ["_CHECKPOINT_METADATA", "dataset/iterator.data-*"])
def test_files_that_can_be_done_without(tmp_path, saved, run, pattern):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    (file,) = (tmp_path / "checkpoint_4").glob(pattern)
    os.truncate(file, file.stat().st_size // 2)
    assert _resume(tmp_path, run).step == 4


def test_no_readable_checkpoint_is_an_error_and_removes_nothing(tmp_path, saved, run):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    for step in (2, 4):
        (tmp_path / f"checkpoint_{step}" / "dataset" / "position.json").unlink()
    with pytest.raises(InputError, match="checkpoint_4: not a readable .*, nor is there one befor"):
        _resume(tmp_path, run)
    assert checkpoints.all_steps(tmp_path) == [2, 4]


def test_a_second_damaged_checkpoint_of_a_step_is_kept_too(tmp_path, saved, run):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    (tmp_path / "damaged_checkpoint_4").mkdir()
    (tmp_path / "checkpoint_4" / "state" / "_METADATA").unlink()
    assert _resume(tmp_path, run).notes[0].endswith("it is damaged_checkpoint_4.1 now")
    assert (tmp_path / "damaged_checkpoint_4.1" / "dataset").is_dir()


def test_checkpoint_of_another_optimizer_is_an_error_not_damage(tmp_path, saved, run):
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    other = _Run(optimizer_def=optax.sgd(0.1, momentum=0.9))
    manager = checkpoint_manager.CheckpointManager(tmp_path, utils.SaveCheckpointConfig())
    with pytest.raises(InputError, match="optimizer state .* in the run; resume with the optimiz"):
        manager.resume(other.abstract, other.iterator)
    assert checkpoints.all_steps(tmp_path) == [2, 4]


def test_checkpoint_of_other_types_is_an_error(saved):
    other = _Run(optimizer_def=optim.adamw(1e-2, mu_dtype=None))
    manager = checkpoint_manager.CheckpointManager(saved, utils.SaveCheckpointConfig())
    expected = "optimizer state .*mu.* is bfloat16 in the checkpoint and float32 in the run"
    with pytest.raises(InputError, match=expected):
        manager.resume(other.abstract, other.iterator)


@pytest.mark.parametrize("limit", [200, 20_000])  # met by small files at once, by large ones later
def test_full_disk_leaves_the_checkpoints_before(tmp_path, run, full_disk, limit):
    _save(tmp_path, run, [2], keep=1)
    manager = checkpoint_manager.CheckpointManager(tmp_path, utils.SaveCheckpointConfig(keep=1))
    expected = (
        r"checkpoint_4: can't be written \(.*File too large.*\); finished checkpoints are kept"
    )
    with full_disk(limit), pytest.raises(InputError, match=expected):
        manager.save(4, run.state, run.iterator)
        manager.wait()
    manager.close()
    assert checkpoints.all_steps(tmp_path) == [2]
    # What the broken save left is swept away, and saving works again.
    _save(tmp_path, run, [4], keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_4"]
