"""The command as users run it: help, exit codes, and one line for bad input."""

import json
import os
import signal
import subprocess
import sys

import pytest

from commit_t5x import cli, disk

TRAIN = (
    "train",
    "--gin_file=quickstart.gin",
    "--gin.VOCAB_SIZE=3072",
    "--gin.TRAIN_STEPS=3",
    "--gin.WARMUP_STEPS=1",
    "--gin.BATCH_SIZE=2",
    "--gin.SEQUENCE_LENGTH=64",
    "--gin.TRAIN_EVAL_TASK_NAME=None",
    "--gin.VALIDATION_EXAMPLES=0",
)


def run(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, "-m", "commit_t5x.cli", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "JAX_PLATFORMS": "cpu", "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


def main(capsys, *arguments):
    """Runs the command in this process, which spares the seconds that imports take."""
    try:
        code = cli.main(list(map(str, arguments)))
    except SystemExit as exit_:
        code = exit_.code
    return code, *capsys.readouterr()


def test_help_names_every_command(capsys):
    code, out, _ = main(capsys, "--help")
    assert code == 0
    assert all(f"\n  {command} " in out for command in cli.COMMANDS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_has_help_with_an_example(capsys, command):
    code, out, _ = main(capsys, command, "--help")
    assert code == 0
    assert f"usage: commit-t5x {command}" in out
    assert f"commit-t5x {command}" in out.partition("example")[2]


def test_unknown_command_is_refused(capsys):
    code, _, err = main(capsys, "trian")
    assert code == 2
    assert "no command 'trian'" in err


def test_an_assertion_is_one_line_that_says_how_to_see_more(monkeypatch, capsys):
    def fail(argv):
        raise AssertionError("2 == 3\nmore")

    monkeypatch.setattr("commit_t5x.engine.cli.train", fail)
    code, _, err = main(capsys, "train")
    assert code == 1
    assert err.startswith("commit-t5x: 2 == 3 failed: ") and err.count("\n") == 1
    with pytest.raises(AssertionError):
        main(capsys, "--traceback", "train")


def test_sigterm_clears_what_is_written_aside(tmp_path, monkeypatch, capsys):
    def convert(args):
        with disk.finished(tmp_path / "dst"):
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("commit_t5x.conversion.cli.main", convert)
    assert main(capsys, "convert", "--to", "hf", "src", tmp_path / "dst")[0] == 143
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.fixture
def in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_main_job(capsys, in_tmp):
    """Trains, exports, scores the checkpoint and the export, and reports, each by its command.

    Training is a process of its own; test_startup.py starts the others as such.
    """
    trained = run(*TRAIN, "--gin.MODEL_DIR='out'", cwd=in_tmp)
    assert trained.returncode == 0, trained.stderr
    assert "3/3" in trained.stderr
    lines = (in_tmp / "out/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert len([json.loads(line)["loss"] for line in lines]) == 3

    # A checkpoint of other shapes stays as it is, and the run says why it can't go on.
    bigger = ("--gin.VOCAB_SIZE=4096", "--gin.TRAIN_STEPS=4")
    code, _, err = main(capsys, *TRAIN, "--gin.MODEL_DIR='out'", *bigger)
    assert code == 2
    assert "4096" in err or "4,096" in err
    assert (in_tmp / "out/checkpoint_3").is_dir()

    code, _, err = main(capsys, "convert", "--from", "native", "--to", "hf", "out", "export")
    assert code == 0, err
    assert (in_tmp / "export/model.safetensors").is_file()

    for name, source in (("native", "out"), ("export", "export")):
        code, out, err = main(
            capsys,
            *("lm-eval", "--model_args", f"pretrained={source}", "--tasks", "ogx_xquad_hi"),
            *("--data-dir", "samples", "--limit", "3", "--batch_size", "3"),
            *("--gen_kwargs", "max_gen_toks=8", "--output_path", f"results/{name}.json"),
        )
        assert code == 0, err
        assert "ogx_xquad_hi" in out
    scores = [
        json.loads((in_tmp / f"results/{name}.json").read_text(encoding="utf-8"))["sample_scores"]
        for name in ("native", "export")
    ]
    assert scores[0] == scores[1]

    code, out, err = main(capsys, "report", "results")
    assert code == 0, err
    assert "native" in out and "export" in out


def test_module_form_is_the_same_command(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "commit_t5x.train", "--gin_file=nothing.gin"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("commit-t5x: error: --gin_file=nothing.gin")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
def test_a_full_disk_behind_the_output_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "commit_t5x.cli", "--help"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 2
    assert result.stderr == "commit-t5x: error: the output's disk is full; write it elsewhere\n"
