"""What training shows while it runs: a bar on a terminal, plain lines elsewhere."""

import datetime
import sys
import time
from typing import Protocol, TextIO

import rich.console
import rich.progress


class Progress(Protocol):
    """Shows how far a run is."""

    def update(self, step: int, loss: float, tokens_per_second: float) -> None:
        """Shows that `step` steps are done."""

    def message(self, text: str) -> None:
        """Prints a line of its own."""

    def close(self) -> None:
        """Ends the display."""


def make_progress(first_step: int, total_steps: int, stream: TextIO | None = None) -> Progress:
    """Returns a bar if `stream` (stderr by default) is a terminal, else plain lines."""
    stream = sys.stderr if stream is None else stream
    kind = Bar if stream.isatty() else Lines
    return kind(first_step, total_steps, stream)


class Bar:
    """A live bar with steps, loss, tokens per second and time left."""

    def __init__(self, first_step: int, total_steps: int, stream: TextIO):
        self._progress = rich.progress.Progress(
            rich.progress.TextColumn("step {task.completed}/{task.total}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("loss {task.fields[loss]}"),
            rich.progress.TextColumn("{task.fields[rate]} tokens/s"),
            rich.progress.TimeRemainingColumn(),
            rich.progress.TextColumn("left"),
            console=rich.console.Console(file=stream),
        )
        self._task = self._progress.add_task("", total=total_steps, loss="...", rate="...")
        self._progress.update(self._task, completed=first_step)
        self._progress.start()

    def update(self, step: int, loss: float, tokens_per_second: float) -> None:
        self._progress.update(
            self._task, completed=step, loss=f"{loss:.4f}", rate=f"{tokens_per_second:,.0f}"
        )

    def message(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        self._progress.stop()


class Lines:
    """One line per update, for logs."""

    def __init__(self, first_step: int, total_steps: int, stream: TextIO):
        self._first_step = first_step
        self._total_steps = total_steps
        self._stream = stream
        self._start = time.monotonic()

    def update(self, step: int, loss: float, tokens_per_second: float) -> None:
        per_step = (time.monotonic() - self._start) / max(step - self._first_step, 1)
        left = datetime.timedelta(seconds=round(per_step * (self._total_steps - step)))
        self.message(
            f"step {step}/{self._total_steps}  loss {loss:.4f}  "
            f"{tokens_per_second:,.0f} tokens/s  {left} left"
        )

    def message(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        pass
