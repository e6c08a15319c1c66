"""T5X's binaries by the project's gin files, each in a process of its own."""

import json

import pages
import pytest
from needs_t5x import parity

from commit_t5x import conversion

pytestmark = [pytest.mark.t5x, pytest.mark.slow]
QUESTIONS = [
    "--gin.LANGUAGE='hi'",
    "--gin.XQUAD_PATH='samples'",
    "--gin.TOKENIZER='samples'",
    "--gin.VOCAB_SIZE=3072",
    "--gin.MAX_NEW_TOKENS=4",
    "--gin_file=models/debug.gin",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Where both engines trained by the paper's file, and their losses."""
    folder = tmp_path_factory.mktemp("runs")
    return folder, parity.measure("paper", 20, folder)


def test_both_engines_train_on_a_users_task(tmp_path, monkeypatch):
    page = pages.ROOT / "docs" / "reuse.md"
    pages.write_modules(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    runs = {"commit-t5x": parity.run_native, "python": parity.run_t5x}
    for program, *arguments in pages.commands(page):
        flags = [word for word in arguments if word.startswith(("--gin.", "--gin_file="))]
        flags = [flag.replace("$PWD", str(tmp_path)) for flag in flags]
        runs[program]([*flags, "--gin.STATS_PERIOD=1"], "train")
    rows = parity.compare(
        parity.native_losses(tmp_path / "native_out"), parity.t5x_losses(tmp_path / "t5x_out")
    )
    assert len(rows) == 4
    assert max(row["difference"] for row in rows) < 1e-5


def test_losses_agree(trained):
    _, rows = trained
    assert len(rows) == 20
    assert max(row["difference"] for row in rows) < 1e-5


def test_factors_train_and_evaluate_alike(trained, tmp_path):
    base = f"'{trained[0] / 'native'}'"
    options = {"LORA_RANK": 4, "BASE_DTYPE": "'int8'", "INITIAL_CHECKPOINT_PATH": base}
    for name, run in {"native": parity.run_native, "t5x": parity.run_t5x}.items():
        run(parity.flags("recommended", 4, tmp_path / name, **options))
    rows = parity.compare(
        parity.native_losses(tmp_path / "native"), parity.t5x_losses(tmp_path / "t5x")
    )
    assert len(rows) == 4
    assert max(row["difference"] for row in rows) < 1e-6
    flags = ["--gin_file=evaluation/xquad.gin", *QUESTIONS, "--gin.EVAL_STEPS=1"]
    flags += ["--gin.NUM_EXAMPLES=2", f"--gin.CHECKPOINT_PATH='{tmp_path / 't5x'}'"]
    parity.run_native([*flags, f"--gin.EVAL_OUTPUT_DIR='{tmp_path / 'a'}'"], "eval")
    merged = json.loads((tmp_path / "a" / "results.json").read_text())["results"]["xquad_hi"]
    for place, beside in {"b": [], "c": ["--gin.LORA_RANK=4"]}.items():
        parity.run_t5x([*flags, *beside, f"--gin.EVAL_OUTPUT_DIR='{tmp_path / place}'"], "eval")
        loss = parity.scalars(tmp_path / place / "training_eval" / "xquad_hi", "loss")
        assert list(loss.values()) == [pytest.approx(merged["loss"], rel=1e-5)]


def test_t5x_checkpoints_convert(trained, tmp_path):
    folder, _ = trained
    conversion.convert(folder / "t5x", tmp_path / "hf", to="hf", source_format="native")
    assert (tmp_path / "hf" / "config.json").is_file()
    assert (tmp_path / "hf" / "tokenizer.model").is_file()


def test_both_engines_evaluate_alike(trained, tmp_path):
    folder, _ = trained
    flags = [
        "--gin_file=evaluation/xquad.gin",
        *QUESTIONS,
        f"--gin.CHECKPOINT_PATH='{folder / 't5x'}'",
        "--gin.EVAL_STEPS=2",
    ]
    parity.run_native([*flags, f"--gin.EVAL_OUTPUT_DIR='{tmp_path / 'native'}'"], "eval")
    parity.run_t5x([*flags, f"--gin.EVAL_OUTPUT_DIR='{tmp_path / 't5x'}'"], "eval")
    results = json.loads((tmp_path / "native" / "results.json").read_text())
    expected = results["results"]["xquad_hi"]
    loss = parity.scalars(tmp_path / "t5x" / "training_eval" / "xquad_hi", "loss")
    assert list(loss.values()) == [pytest.approx(expected["loss"], rel=1e-5)]
    (line,) = (
        (tmp_path / "t5x" / "inference_eval" / "xquad_hi-metrics.jsonl").read_text().split("\n")[:1]
    )
    scores = json.loads(line)
    for name in ("f1", "exact_match", "target_script", "context_span"):
        assert scores[name] == pytest.approx(expected[name])


def test_both_engines_answer_alike(trained, tmp_path):
    folder, _ = trained
    flags = [
        "--gin_file=evaluation/infer_task.gin",
        *QUESTIONS,
        f"--gin.CHECKPOINT_PATH='{folder / 'native'}'",
        "--gin.MIXTURE_OR_TASK_NAME='xquad_hi'",
    ]
    parity.run_native([*flags, f"--gin.INFER_OUTPUT_DIR='{tmp_path / 'native'}'"], "infer")
    parity.run_t5x([*flags, f"--gin.INFER_OUTPUT_DIR='{tmp_path / 't5x'}'"], "infer")
    native = (tmp_path / "native" / "xquad_hi.jsonl").read_text().splitlines()
    (file,) = (tmp_path / "t5x").glob("xquad_hi-predict.jsonl-*-of-00001")
    assert [json.loads(line) for line in file.read_text().splitlines()] == [
        json.loads(line) for line in native
    ]
