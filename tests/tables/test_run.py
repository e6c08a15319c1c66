import io
import json
import sys
import threading

import pytest
import rich.console

from commit_t5x.errors import InputError
from commit_t5x.tables import record, run, stages


class Commands:
    """Stands for the processes: leaves each stage's output, unless told to fail."""

    def __init__(self, found, failing=()):
        self.found = {tuple(stage.process()): stage for stage in found}
        self.failing = set(failing)
        self.ran = []

    def __call__(self, command, take):
        stage = self.found[tuple(command)]
        self.ran.append(stage.name)
        take(f"working on {stage.name}\n")
        if stage.name in self.failing:
            take("commit-t5x: error: the disk is full; make room\n")
            return 2
        if stage.kind == "score":
            content = {"results": dict.fromkeys(stage.tasks, {}), "config": {}}
            content["config"]["model_args"] = stage.model_args
            stage.output.parent.mkdir(parents=True, exist_ok=True)
            stage.output.write_text(json.dumps(content))
        else:
            stage.output.mkdir(parents=True)
        return 0


@pytest.fixture
def found(table, settings):
    return stages.build(table, ["alpaca", "commit", "align_commit"], [0], settings)


@pytest.fixture
def run_all(tmp_path, found):
    """Runs all stages; returns what failed, the names of those that ran, and what was shown."""

    def run_all(terminal=False, **options):
        shown = io.StringIO()
        console = rich.console.Console(file=shown, force_terminal=terminal, width=200)
        commands = Commands(found, **options)
        kept = record.Record(tmp_path / "out", {})
        failed = run.run(found, kept, tmp_path / "out" / "logs", console, runner=commands)
        return failed, commands.ran, shown.getvalue()

    return run_all


def test_logs_that_cannot_be_written_are_told_in_a_line(run_all, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "logs").touch()
    with pytest.raises(InputError, match=r"logs: can't be written \(File exists\); mend it"):
        run_all()


def test_what_is_done_is_skipped(run_all, found, tmp_path):
    failed, ran, _ = run_all()
    assert not failed and ran == [stage.name for stage in found]
    assert (tmp_path / "out" / "logs" / "train-align-0.log").read_text().splitlines() == [
        f"$ {stages.shell(found[4].command)}",
        "working on train-align-0",
    ]
    assert run_all() == ({}, [], "")
    found[0].output.rmdir()
    assert run_all()[1] == [found[0].name]


def test_a_failed_row_costs_no_other(run_all):
    failed, ran, shown = run_all(failing=["train-align-0", "score-commit-0"])
    assert ran == [
        *("train-alpaca-0", "score-alpaca-0", "train-commit-0", "score-commit-0", "train-align-0")
    ]
    assert list(failed) == [
        *("score-commit-0", "train-align-0", "train-align_commit-0", "score-align_commit-0")
    ]
    assert failed["train-align-0"].startswith("the disk is full; make room (")
    assert failed["score-align_commit-0"] == "needs train-align_commit-0"
    assert "[5/7] train-align-0: the disk is full; make room" in shown
    failed, ran, _ = run_all()  # goes on where it failed
    assert not failed
    assert ran == [
        *("score-commit-0", "train-align-0", "train-align_commit-0", "score-align_commit-0")
    ]


def test_what_is_done_needs_nothing(run_all, found):
    run_all()
    found[4].output.rmdir()  # align's checkpoint, from which align_commit has started
    failed, ran, _ = run_all(failing=["train-align-0"])
    assert list(failed) == ran == ["train-align-0"]


def test_a_command_that_leaves_nothing_has_failed(tmp_path, found):
    kept = record.Record(tmp_path / "out", {})
    console = rich.console.Console(file=io.StringIO())
    failed = run.run(found[:1], kept, tmp_path / "logs", console, runner=lambda *_: 0)
    assert "ended well, but left no" in failed[found[0].name]
    failed = run.run(found[:1], kept, tmp_path / "logs", console, runner=lambda *_: -9)
    assert "ended by SIGKILL: out of memory?" in failed[found[0].name]


def test_a_bar_on_a_terminal(run_all):
    _, _, shown = run_all(terminal=True, failing=["train-alpaca-0"])
    assert "train-alpaca-0: the disk is full; make room" in shown
    assert "7/7" in shown


def test_the_plan(tmp_path, found):
    shown = io.StringIO()
    console = rich.console.Console(file=shown, width=100)
    (found[0].output.parent / "checkpoint_1").mkdir(parents=True)
    found[2].output.mkdir(parents=True)
    run.show_plan(found, record.Record(tmp_path / "new", {}), console)
    lines = [" ".join(line.split("│")).split() for line in shown.getvalue().splitlines()]
    assert ["train-alpaca-0", "goes", "on", "at", "step", "1", "of", "4", "?"] in lines
    assert ["train-commit-0", "done", "0:00:00"] in lines
    assert ["score-commit-0", "to", "do", "?"] in lines
    assert "1 of 7 stages are done; left: 6 of kinds that have not run yet" in shown.getvalue()


def test_several_at_a_time_and_none_before_what_it_needs(tmp_path, found):
    commands, together = Commands(found), threading.Barrier(2, timeout=30)

    def runner(command, take):
        stage = commands.found[tuple(command)]
        assert all(one.done() for one in found if one.name in stage.needs)
        if stage.name in ("train-alpaca-0", "train-commit-0"):
            together.wait()
        return commands(command, take)

    kept = record.Record(tmp_path / "out", {})
    console = rich.console.Console(file=io.StringIO())
    assert not run.run(found, kept, tmp_path / "out" / "logs", console, 2, runner)
    assert sorted(commands.ran) == sorted(stage.name for stage in found)
    assert [name for name in commands.ran if name.startswith("train")][-1] == "train-align_commit-0"
    assert commands.ran[-1].startswith("score")  # what others wait for was begun first


def test_stopped_with_several_at_work_all_are_given_time_to_end(
    tmp_path, found, saving, monkeypatch
):
    ready = tmp_path / "ready"

    def process(stage):
        if stage.name == "train-alpaca-0":
            return [sys.executable, "-c", f"import os\nwhile not os.path.exists({str(ready)!r}): 0"]
        return [sys.executable, "-c", saving]

    def stop(stages):
        raise KeyboardInterrupt

    monkeypatch.setattr(stages.Stage, "process", process)
    kept = record.Record(tmp_path / "out", {})
    monkeypatch.setattr(kept, "total", stop)  # asked where alpaca has ended
    console = rich.console.Console(file=io.StringIO())
    with pytest.raises(KeyboardInterrupt):
        run.run(found, kept, tmp_path / "logs", console, jobs=2)
    assert (tmp_path / "saved").exists()
    assert (tmp_path / "logs" / "train-align-0.log").read_text().endswith("ready\nsaved\n")
