"""The command: what it refuses and prints, and a whole table, interrupted and resumed."""

import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pytest

from commit_t5x.engine import checkpoints, lock
from commit_t5x.errors import InputError
from commit_t5x.tables import cli, stages


@pytest.fixture
def table(tiny_model, tmp_path, monkeypatch):
    """Returns the arguments of a table of the tiny model in the folder `out`."""
    monkeypatch.chdir(tmp_path)
    pathlib.Path("base").symlink_to(tiny_model.native, target_is_directory=True)
    macros = {
        **dict.fromkeys(("DICT_DIR", "ALPACA_PATH", "XQUAD_PATH", "WIKIPEDIA_PATH"), "samples"),
        **dict.fromkeys(("TOKENIZER", "INITIAL_CHECKPOINT_PATH"), str(tiny_model.native)),
        **{"TRAIN_STEPS": 300, "WARMUP_STEPS": 1, "BATCH_SIZE": 2, "SEQUENCE_LENGTH": 64},
        "NUM_PARTITIONS": 1,
    }

    def table(*more, name="main_results"):
        return [
            *(name, "--out", "out", "--gin_file=models/from_checkpoint.gin"),
            *(f"--gin.{macro}={value!r}" for macro, value in macros.items()),
            *("--gen_kwargs", "max_gen_toks=4", "--limit", "2", *more),
        ]

    return table


# For what models/debug.gin, which starts from random weights, takes back.
BASE = "--gin.INITIAL_CHECKPOINT_PATH='base'"


@pytest.mark.parametrize(
    "more, message",
    [
        ([], "LANGUAGE: required, but not set"),
        (["--language=xx"], "xx"),
        (["--language=hi", "--gin.DICT_DIR='gone'"], "gone/en-hi.txt: no dictionary"),
        (["--language=hi", "--gin.XQUAD_PATH='gone'"], "gone/xquad.en.json: no such file"),
        (["--language=hi", "--tasks=ogx_quad_hi"], "--tasks: 'ogx_quad_hi' is unknown"),
        (["--language=hi", "--tasks=ogx_xquad_*hi"], "--tasks: .*hi stands for ogx_.*; name each"),
        (["--language=hi", "--rows=comit"], "--rows: no row 'comit'; did you mean commit"),
        (
            ["--language=hi", "--gin_file=models/debug.gin", BASE],
            "in the checkpoint and .*network",
        ),
        (
            ["--language=hi", "--model_args=pretrained=out"],
            "--model_args: pretrained is each row's",
        ),
        (["--language=hi", "--gin.MODEL_DIR='out'"], "--gin.MODEL_DIR: rows have their own"),
    ],
)
def test_bad_input_is_refused_before_any_stage(more, message, table):
    with pytest.raises(InputError, match=message):
        cli.main(table(*more, *([] if "--rows" in " ".join(more) else ["--rows=commit"])))
    assert not pathlib.Path("out").exists()


def test_one_run_at_a_time_in_a_folder(table):
    with lock.held(pathlib.Path("out")):
        with pytest.raises(InputError, match="out: process .* makes a table here; wait for it"):
            cli.main(table("--language=hi"))


def test_dry_run_prints_commands_and_does_nothing(table, capsys):
    cli.main(table("--language=hi", "--rows=align_commit", "--seeds=3", "--export", "--dry_run"))
    assert not pathlib.Path("out").exists()
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines] == ["train", "train", "lm-eval", "convert", "table"]
    assert lines[0][2:4] == [
        "--gin_file=main_results/align.gin",
        "--gin_file=models/from_checkpoint.gin",
    ]
    assert lines[-1][2:] == table("--language=hi", "--rows=align_commit", "--seeds=3", "--export")
    assert "--data_dir=samples" in lines[2]


def test_a_group_that_has_a_score_of_its_own_is_a_task(table, capsys):
    pathlib.Path("tasks").mkdir()
    group = "group: mine\ntask: [ogx_xquad_enhi]\n"
    pathlib.Path("tasks", "mine.yaml").write_text(group)
    arguments = table(
        *("--language=hi", "--rows=commit", "--tasks=mine", "--include_path=tasks", "--dry_run")
    )
    with pytest.raises(InputError, match="--tasks: mine stands for ogx_xquad_enhi; name each"):
        cli.main(arguments)
    pathlib.Path("tasks", "mine.yaml").write_text(group + "aggregate_metric_list: [{metric: f1}]\n")
    cli.main(arguments)
    assert "--tasks mine" in capsys.readouterr().out


def test_several_languages_have_folders_of_their_own(table, capsys):
    cli.main(table("--language=hi,el", "--rows=commit", "--dry_run"))
    lines = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines] == ["train", "lm-eval", "train", "lm-eval", "table"]
    for line, language in zip(lines, ("hi", "hi", "el", "el"), strict=False):
        assert f"out/{language}/" in " ".join(line)
    assert "--gin.LANGUAGE='el'" in lines[2] and "--language=hi,el" in lines[4]


