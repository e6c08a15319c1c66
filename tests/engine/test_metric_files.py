import io
import json
import time

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf

from commit_t5x.engine import metrics, progress


def _sums(loss, loss_tokens=4):
    return {
        "loss": jnp.float32(loss),
        "z_loss": jnp.float32(0),
        "grad_norm": jnp.float32(1),
        "correct": jnp.int32(1),
        "loss_tokens": jnp.int32(loss_tokens),
        "tokens": jnp.int32(8),
    }


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
    (events,) = (tmp_path / "training_eval" / "task").glob("events.*")
    values = [
        (event.step, value.tag, tf.make_ndarray(value.tensor).item())
        for event in map(tf.compat.v1.Event.FromString, _records(events))
        for value in event.summary.value
    ]
    assert values == [(3, "loss", 2.5)]


def _records(path):
    return (record.numpy() for record in tf.data.TFRecordDataset(str(path)))


def test_lines_after_the_restored_step_are_removed(tmp_path):
    lines = [json.dumps({"name": "train", "step": step}) for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*lines, '{"name": "tr']))
    files = metrics.MetricFiles(tmp_path, first_step=2)
    files.write("train", 3, {"loss": 1.0})
    files.close()
    assert [line["step"] for line in _lines(tmp_path)] == [1, 2, 3]
    assert _lines(tmp_path)[-1]["loss"] == 1.0


def test_metrics_are_fetched_a_period_late(tmp_path, files):
    stream = io.StringIO()
    collected = metrics.TrainMetrics(files, progress.Lines(0, 7, stream), period=2)
    written = []
    for step in range(1, 8):
        collected.add(step, _sums(loss=step), seconds_waited=step / 10)
        written.append(len(_lines(tmp_path)))
    assert written == [0, 0, 0, 2, 2, 4, 4]
    collected.finish(seconds_waited=0.7)
    lines = _lines(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 8))
    assert [line["loss"] for line in lines] == list(range(1, 8))
    assert all(line["accuracy"] == 0.25 for line in lines)
    waits = [line["seconds_waiting_for_data"] for line in lines if "tokens_per_second" in line]
    np.testing.assert_allclose(np.sum(waits), 0.7)
    assert stream.getvalue().splitlines()[-1].startswith("step 7/7  loss 7.0000  ")


def test_a_step_without_loss_tokens_has_accuracy_0(tmp_path, files):
    collected = metrics.TrainMetrics(files, progress.Lines(0, 1, io.StringIO()), period=1)
    collected.add(1, _sums(loss=0, loss_tokens=0) | {"correct": jnp.int32(0)}, 0.0)
    collected.finish(0.0)
    assert _lines(tmp_path)[0]["accuracy"] == 0


@pytest.mark.parametrize("name", ["loss", "grad_norm"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_an_error(files, name, value):
    collected = metrics.TrainMetrics(files, progress.Lines(0, 9, io.StringIO()), period=4)
    collected.add(1, _sums(1.0), 0.0)
    collected.add(2, _sums(1.0) | {name: jnp.float32(value)}, 0.0)
    with pytest.raises(metrics.DivergedError, match="at step 2"):
        collected.finish(0.0)


def test_speed_leaves_out_what_happens_between(tmp_path, files):
    collected = metrics.TrainMetrics(files, progress.Lines(0, 2, io.StringIO()), period=1)
    time.sleep(0.2)
    collected.restart_clock()
    collected.add(1, _sums(1.0), 0.0)
    collected.finish(0.0)
    assert _lines(tmp_path)[0]["tokens_per_second"] > 8 / 0.2


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
