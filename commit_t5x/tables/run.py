"""Shows a table's plan, and runs what is left of it, one stage or several at a time."""

import concurrent.futures
import datetime
import functools
import pathlib
import signal
import time
from collections.abc import Callable, Sequence

import rich.console
import rich.progress
import rich.table

from commit_t5x import disk
from commit_t5x.tables.processes import Processes
from commit_t5x.tables.record import Record
from commit_t5x.tables.stages import Stage, shell

_ERROR = "commit-t5x: error: "  # begins the line that says what is wrong

# Runs a command, hands over each line that it prints, and returns its exit status.
Runner = Callable[[Sequence[str], Callable[[str], None]], int]


def show_plan(
    stages: Sequence[Stage], record: Record, console: rich.console.Console, jobs: int = 1
) -> None:
    """Prints what is done, what is left, and how long that should take, so many at a time."""
    table = rich.table.Table("stage", "state", rich.table.Column("left", justify="right"))
    for stage in stages:
        left = record.left(stage)
        table.add_row(stage.name, _state(stage), "?" if left is None else _clock(left))
    console.print(table)
    seconds, unknown = record.total(stages)
    done = sum(stage.done() for stage in stages)
    left = [_clock(seconds / jobs)] if seconds or not unknown else []
    left += [f"{unknown} of kinds that have not run yet"] if unknown else []
    console.print(f"{done} of {len(stages)} stages are done; left: {', and '.join(left)}")


def run(
    stages: Sequence[Stage],
    record: Record,
    logs: pathlib.Path,
    console: rich.console.Console,
    jobs: int = 1,
    runner: Runner | None = None,
) -> dict[str, str]:
    """Runs the stages that aren't done, in their order.

    Args:
      stages: each behind those that it needs; several at a time begin with the longest chains.
      record: takes their times.
      logs: a folder; gets what each stage prints, in a file of its name.
      console: where progress is shown, a bar if it is a terminal.
      jobs: how many run at a time, of those that wait for none.
      runner: runs the commands; by default each is a process.

    Returns:
      {name of a stage that wasn't done in the end: why}. What needs it is among them, and hasn't
      been tried.

    Raises:
      InputError: what the commands print can't be written to `logs`; those that ran were ended.
    """
    failed: dict[str, str] = {}
    waiting = [*stages] if jobs == 1 else _longest_first(stages)
    running: dict[concurrent.futures.Future[_Outcome], Stage] = {}
    started = Processes(jobs)
    with _Display(console, stages) as display, concurrent.futures.ThreadPoolExecutor(jobs) as pool:

        def end(stage: Stage, reason: str | None) -> None:
            if reason is not None:
                failed[stage.name] = reason
            display.end(stage, reason, record.total(stages)[0] / jobs)

        def begin(stage: Stage) -> None:
            reason = next((f"needs {name}" for name in stage.needs if name in failed), None)
            if stage.done() or reason is not None:
                end(stage, None if stage.done() else reason)
                return
            record.begin(stage)
            display.begin(stage)
            show = functools.partial(display.line, stage)
            work = pool.submit(_run_one, stage, logs, show, runner or started.run)
            running[work] = stage

        try:
            while waiting or running:
                for stage in [*waiting]:
                    unfinished = {one.name for one in (*waiting, *running.values())}
                    if len(running) < jobs and not unfinished.intersection(stage.needs):
                        waiting.remove(stage)
                        begin(stage)
                for work in concurrent.futures.wait(running, return_when="FIRST_COMPLETED").done:
                    stage = running.pop(work)
                    with disk.writing(logs, "mend it and run the same command again"):
                        failure, seconds, steps = work.result()
                    if failure is None:
                        record.add(stage, seconds, steps)
                    end(stage, failure)
        finally:
            started.stop()
    return failed


def _longest_first(stages: Sequence[Stage]) -> list[Stage]:
    """Returns the stages by how many come behind each, so that none of a chain is left alone."""
    length: dict[str, int] = {}
    for stage in reversed(stages):
        own = length.setdefault(stage.name, 1)
        for name in stage.needs:
            length[name] = max(length.get(name, 1), own + 1)
    return sorted(stages, key=lambda stage: -length[stage.name])


_Outcome = tuple[str | None, float, int]


def _run_one(
    stage: Stage, logs: pathlib.Path, show: Callable[[str], None], runner: Runner
) -> _Outcome:
    """Returns why a stage failed or None, its seconds, and its steps."""
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
    failure = _failure(stage, status, said)
    seconds, steps = time.monotonic() - started, stage.steps - first if stage.steps else 0
    return failure and f"{failure} ({log})", seconds, steps


def _failure(stage: Stage, status: int, said: Sequence[str]) -> str | None:
    """Returns why a stage failed; None if it is done."""
    if status == 0:
        return None if stage.done() else f"ended well, but left no {stage.output}"
    if status < 0:
        more = ": out of memory?" if -status == signal.SIGKILL else ""
        return f"ended by {signal.Signals(-status).name}{more}"
    errors = [line.removeprefix(_ERROR) for line in said if line.startswith(_ERROR)]
    return [f"exit code {status}", *said[-1:], *errors][-1]


class _Display:
    """A bar over the stages on a terminal, a line for each elsewhere."""

    def __init__(self, console: rich.console.Console, stages: Sequence[Stage]):
        self._console = console
        self._names = [stage.name for stage in stages]
        self._running: list[str] = []
        self._bar = rich.progress.Progress(
            rich.progress.MofNCompleteColumn(),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.description}"),
            rich.progress.TextColumn("{task.fields[line]}", style="dim", markup=False),
            rich.progress.TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=len(stages), line="", left="")

    def __enter__(self) -> "_Display":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, stage: Stage) -> None:
        self._running.append(stage.name)
        self._bar.update(self._task, description=", ".join(self._running), line="")
        if not self._console.is_terminal:
            self._print(stage)

    def line(self, stage: Stage, text: str) -> None:
        """Shows the last line of what runs; of several, the last of any, and whose it is."""
        whose = f"{stage.name}: " if len(self._running) > 1 else ""
        self._bar.update(self._task, line=f"{whose}{text[:60]}")

    def end(self, stage: Stage, reason: str | None, seconds: float) -> None:
        self._running = [name for name in self._running if name != stage.name]
        if reason:
            self._print(stage, f": {reason}")
        self._bar.update(
            self._task,
            advance=1,
            description=", ".join(self._running),
            line="",
            left=f"{_clock(seconds)} left",
        )

    def _print(self, stage: Stage, more: str = "") -> None:
        text = f"[{self._names.index(stage.name) + 1}/{len(self._names)}] {stage.name}{more}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _state(stage: Stage) -> str:
    if stage.done():
        return "done"
    if step := stage.steps_done():
        return f"goes on at step {step} of {stage.steps}"
    return f"{stage.steps} steps" if stage.steps else "to do"


def _clock(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
