import functools
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import jax
import numpy as np
import pytest
import tiny

from commit_t5x.engine import checkpoints, lock, metrics, train, train_state, trainer, utils
from commit_t5x.errors import InputError

STEPS = 12


@functools.cache
def _model():
    return tiny.model(tiny.TinyNetwork(dropout_rate=0.2))


class HookedTrainer:
    """Calls `hook(state)` in the place of a step; compiles once for all tests."""

    partitioner = tiny.partitioner()
    steps = None

    def __init__(self, at_step, hook, *, model, partitioner, state_shapes):
        if HookedTrainer.steps is None:
            HookedTrainer.steps = trainer.Trainer(model, partitioner, state_shapes)
        self._at_step, self._hook = at_step, hook
        self.check_batch_size = self.steps.check_batch_size

    def train_step(self, state, batch):
        if self._hook is not None and int(state.step) == self._at_step:
            state = self._hook(state) or state
        return self.steps.train_step(state, batch)


def _fit(model_dir, at_step=None, hook=None, *, save=None, restore=None, **options):
    """Trains the tiny model for STEPS steps with a checkpoint every 4."""
    defaults = {
        "train_dataset_cfg": tiny.dataset_config(),
        "total_steps": STEPS,
        "stats_period": 2,
        "random_seed": 3,
        "summarize_config_fn": lambda model_dir, writer, step: None,
    }
    return train.train(
        model=_model(),
        partitioner=HookedTrainer.partitioner,
        trainer_cls=functools.partial(HookedTrainer, at_step, hook),
        checkpoint_cfg=utils.CheckpointConfig(
            save or utils.SaveCheckpointConfig(period=4),
            utils.RestoreCheckpointConfig(restore),
        ),
        model_dir=str(model_dir),
        **{**defaults, **options},
    )


def _lines(model_dir, name="train"):
    lines = (model_dir / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["name"] == name]


def _deterministic(line):
    return {k: v for k, v in line.items() if "per_second" not in k and "seconds" not in k}