def test_a_language_that_fails_is_named_and_costs_no_other(table, capsys):
    with pytest.raises(InputError, match="^xx: .*xx"):
        cli.main(table("--language=xx,hi", "--rows=commit", "--dry_run"))
    assert "out/hi/" in capsys.readouterr().out


def test_dry_run_for_t5x(table, capsys):
    cli.main(table("--language=hi", "--rows=commit", "--engine=t5x", "--dry_run"))
    train, score, _ = [shlex.split(line) for line in capsys.readouterr().out.splitlines()]
    assert train[:3] == ["python", "-m", "t5x.train"]
    paths = train[3].removeprefix("--gin_search_paths=").split(",")
    assert [path.rpartition("/")[2] for path in paths] == ["t5x", "gin"]
    assert f"--gin.MODEL_DIR='{pathlib.Path('out').absolute()}/models/commit/seed_42'" in train
    assert score[:2] == ["commit-t5x", "lm-eval"]


def test_what_a_dry_run_prints_may_be_for_other_devices(table, capsys):
    arguments = table("--language=hi", "--rows=commit", "--gin.NUM_PARTITIONS=64")
    cli.main([*arguments, "--dry_run"])
    assert "--gin.NUM_PARTITIONS=64" in capsys.readouterr().out
    with pytest.raises(InputError, match="NUM_PARTITIONS: 64 does not divide"):
        cli.main(arguments)


def test_a_finished_table_is_printed_and_says_what_is_gone(table, capsys):
    pathlib.Path("out/models/commit/seed_42/checkpoint_300").mkdir(parents=True)
    score = pathlib.Path("out/results/commit/seed_42.json")
    score.parent.mkdir(parents=True)
    config = {"gen_kwargs": "max_gen_toks=4", "limit": 2, "data_dir": "samples"}
    config["model_args"] = "pretrained=checkpoint_300"
    content = {"config": config, "results": {"ogx_xquad_enhi": {"f1,none": 12.5}}}
    score.write_text(json.dumps(content))
    arguments = table("--language=hi", "--rows=commit", "--tasks=ogx_xquad_enhi")
    cli.main([*arguments, "--gin.DICT_DIR='gone'"])
    shown = capsys.readouterr()
    assert "| commit |            12.5 |" in shown.out
    assert "note: could not be made anew: main_results/commit.gin: gone/en-hi.txt: no" in shown.err


def test_seeds_of_a_row_read_the_same_data(row, settings):
    found = stages.build({"commit": row("commit")}, ["commit"], [0, 1], settings)
    for stage, entry in ((found[0], "81c3"), (found[2], "81c3")):
        record = {"from step 0": {"dictionary en-hi": [entry], "DatasetConfig.seed": stage.seed}}
        stage.made.mkdir(parents=True)
        (stage.made / "data.json").write_text(json.dumps(record))
    cli._check_seeds(found)
    record["from step 0"]["dictionary en-hi"] = ["92d4"]
    (found[2].made / "data.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="seed_1: was trained on .*seed_0, says dictionary en-hi"):
        cli._check_seeds(found)


def stopped_in(stage, arguments):
    """Runs the command until a stage prints its steps, and stops it by SIGTERM."""
    command = [sys.executable, "-m", "commit_t5x.cli", "table", *arguments]
    log = pathlib.Path("out", "logs", f"{stage}.log")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while process.poll() is None and not (log.is_file() and "step 10/" in log.read_text()):
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=300)[0].decode()
    assert process.returncode == 128 + signal.SIGTERM, said


@pytest.mark.slow
def test_a_table_interrupted_and_gone_on_with_by_hand(table, capsys):
    arguments = table("--language=hi", "--rows=alpaca,commit", "--tasks=ogx_xquad_enhi")
    stopped_in("train-commit-42", arguments)
    assert checkpoints.all_steps("out/models/alpaca/seed_42") == [300]
    [step] = checkpoints.all_steps("out/models/commit/seed_42")
    assert 10 <= step < 300
    cli.main([*arguments, "--dry_run"])
    said = capsys.readouterr()
    assert f"goes on at step {step} of 300" in said.err
    commands = said.out.splitlines()
    assert [shlex.split(line)[1] for line in commands] == ["train", "lm-eval", "table"]
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    options = {"shell": True, "check": True, "text": True, "env": {**os.environ, "PATH": path}}
    printed = [
        subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options).stdout
        for line in commands
    ]
    assert f"starts from checkpoint_{step} of this run" in printed[0]
    cells = [line.split("|")[1].strip(" *") for line in printed[-1].splitlines() if "|" in line]
    names = [name for name in cells if ":" not in name]
    assert names == ["run", "alpaca", "commit", "run", "commit", "commit"]
    for name in ("report.md", "report.csv", "report.tex", "comparisons.md"):
        assert pathlib.Path("out", "report", name).read_text()
    with pytest.raises(InputError, match="out/table.json: was made with limit 2, not 3"):
        cli.main([*arguments, "--limit=3"])
