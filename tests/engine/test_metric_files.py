import functools
import io
import json
import time
import types

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf

from commit_t5x import disk
from commit_t5x.engine import metrics, progress, runs
from commit_t5x.errors import InputError


def _sums(loss, loss_tokens=4):
    return {
        "loss": jnp.float32(loss),
        "z_loss": jnp.float32(0),
        "grad_norm": jnp.float32(1),
        "param_norm": jnp.float32(1),
        "correct": jnp.int32(1),
        "loss_tokens": jnp.int32(loss_tokens),
        "tokens": jnp.int32(8),
    }


def _iterator(seconds_waited=0.0, words=0, replaced=0):
    counts = types.SimpleNamespace(words=words, replaced=replaced)
    return types.SimpleNamespace(
        name="task", batch_shape=(2, 8), seconds_waited=seconds_waited, counts=counts
    )


def _metrics(files, steps, period, stream=None, iterator=None, **options):
    display = progress.Lines(0, steps, stream or io.StringIO())
    return metrics.TrainMetrics(files, display, period, iterator or _iterator(), **options)


@pytest.fixture
def files(tmp_path):
    files = metrics.MetricFiles(tmp_path, first_step=0)
    yield files
    files.close()


def _lines(path):
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def test_metrics_reach_both_kinds_of_files(tmp_path):
    files = metrics.MetricFiles(tmp_path, first_step=0)
    files.write("training_eval/task", 3, {"loss": 2.5})
    files.close()
    assert _lines(tmp_path) == [{"name": "training_eval/task", "step": 3, "loss": 2.5}]
    assert _board(tmp_path / "training_eval" / "task") == [(3, "loss", 2.5)]


def _board(folder):
    """Returns step, name and value of the scalars that TensorBoard shows."""
    (path,) = folder.glob("events.*")
    events = (record.numpy() for record in tf.data.TFRecordDataset(str(path)))
    return [
        (event.step, value.tag, tf.make_ndarray(value.tensor).item())
        for event in map(tf.compat.v1.Event.FromString, events)
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "scalars"
    ]


@pytest.mark.slow
def test_metrics_of_a_commit_run(tmp_path, bind):
    macros = {
        "MODEL_DIR": str(tmp_path),
        "TRAIN_STEPS": 4,
        "WARMUP_STEPS": 1,
        "BATCH_SIZE": 2,
        "SEQUENCE_LENGTH": 64,
        "STATS_PERIOD": 2,
        "EVAL_PERIOD": 4,
        "EVAL_STEPS": 1,
        "INFER_EVAL_TASK_NAME": "xquad_enhi",
        "INFER_EVAL_PERIOD": 2,
        "INFER_EVAL_EXAMPLES": 1,
        "MAX_NEW_TOKENS": 2,
    }
    runs.train(["quickstart.gin"], macros)
    each_step = {
        "loss", "z_loss", "accuracy", "grad_norm", "param_norm", "learning_rate", "tokens",
        "loss_tokens", "packing_efficiency",
    }  # fmt: skip
    each_period = each_step | {
        "tokens_per_second", "steps_per_second", "seconds_waiting_for_data",
        "model_flops_utilisation", "mix_rate",
    }  # fmt: skip
    of_answers = {
        "exact_match", "f1", "target_script", "latin_script", "empty", "context_span",
    }  # fmt: skip
    expected = {
        "train": {1: each_step, 2: each_period, 3: each_step, 4: each_period},
        "training_eval/alpaca_codemix_hi": {4: {"loss", "z_loss", "accuracy", "loss_tokens"}},
        "inference_eval/xquad_enhi": dict.fromkeys((2, 4), of_answers),
    }
    for name, names in expected.items():
        lines = [line for line in _lines(tmp_path) if line["name"] == name]
        assert {line["step"]: line.keys() - {"name", "step"} for line in lines} == names
        assert sorted((step, tag) for step, tag, _ in _board(tmp_path / name)) == sorted(
            (step, tag) for step in names for tag in names[step]
        )


def test_lines_after_the_restored_step_are_removed(tmp_path):
    lines = [json.dumps({"name": "train", "step": step}) for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"name": "tr']))
    files = metrics.MetricFiles(tmp_path, first_step=2)
    files.write("train", 3, {"loss": 1.0})
    files.close()
    assert [line["step"] for line in _lines(tmp_path)] == [1, 2, 3]
    assert _lines(tmp_path)[-1]["loss"] == 1.0


def test_metrics_are_fetched_a_period_late(tmp_path, files):
    stream, iterator = io.StringIO(), _iterator()
    collected = _metrics(files, 7, period=2, stream=stream, iterator=iterator)
    written = []
    for step in range(1, 8):
        iterator.seconds_waited = step / 10
        collected.add(step, _sums(loss=step))
        written.append(len(_lines(tmp_path)))
    assert written == [0, 0, 0, 2, 2, 4, 4]
    collected.finish()
    lines = _lines(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 8))
    assert [line["loss"] for line in lines] == list(range(1, 8))
    assert all(line["accuracy"] == 0.25 for line in lines)
    waits = [line["seconds_waiting_for_data"] for line in lines if "tokens_per_second" in line]
    np.testing.assert_allclose(np.sum(waits), 0.7)
    assert stream.getvalue().splitlines()[-1].startswith("step 7/7  loss 7.0000  ")