def _assert_same_run(state, model_dir, reference):
    expected_state, expected_dir = reference
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), expected_state)
    assert [_deterministic(line) for line in _lines(model_dir)] == [
        _deterministic(line) for line in _lines(expected_dir)
    ]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The final state and the directory of a run that nothing disturbed."""
    model_dir = tmp_path_factory.mktemp("reference")
    _, state = _fit(model_dir)
    return jax.device_get(state), model_dir


def test_loss_falls_and_everything_is_written(reference):
    state, model_dir = reference
    assert state.step == STEPS
    assert checkpoints.all_steps(model_dir) == [4, 8, 12]
    lines = _lines(model_dir)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    assert np.mean([line["loss"] for line in lines[-3:]]) < lines[0]["loss"]
    assert {
        "loss", "z_loss", "accuracy", "grad_norm", "param_norm", "learning_rate", "tokens",
        "loss_tokens",
    } < set(lines[0])  # fmt: skip
    assert {"tokens_per_second", "steps_per_second", "seconds_waiting_for_data"} < set(lines[-1])
    assert 0 <= lines[-1]["accuracy"] <= 1
    assert list((model_dir / "train").glob("events.out.tfevents.*"))
    assert all(line["packing_efficiency"] == line["tokens"] / (4 * 16) for line in lines)
    assert json.loads((model_dir / "model_config.json").read_text())["vocab_size"] == 32


class Crash(Exception):
    pass


def _crash(state):
    raise Crash


@pytest.mark.parametrize("at_step", [2, 7])
def test_resumed_run_ends_with_the_same_bits(tmp_path, reference, at_step):
    with pytest.raises(Crash):
        _fit(tmp_path, at_step, _crash)
    assert checkpoints.all_steps(tmp_path) == [4] * (at_step > 4)
    _, state = _fit(tmp_path)
    _assert_same_run(state, tmp_path, reference)


def test_sigterm_saves_and_exits(tmp_path, reference, capsys):
    with pytest.raises(SystemExit) as stop:
        _fit(tmp_path, 5, lambda state: os.kill(os.getpid(), signal.SIGTERM))
    assert stop.value.code == 143
    assert checkpoints.all_steps(tmp_path) == [4, 6]
    assert "Stopped by SIGTERM at step 6; saved checkpoint_6" in capsys.readouterr().err
    _, state = _fit(tmp_path)
    _assert_same_run(state, tmp_path, reference)


@pytest.mark.slow
def test_run_killed_while_it_saves_ends_with_the_same_bits(tmp_path, reference):
    # A process of its own, as nothing survives SIGKILL.
    script = (
        "import os, pathlib, signal, sys\n"
        "sys.path[:0] = sys.argv[2:]\n"
        "import test_train\n"
        "kill = lambda state: os.kill(os.getpid(), signal.SIGKILL)\n"
        "test_train._fit(pathlib.Path(sys.argv[1]), 8, kill)\n"
    )
    here = pathlib.Path(__file__).parent
    command = [sys.executable, "-c", script, str(tmp_path), str(here), str(here.parent)]
    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == -signal.SIGKILL
    assert checkpoints.all_steps(tmp_path)[0] == 4
    assert len(list(tmp_path.glob("checkpoint_8*"))) == 1  # begun, finished or not
    _, state = _fit(tmp_path)
    _assert_same_run(state, tmp_path, reference)


def test_damaged_checkpoint_gives_way_to_the_one_before(tmp_path, reference, capsys):
    shutil.copytree(reference[1], tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "checkpoint_12")
    os.truncate(tmp_path / "checkpoint_8" / "state" / "manifest.ocdbt", 50)
    _, state = _fit(tmp_path)
    _assert_same_run(state, tmp_path, reference)
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert "checkpoint_8: not a readable checkpoint" in first
    assert "starts from checkpoint_4 of this run" in second
    assert checkpoints.all_steps(tmp_path) == [4, 8, 12]
    assert (tmp_path / "damaged_checkpoint_8").is_dir()


def test_full_disk_stops_and_keeps_the_finished_checkpoints(tmp_path, reference, full_disk):
    # The files of metrics are smaller than this, that of the data position is larger.
    with full_disk(2**16), pytest.raises(InputError, match="checkpoint_4: can't be written"):
        _fit(tmp_path)
    assert checkpoints.all_steps(tmp_path) == []
    _, state = _fit(tmp_path)
    _assert_same_run(state, tmp_path, reference)


def test_read_only_model_dir_is_an_error(as_nobody):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)
        with pytest.raises(InputError, match=r"can't be written \(Permission denied\)"):
            _fit(pathlib.Path(folder))
        assert not os.listdir(folder)


def test_file_in_the_place_of_model_dir_is_an_error(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match=r"out: can't be written \(File exists\)"):
        _fit(tmp_path / "out")


def test_two_runs_in_one_model_dir_are_an_error(tmp_path):
    with (
        lock.held(tmp_path),
        pytest.raises(InputError, match=f"process {os.getpid()} on .* trains here; wait for it"),
    ):
        _fit(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.slow
def test_unreadable_shard_is_an_error_that_a_mended_one_cures(tmp_path, monkeypatch):
    shard = tmp_path / "shard.tfrecord"
    monkeypatch.setattr(tiny, "RECORDS", shard)
    tiny.write_records(shard)
    whole = shard.read_bytes()
    options = {"train_dataset_cfg": tiny.dataset_config("tiny_records")}
    undisturbed = tmp_path / "undisturbed"
    _, expected = _fit(undisturbed, **options)
    broken = tmp_path / "broken"
    _fit(broken, **options | {"total_steps": 4})
    # The saved state holds what was read ahead, enough for all steps; without it, data are read.
    for file in (broken / "checkpoint_4" / "dataset").glob("iterator.*"):
        file.unlink()
    shard.write_bytes(whole[:900] + b"?" + whole[901:])
    expected_error = (
        r"tiny_records: a file of the split 'train' can't be read \(corrupted record at 900\)"
    )
    with pytest.raises(InputError, match=expected_error):
        _fit(broken, **options)
    assert checkpoints.all_steps(broken) == [4]
    shard.write_bytes(whole)
    _, state = _fit(broken, **options)
    _assert_same_run(state, broken, (jax.device_get(expected), undisturbed))


def test_chosen_steps_are_profiled(tmp_path):
    _fit(tmp_path, profile_steps=(3, 4), total_steps=5)
    assert len(list((tmp_path / "profile").rglob("*.xplane.pb"))) == 1


def test_steps_to_profile_must_be_in_order(tmp_path):
    with pytest.raises(InputError, match=r"PROFILE_STEPS: \(4, 3\) ends before it begins"):
        _fit(tmp_path / "out", profile_steps=(4, 3))
    with pytest.raises(InputError, match=r"PROFILE_STEPS: \(13, 14\) begins after TRAIN_STEPS"):
        _fit(tmp_path / "out", profile_steps=(13, 14))
    assert not (tmp_path / "out").exists()


def test_next_batch_is_sent_before_the_step_is_waited_for(tmp_path, monkeypatch):
    events = []

    def recorded(name, function):
        def call(*args):
            events.append(name)
            return function(*args)

        return call

    partitioner = HookedTrainer.partitioner
    monkeypatch.setattr(partitioner, "put_batch", recorded("send", partitioner.put_batch))
    monkeypatch.setattr(jax, "device_get", recorded("wait", jax.device_get))
    _fit(tmp_path, total_steps=4, save=utils.SaveCheckpointConfig())
    # Metrics are looked at each two steps: those of the first two when a fourth is sent.
    assert events[:5] == ["send"] * 4 + ["wait"]


def test_nan_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    def poison(state):
        return state.replace(params=jax.tree.map(lambda leaf: leaf * np.nan, state.params))

    expected = (
        "loss nan, grad_norm nan, param_norm nan at step 7; checkpoint_4 is the last good one. "
        "Lower the learning rate"
    )
    with pytest.raises(metrics.DivergedError, match=expected):
        _fit(tmp_path, 6, poison)
    assert checkpoints.all_steps(tmp_path) == [4]


def test_finished_run_has_nothing_to_do(reference, capsys):
    _, model_dir = reference
    assert _fit(model_dir) == (STEPS, None)
    assert "holds checkpoint_12, the run of 12 steps is finished" in capsys.readouterr().out


def test_finished_run_on_other_data_is_an_error(reference):
    other = tiny.dataset_config(seed=3)
    with pytest.raises(InputError, match="seed was 7, is 3; .*ACCEPT_CHANGES"):
        _fit(reference[1], train_dataset_cfg=other)


def test_finished_run_whose_checkpoint_is_damaged_goes_back(tmp_path, reference, capsys):
    shutil.copytree(reference[1], tmp_path, dirs_exist_ok=True)
    for file in (tmp_path / "checkpoint_12" / "state" / "d").iterdir():
        os.truncate(file, file.stat().st_size // 2)
    _, state = _fit(tmp_path)
    assert "checkpoint_12: not a readable checkpoint" in capsys.readouterr().err
    _assert_same_run(state, tmp_path, reference)


@pytest.mark.parametrize(("change", "value"), [("batch_size", 8), ("seed", 3), ("pack", False)])
def test_run_does_not_go_on_with_other_data(tmp_path, reference, change, value):
    shutil.copytree(reference[1], tmp_path, dirs_exist_ok=True)
    other = {"train_dataset_cfg": tiny.dataset_config(**{change: value}), "total_steps": 13}
    before = getattr(tiny.dataset_config(), change)
    with pytest.raises(InputError, match=f"{change} was {before}, is {value}; .*ACCEPT_CHANGES"):
        _fit(tmp_path, **other)
    if change == "seed":  # the shapes of the one step that was compiled
        step, _ = _fit(tmp_path, accept_changes=["DatasetConfig.seed"], **other)
        assert step == 13
        assert list(json.loads((tmp_path / "data.json").read_text())) == [
            "from step 0", "from step 12",
        ]  # fmt: skip


def test_finished_run_can_be_prolonged(tmp_path, reference):
    _fit(tmp_path, total_steps=6)
    _, state = _fit(tmp_path)
    expected, _ = reference
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state), expected)


def test_initial_checkpoint_gives_weights_and_nothing_else(tmp_path, reference):
    folder = reference[1] / "checkpoint_8"
    seen = []
    _fit(tmp_path, 0, lambda state: seen.append(jax.device_get(state)), restore=folder)
    (state,) = seen
    initializer = train_state.TrainStateInitializer(_model(), HookedTrainer.partitioner)
    weights = checkpoints.load_params(folder, initializer.params)
    jax.tree.map(np.testing.assert_array_equal, state.params, weights)
    assert state.step == 0
    assert not any(leaf.any() for leaf in jax.tree.leaves(state.param_states))
    assert len(_lines(tmp_path)) == STEPS


def test_evaluation_during_training(tmp_path, capsys):
    _fit(
        tmp_path,
        train_eval_dataset_cfg=tiny.dataset_config(split="validation", shuffle=False),
        eval_period=5,
        eval_steps=None,
    )
    lines = _lines(tmp_path, "training_eval/tiny_train")
    assert [line["step"] for line in lines] == [5, 10, 12]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert list((tmp_path / "training_eval" / "tiny_train").glob("events.out.tfevents.*"))
    shown = capsys.readouterr().err
    assert "step 10  training_eval/tiny_train  loss" in shown
    assert "step 12/12  loss" in shown


def test_other_network_is_an_error(tmp_path, reference):
    _, model_dir = reference
    wider = tiny.model(tiny.TinyNetwork(tiny.TinyConfig(mlp_dim=24)))
    options = {
        "model": wider,
        "partitioner": tiny.partitioner(),
        "train_dataset_cfg": tiny.dataset_config(),
        "total_steps": 20,
    }
    with pytest.raises(InputError, match=r"wi is \(8, 16\) in the checkpoint and \(8, 24\) in"):
        train.train(**options, checkpoint_cfg=utils.CheckpointConfig(), model_dir=str(model_dir))
    restore = utils.RestoreCheckpointConfig(str(model_dir))
    with pytest.raises(InputError, match=r"wi is \(8, 16\) in the checkpoint and \(8, 24\) in"):
        train.train(
            **options,
            checkpoint_cfg=utils.CheckpointConfig(restore=restore),
            model_dir=str(tmp_path),
        )
