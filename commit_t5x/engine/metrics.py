"""Metrics: fetched from the devices in groups, written to TensorBoard and a JSONL file."""

import json
import math
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import jax
from clu import metric_writers

from commit_t5x import disk
from commit_t5x.engine import data, host_memory, progress
from commit_t5x.errors import InputError

METRICS_FILE = "metrics.jsonl"
_MUST_BE_FINITE = ("loss", "grad_norm", "param_norm")


class DivergedError(InputError):
    """The loss, the gradients or the parameters are no longer finite numbers."""


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
            disk.write(path, "".join(f"{line}\n" for line in kept))
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


def latest(model_dir: str | pathlib.Path) -> dict[str, dict[str, float]]:
    """Returns the last metrics of "train" and of each evaluation that a run has written.

    Example:
      >>> latest("out")["train"]
      {'step': 100, 'loss': 2.97, ...}
    """
    found = {}
    lines = (pathlib.Path(model_dir) / METRICS_FILE).read_text(encoding="utf-8").splitlines()
    for line in map(json.loads, lines):
        found[line.pop("name")] = line
    return found


def _is_until(line: str, first_step: int) -> bool:
    """Returns whether a line is complete and not of a later step than `first_step`."""
    try:
        return json.loads(line)["step"] <= first_step
    except (json.JSONDecodeError, KeyError, TypeError):
        return False


_STEPS_WITHOUT_LOSS = 10  # that end a run
_AHEAD = 2  # steps that the host begins before the devices have done the one before them


class TrainMetrics:
    """Collects the steps' metrics without stopping the devices.

    Metrics stay on the devices until `period` further steps have been started, and the host doesn't
    wait for the step that it just started, unless it runs on CPUs. It runs no more than two steps
    ahead of the devices: what a signal has it save is the state after those.

    Written per step are loss, z_loss, accuracy (of loss-bearing tokens), grad_norm, param_norm,
    learning_rate, tokens and loss_tokens (numbers of tokens that aren't padding, and that bear
    loss), and packing_efficiency (the share of positions that aren't padding).

    Once a period come tokens_per_second, steps_per_second, model_flops_utilisation and
    seconds_waiting_for_data, over the steps since they were last written; and mix_rate, the share
    of words that was replaced in the texts read since it was last written (a new one comes once
    texts are read, which are read ahead).

    Args:
      files: where to write.
      display: told once a period.
      period: steps.
      iterator: of the training data; counts what is read.
      ideal_seconds: of a step; see `flops.ideal_seconds`.
    """

    def __init__(
        self,
        files: MetricFiles,
        display: progress.Progress,
        period: int,
        iterator: data.TrainIterator,
        ideal_seconds: float | None = None,
    ):
        self._files = files
        self._display = display
        self._period = period
        self._iterator = iterator
        self._ideal_seconds = ideal_seconds
        self._pending: list[tuple[int, Mapping[str, jax.Array]]] = []
        self._ends: dict[int, jax.Array] = {}  # a scalar of each period's last step in _pending
        self._ended: dict[int, float] = {}  # when those were computed that are
        self.restart_clock()
        self._without_loss = 0
        self._mixed = (0, 0)
        self._mix_rate: dict[str, float] = {}

    def add(self, step: int, metrics: Mapping[str, jax.Array]) -> None:
        """Takes the metrics of a step that was just started.

        Args:
          step: number of steps started so far.
          metrics: scalars, maybe not computed yet.
        """
        for end in [end for end, scalar in self._ends.items() if scalar.is_ready()]:
            self._ended[end] = time.perf_counter()  # long before it is written, on a slow device
            del self._ends[end]
        self._pending.append((step, metrics))
        host_memory.wait_on_cpu(metrics["loss"])
        if len(self._pending) > _AHEAD:
            self._pending[-1 - _AHEAD][1]["loss"].block_until_ready()
        if step % self._period == 0:
            self._ends[step] = metrics["loss"]
            self._write(step - self._period)

    def finish(self) -> None:
        """Waits for all steps that were started and writes their metrics.

        Raises:
          DivergedError: a loss, or a norm of gradients or parameters, is not finite.
        """
        if self._pending:
            self._write(self._pending[-1][0])
        self._ends.clear()
        self._ended.clear()

    def restart_clock(self, now: float | None = None) -> None:
        """Leaves what happened since `finish` (a save, an evaluation) out of speeds and waits."""
        self._clock = now or time.perf_counter()
        self._waited = self._iterator.seconds_waited

    def _write(self, last_step: int) -> None:
        ready = [item for item in self._pending if item[0] <= last_step]
        if not ready:
            return
        self._pending = self._pending[len(ready) :]
        steps = [step for step, _ in ready]
        positions = math.prod(self._iterator.batch_shape)
        fetched = jax.device_get([sums for _, sums in ready])
        written = [_finalise(sums, positions) for sums in fetched]
        self._ends.pop(last_step, None)
        now = self._ended.pop(last_step, time.perf_counter())
        seconds = max(now - self._clock, 1e-9)
        written[-1] |= {
            "tokens_per_second": sum(scalars["tokens"] for scalars in written) / seconds,
            "steps_per_second": len(written) / seconds,
            "seconds_waiting_for_data": self._iterator.seconds_waited - self._waited,
            **self._mix(),
        }
        if self._ideal_seconds is not None:
            written[-1]["model_flops_utilisation"] = len(written) * self._ideal_seconds / seconds
        self.restart_clock(now)
        for step, scalars in zip(steps, written, strict=True):
            self._files.write("train", step, scalars)
            if not all(math.isfinite(scalars[name]) for name in _MUST_BE_FINITE):
                self._files.flush()
                found = ", ".join(f"{name} {scalars[name]}" for name in _MUST_BE_FINITE)
                raise DivergedError(f"{found} at step {step}")
        self._files.flush()
        if any(scalars["loss_tokens"] for scalars in written):
            self._without_loss = 0
        else:
            self._without_loss += len(written)
        if self._without_loss >= _STEPS_WITHOUT_LOSS:
            raise InputError(
                f"{self._iterator.name}: no token of the {self._without_loss} steps up to "
                f"{steps[-1]} bears loss; look at the data by commit-t5x inspect"
            )
        self._display.update(steps[-1], written[-1]["loss"], written[-1]["tokens_per_second"])

    def _mix(self) -> dict[str, float]:
        """Returns the mix rate of what was read since the last call, if anything was mixed."""
        words, replaced = self._iterator.counts.words, self._iterator.counts.replaced
        if words > self._mixed[0]:
            rate = (replaced - self._mixed[1]) / (words - self._mixed[0])
            self._mix_rate = {"mix_rate": rate}
            self._mixed = (words, replaced)
        return self._mix_rate


def _finalise(values: Mapping[str, Any], positions: int) -> dict[str, float]:
    """Turns a step's sums into what is written."""
    scalars = {name: float(value) for name, value in values.items()}
    correct = scalars.pop("correct")
    scalars["accuracy"] = correct / max(scalars["loss_tokens"], 1.0)
    scalars["packing_efficiency"] = scalars["tokens"] / positions
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
