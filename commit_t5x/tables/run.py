"""Shows a table's plan, and runs what is left of it, stage by stage."""

import datetime
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

import rich.console
import rich.progress
import rich.table

from commit_t5x.tables.record import Record
from commit_t5x.tables.stages import Stage, shell

_ERROR = "commit-t5x: error: "  # begins the line that says what is wrong

# Runs a command, hands over each line that it prints, and returns its exit status.
Runner = Callable[[Sequence[str], Callable[[str], None]], int]


def show_plan(stages: Sequence[Stage], record: Record, console: rich.console.Console) -> None:
    """Prints what is done, what is left, and how long that should take."""
    table = rich.table.Table("stage", "state", rich.table.Column("left", justify="right"))
    for stage in stages:
        left = record.left(stage)
        table.add_row(stage.name, _state(stage), "?" if left is None else _clock(left))
    console.print(table)
    seconds, unknown = record.total(stages)
    done = sum(stage.done() for stage in stages)
    more = f", and {unknown} stages whose kind has not run yet" if unknown else ""
    console.print(f"{done} of {len(stages)} stages are done; left: {_clock(seconds)}{more}")


def run(
    stages: Sequence[Stage],
    record: Record,
    logs: pathlib.Path,
    console: rich.console.Console,
    runner: Runner | None = None,
) -> dict[str, str]:
    """Runs the stages that aren't done, in their order.

    Args:
      stages: each behind those that it needs.
      record: takes their times.
      logs: a folder; gets what each stage prints, in a file of its name.
      console: where progress is shown, a bar if it is a terminal.
      runner: runs the commands; by default each is a process.

    Returns:
      {name of a stage that wasn't done in the end: why}. What needs it is among them, and hasn't
      been tried.
    """
    failed: dict[str, str] = {}
    with _Display(console, len(stages)) as display:
        for stage in stages:
            display.begin(stage)
            reason = next((f"needs {name}" for name in stage.needs if name in failed), None)
            if stage.done():
                reason = None
            elif reason is None:
                reason = _run_one(stage, record, logs, display.line, runner or run_process)
            if reason is not None:
                failed[stage.name] = reason
            display.end(stage, reason, record.total(stages)[0])
    return failed


def _run_one(
    stage: Stage,
    record: Record,
    logs: pathlib.Path,
    show: Callable[[str], None],
    runner: Runner,
) -> str | None:
    """Returns why a stage failed; None if it is done."""
    logs.mkdir(parents=True, exist_ok=True)
    started, first, said = time.monotonic(), stage.steps_done(), []
    log = logs / f"{stage.name}.log"
    with log.open("a", encoding="utf-8") as file:

        def take(line: str) -> None:
            file.write(line)
            file.flush()
            if line.strip():
                said.append(line.strip())
                show(said[-1])

        file.write(f"$ {shell(stage.command)}\n")
        status = runner(stage.process(), take)
    if status == 0 and stage.done():
        record.add(stage, time.monotonic() - started, stage.steps - first if stage.steps else 0)
        return None
    if status == 0:
        reason = f"ended well, but left no {stage.output}"
    elif status < 0:
        more = ": out of memory?" if -status == signal.SIGKILL else ""
        reason = f"ended by {signal.Signals(-status).name}{more}"
    else:
        errors = [line.removeprefix(_ERROR) for line in said if line.startswith(_ERROR)]
        reason = [f"exit code {status}", *said[-1:], *errors][-1]
    return f"{reason} ({log})"


def run_process(command: Sequence[str], take: Callable[[str], None]) -> int:
    """Runs a command as a process; ends it where this one is stopped."""
    with subprocess.Popen(
        command,
        start_new_session=True,  # Ctrl-C is for us, who let a training save before it ends
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            for line in process.stdout:
                take(line)
            return process.wait()
        finally:
            process.terminate()  # one that has ended doesn't mind
            for line in process.stdout:  # a training tells that it saves
                take(line)


class _Display:
    """A bar over the stages on a terminal, a line for each elsewhere."""

    def __init__(self, console: rich.console.Console, total: int):
        self._console, self._total, self._number = console, total, 0
        self._bar = rich.progress.Progress(
            rich.progress.MofNCompleteColumn(),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.description}"),
            rich.progress.TextColumn("{task.fields[line]}", style="dim", markup=False),
            rich.progress.TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, line="", left="")

    def __enter__(self) -> "_Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, stage: Stage) -> None:
        self._number += 1
        self._bar.update(self._task, description=stage.name, line="")
        if not self._console.is_terminal and not stage.done():
            self._print(stage.name)

    def line(self, text: str) -> None:
        self._bar.update(self._task, line=text[:60])

    def end(self, stage: Stage, reason: str | None, seconds: float) -> None:
        if reason:
            self._print(f"{stage.name}: {reason}")
        self._bar.update(self._task, advance=1, line="", left=f"{_clock(seconds)} left")

    def _print(self, text: str) -> None:
        text = f"[{self._number}/{self._total}] {text}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _state(stage: Stage) -> str:
    if stage.done():
        return "done"
    if step := stage.steps_done():
        return f"goes on at step {step} of {stage.steps}"
    return f"{stage.steps} steps" if stage.steps else "to do"


def _clock(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