@pytest.mark.parametrize(("platform", "expected"), [("gpu", [1, 2, 3]), ("cpu", [1, 2, 3, 4, 5])])
def test_the_host_runs_two_steps_ahead_of_devices_other_than_its_own(files, platform, expected):
    waited = []
    collected = _metrics(files, steps=20, period=10)
    device = types.SimpleNamespace(platform=platform)
    for step in range(1, 6):
        loss = types.SimpleNamespace(
            devices=lambda: [device], block_until_ready=functools.partial(waited.append, step)
        )
        collected.add(step, {**_sums(1.0), "loss": loss})
    assert list(dict.fromkeys(waited)) == expected


def test_a_step_without_loss_tokens_has_accuracy_0(tmp_path, files):
    collected = _metrics(files, 1, period=1)
    collected.add(1, _sums(loss=0, loss_tokens=0) | {"correct": jnp.int32(0)})
    collected.finish()
    assert _lines(tmp_path)[0]["accuracy"] == 0


@pytest.mark.parametrize("name", ["loss", "grad_norm", "param_norm"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_an_error(files, name, value):
    collected = _metrics(files, 9, period=4)
    collected.add(1, _sums(1.0))
    collected.add(2, _sums(1.0) | {name: jnp.float32(value)})
    with pytest.raises(metrics.DivergedError, match="at step 2"):
        collected.finish()


def test_speed_leaves_out_what_happens_between(tmp_path, files):
    iterator = _iterator()
    collected = _metrics(files, 2, period=1, iterator=iterator)
    time.sleep(0.2)
    iterator.seconds_waited = 0.2
    collected.restart_clock()
    collected.add(1, _sums(1.0))
    collected.finish()
    (line,) = _lines(tmp_path)
    assert line["tokens_per_second"] > 8 / 0.2
    assert line["seconds_waiting_for_data"] == 0


def test_speed_is_that_of_the_devices_and_not_of_writing(tmp_path, files):
    """A period is fetched a period late, when more steps are done, and the last one at once."""
    collected = _metrics(files, 4, period=2)
    for step in (1, 2, 3):
        collected.add(step, _sums(1.0))
    time.sleep(0.2)
    collected.add(4, _sums(1.0))
    collected.finish()
    _, first, _, last = (line.get("steps_per_second") for line in _lines(tmp_path))
    assert first > 2 / 0.2 > last


def test_mix_rate_is_of_what_was_read_since_it_was_written(tmp_path, files):
    iterator = _iterator()
    collected = _metrics(files, 4, period=1, iterator=iterator)
    for step, (words, replaced) in enumerate([(0, 0), (10, 5), (10, 5), (30, 20)], start=1):
        iterator.counts.words, iterator.counts.replaced = words, replaced
        collected.add(step, _sums(1.0))
        collected.finish()
    rates = [line.get("mix_rate") for line in _lines(tmp_path)]
    assert rates == [None, 0.5, 0.5, 0.75]


def test_utilisation_is_the_ideal_time_as_a_share_of_the_time_taken(tmp_path, files):
    collected = _metrics(files, 2, period=2, ideal_seconds=0.05)
    collected.add(1, _sums(1.0))
    time.sleep(0.2)
    collected.add(2, _sums(1.0))
    collected.finish()
    line = _lines(tmp_path)[-1]
    assert 0 < line["model_flops_utilisation"] <= 0.5
    assert line["model_flops_utilisation"] == pytest.approx(line["steps_per_second"] * 0.05)


def test_full_disk_is_an_input_error(tmp_path, full_disk):
    files = metrics.MetricFiles(tmp_path, first_step=0)
    with (
        pytest.raises(InputError, match=r"can't be written \(File too large\)"),
        disk.writing(tmp_path),
        full_disk(4000),
    ):
        for step in range(1000):
            files.write("train", step, {"loss": 1.0})
            files.flush()


def test_evaluation_sums_are_means_over_all_batches():
    batches = [
        {"loss": 6.0, "z_loss": 0.0, "correct": 1, "loss_tokens": 4, "denominator": 2.0},
        {"loss": 3.0, "z_loss": 1.0, "correct": 2, "loss_tokens": 2, "denominator": 1.0},
    ]
    assert metrics.summarise_eval(batches) == {
        "loss": 3.0,
        "z_loss": pytest.approx(1 / 3),
        "accuracy": 0.5,
        "loss_tokens": 6.0,
    }


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_and_others_lines():
    terminal, log = _Terminal(), io.StringIO()
    for stream in (terminal, log):
        display = progress.make_progress(0, 20, stream)
        display.update(10, loss=2.5, tokens_per_second=1234.0)
        display.message("saved [checkpoint_10]")
        display.close()
    assert "\x1b[" in terminal.getvalue()  # it draws over what it has drawn
    for part in ("step 10/20", "loss 2.5000", "1,234 tokens/s", "saved [checkpoint_10]"):
        assert part in terminal.getvalue()
        assert part in log.getvalue()
    assert log.getvalue().splitlines()[0].endswith("0:00:00 left")
