"""What each command loads, in a fresh interpreter: no TensorFlow where it isn't needed."""

import json
import os
import subprocess
import sys

import pytest

from commit_t5x import cli, resources
from commit_t5x.engine import checkpoints

FORBIDDEN = {"tensorflow", "keras", "torch", "sklearn", "pandas", "matplotlib"}
# Several commands, one after another, so that one interpreter serves; the last line names what of
# FORBIDDEN was loaded, and JAX.
SCRIPT = f"""
import json, sys
from commit_t5x import cli

def run(arguments):
    try:
        return cli.main(arguments)
    except SystemExit as exit_:
        return exit_.code

codes = [run(arguments) for arguments in json.loads(sys.argv[1])]
print(json.dumps([codes, sorted({FORBIDDEN | {"jax"}} & set(sys.modules))]))
"""


def start(*commands, cwd=None, prompt="", allowed=frozenset({"jax"})):
    """Runs commands, which load nothing forbidden but `allowed`; returns what they print."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps([list(map(str, c)) for c in commands])],
        input=prompt,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    *printed, last = run.stdout.splitlines()
    codes, loaded = json.loads(last)
    assert codes == [0] * len(commands), run.stderr
    assert set(loaded) <= allowed
    return "\n".join(printed)


def test_help():
    printed = start(["--help"], *([command, "--help"] for command in cli.COMMANDS), allowed=set())
    assert printed.count("usage: ") == 1 + len(cli.COMMANDS)


def test_dicts():
    printed = start(["dicts", "check", resources.path("dicts") / "en-hi.txt"], allowed=set())
    assert "entries" in printed


def test_report(tmp_path):
    content = {"results": {"ogx_xquad_hi": {"f1,none": 50.0}}, "sample_scores": {}}
    (tmp_path / "results.json").write_text(json.dumps(content))
    assert "50.0" in start(["report", tmp_path], allowed=set())


def test_plan():
    files = ["--gin_file=recipes/commit.gin", "--gin_file=models/debug.gin"]
    assert "Fits: " in start(["plan", *files, "--topology=t4", "--gin.TRAIN_STEPS=2000"])


def test_convert(tmp_path, debug_model):
    there, back = tmp_path / "export", tmp_path / "native"
    start(["convert", "--to", "hf", debug_model, there], ["convert", "--to", "native", there, back])
    assert checkpoints.all_steps(back)


def test_infer_on_a_prompt(debug_model):
    flags = ["--gin_file=evaluation/infer.gin", "--gin_file=models/debug.gin"]
    macros = {
        "VOCAB_SIZE": 3072,
        "TOKENIZER": "samples",
        "CHECKPOINT_PATH": str(debug_model),
        "INPUT_PATH": "-",
        "INSTRUCTIONS": True,
        "MAX_NEW_TOKENS": 2,
        "BATCH_SIZE": 1,
    }
    flags += [f"--gin.{name}={value!r}" for name, value in macros.items()]
    [line] = start(["infer", *flags], prompt="What is tea?\n").splitlines()
    assert json.loads(line)["prompt"] == "What is tea?"


LM_EVAL = (
    *("lm-eval", "--tasks", "ogx_xquad_hi", "--data-dir", "samples", "--limit", 1),
    *("--gen_kwargs", "max_gen_toks=2"),
)


def test_lm_eval(debug_model):
    # lm-eval imports datasets, which imports pandas.
    printed = start(
        [*LM_EVAL, "--model_args", f"pretrained={debug_model}"], allowed={"jax", "pandas"}
    )
    assert "ogx_xquad_hi" in printed


@pytest.mark.slow
def test_lm_eval_through_transformers(tmp_path, debug_model):
    """With the index's torch, which brings triton, TensorFlow beside it would crash the process."""
    pytest.importorskip("torch")
    start(["convert", "--to", "hf", debug_model, tmp_path / "export"])
    arguments = f"pretrained={tmp_path / 'export'},add_bos_token=False,dtype=float32"
    printed = start(
        [*LM_EVAL, "--model", "hf", "--model_args", arguments],
        allowed={"jax", *FORBIDDEN} - {"tensorflow", "keras"},
    )
    assert "ogx_xquad_hi" in printed
