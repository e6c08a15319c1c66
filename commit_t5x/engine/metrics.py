"""Metrics: fetched from the devices in groups, written to TensorBoard and a JSONL file."""

import json
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
from clu import metric_writers

from commit_t5x.engine import progress
from commit_t5x.errors import InputError

METRICS_FILE = "metrics.jsonl"


class DivergedError(InputError):
    """The loss or the gradients are no longer finite numbers."""


class MetricFiles:
    """Writes scalars to MODEL_DIR/{name} for TensorBoard and to MODEL_DIR/metrics.jsonl.

    A line of the JSONL file is `{"name": "train", "step": 3, "loss": 2.5, ...}`.

    Args:
      model_dir: an existing folder.
      first_step: of this process. Lines of later steps, which a run wrote before it was killed and
        which are now computed again, are removed.
    """

    def __init__(self, model_dir: pathlib.Path, first_step: int):
        self._model_dir = model_dir
        self._writers: dict[str, metric_writers.MetricWriter] = {}
        path = model_dir / METRICS_FILE
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _is_until(line, first_step)]
            aside = path.with_name(f"{path.name}.tmp")
            aside.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
            os.replace(aside, path)
        self._lines = path.open("a", encoding="utf-8")

    def writer(self, name: str) -> metric_writers.MetricWriter:
        """Returns the TensorBoard writer of a folder such as "train"."""
        if name not in self._writers:
            writer = metric_writers.SummaryWriter(str(self._model_dir / name))
            self._writers[name] = metric_writers.AsyncWriter(writer)
        return self._writers[name]

    def write(self, name: str, step: int, scalars: Mapping[str, float]) -> None:
        """Writes scalars of a step."""
        self.writer(name).write_scalars(step, scalars)
        self._lines.write(json.dumps({"name": name, "step": step, **scalars}) + "\n")

    def flush(self) -> None:
        """Makes the lines written so far readable by others."""
        self._lines.flush()

    def close(self) -> None:
        """Writes what is pending."""
        self._lines.close()
        for writer in self._writers.values():
            writer.close()


def _is_until(line: str, first_step: int) -> bool:
    """Returns whether a line is complete and not of a later step than `first_step`."""
    try:
        return json.loads(line)["step"] <= first_step
    except (json.JSONDecodeError, KeyError, TypeError):
        return False


class TrainMetrics:
    """Collects the steps' metrics without stopping the devices.

    Metrics stay on the devices until `period` further steps have been started; so the host runs at
    most two periods ahead of the devices, and never waits for the step that it just started.

    Written per step are loss, z_loss, accuracy (of loss-bearing tokens), grad_norm, param_norm,
    learning_rate, tokens and loss_tokens (numbers of tokens that aren't padding, and that bear
    loss). Once a period come tokens_per_second, steps_per_second and seconds_waiting_for_data, over
    the steps since they were last written.

    Args:
      files: where to write.
      display: told once a period.
      period: steps.
    """

    def __init__(self, files: MetricFiles, display: progress.Progress, period: int):
        self._files = files
        self._display = display
        self._period = period
        self._pending: list[tuple[int, Mapping[str, jax.Array]]] = []
        self._clock = time.perf_counter()
        self._waited = 0.0

    def add(self, step: int, metrics: Mapping[str, jax.Array], seconds_waited: float) -> None:
        """Takes the metrics of a step that was just started.

        Args:
          step: number of steps started so far.
          metrics: scalars, maybe not computed yet.
          seconds_waited: total time spent waiting for data so far.
        """
        self._pending.append((step, metrics))
        if step % self._period == 0:
            self._write(step - self._period, seconds_waited)

    def finish(self, seconds_waited: float) -> None:
        """Waits for all steps that were started and writes their metrics.

        Raises:
          DivergedError: a loss or gradient norm is not finite.
        """
        if self._pending:
            self._write(self._pending[-1][0], seconds_waited)

    def restart_clock(self) -> None:
        """Leaves what happened since `finish` (a save, an evaluation) out of the speeds."""
        self._clock = time.perf_counter()

    def _write(self, last_step: int, seconds_waited: float) -> None:
        ready = [item for item in self._pending if item[0] <= last_step]
        if not ready:
            return
        self._pending = self._pending[len(ready) :]
        steps = [step for step, _ in ready]
        written = [_finalise(sums) for sums in jax.device_get([sums for _, sums in ready])]
        seconds = max(time.perf_counter() - self._clock, 1e-9)
        written[-1] |= {
            "tokens_per_second": sum(scalars["tokens"] for scalars in written) / seconds,
            "steps_per_second": len(written) / seconds,
            "seconds_waiting_for_data": seconds_waited - self._waited,
        }
        self._waited = seconds_waited
        self.restart_clock()
        for step, scalars in zip(steps, written, strict=True):
            self._files.write("train", step, scalars)
            if not (math.isfinite(scalars["loss"]) and math.isfinite(scalars["grad_norm"])):
                self._files.flush()
                raise DivergedError(
                    f"loss is {scalars['loss']} and the gradient norm {scalars['grad_norm']} at "
                    f"step {step}"
                )
        self._files.flush()
        self._display.update(steps[-1], written[-1]["loss"], written[-1]["tokens_per_second"])


def _finalise(values: Mapping[str, Any]) -> dict[str, float]:
    """Turns a step's sums into what is written."""
    scalars = {name: float(value) for name, value in values.items()}
    correct = scalars.pop("correct")
    scalars["accuracy"] = correct / max(scalars["loss_tokens"], 1.0)
    return scalars


def summarise_eval(sums: list[Mapping[str, Any]]) -> dict[str, float]:
    """Adds up the sums of an evaluation step over batches; see `trainer.make_eval_step`.

    Returns:
      loss, z_loss, accuracy and loss_tokens, over all batches.
    """
    totals = {name: float(sum(part[name] for part in sums)) for name in sums[0]}
    denominator = max(totals["denominator"], 1.0)
    return {
        "loss": totals["loss"] / denominator,
        "z_loss": totals["z_loss"] / denominator,
        "accuracy": totals["correct"] / max(totals["loss_tokens"], 1.0),
        "loss_tokens": totals["loss_tokens"],
    }
