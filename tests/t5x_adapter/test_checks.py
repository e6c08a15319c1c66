"""T5X's runs are checked as the native engine's are, before T5X builds anything."""

import os
import sys

import gin
import needs_t5x  # noqa: F401
import pytest
from macros import REQUIRED, bindings
from t5x import eval, infer, train

from commit_t5x import resources
from commit_t5x.errors import InputError

pytestmark = pytest.mark.t5x
ROOT = resources.path("gin")
QUESTIONS = ["CHECKPOINT_PATH='out'", "TOKENIZER='samples'"]
RUNS = {
    "train": ("recipes/commit.gin", bindings(**REQUIRED)),
    "evaluate": (
        "evaluation/xquad.gin",
        [*QUESTIONS, "EVAL_OUTPUT_DIR='out'", "LANGUAGE='hi'"],
    ),
    "infer": (
        "evaluation/infer_task.gin",
        [*QUESTIONS, "INFER_OUTPUT_DIR='out'", "MIXTURE_OR_TASK_NAME='xquad_hi'"],
    ),
}


@pytest.fixture
def parse(monkeypatch):
    """Parses a run's files as T5X does."""
    functions = {"train": train.train, "evaluate": eval.evaluate, "infer": infer.infer}
    for name, function in functions.items():
        # The run file names T5X's binary, which is the main module when it runs.
        monkeypatch.setattr(sys.modules["__main__"], name, function, raising=False)
    # gin's other reader looks into installed packages.
    monkeypatch.setattr(gin.config, "_FILE_READERS", [(open, os.path.isfile)])

    def parse(run, *bindings):
        file, required = RUNS[run]
        gin.clear_config()
        gin.config._LOCATION_PREFIXES[:] = ["", str(ROOT / "engines" / "t5x"), str(ROOT)]
        gin.parse_config_files_and_bindings([file, "models/debug.gin"], [*required, *bindings])

    yield parse
    gin.clear_config()


@pytest.mark.parametrize("run", RUNS)
def test_the_files_pass(parse, run, capsys):
    parse(run)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "run, binding, message",
    [
        ("train", "TRAIN_STEPS='12'", "TRAIN_STEPS: '12' doesn't fit; it takes a whole number"),
        ("train", "BATCH_SIZE=2.0", "BATCH_SIZE: 2.0 doesn't fit"),
        ("train", "STATS_PERIOD=0", "STATS_PERIOD: 0 doesn't fit"),
        ("train", "CHECKPOINTS_TO_KEEP=0", "CHECKPOINTS_TO_KEEP: 0 doesn't fit"),
        ("train", "NUM_MICROBATCHES=0", "NUM_MICROBATCHES: 0 doesn't fit"),
        ("train", "CODEMIX_RATIO='0.9'", "e.g. --gin.CODEMIX_RATIO=0.9"),
        ("train", "SHUFFLE='False'", "e.g. --gin.SHUFFLE=False"),
        ("train", "TRAIN_STEP=5", "--gin.TRAIN_STEP: nothing uses this macro; did you mean TRAIN_"),
        ("train", "trian/DatasetConfig.seed=1", "did you mean train?"),
        ("train", "MODEL_DIR=%gin.REQUIRED", "MODEL_DIR: required, but not set"),
        ("evaluate", "NUM_EXAMPLES=0", "NUM_EXAMPLES: 0 doesn't fit"),
        ("evaluate", "EVAL_OUTPUT_DIR=None", "EVAL_OUTPUT_DIR: None doesn't fit"),
        ("infer", "TEMPERATURE=-1", "TEMPERATURE: -1 doesn't fit"),
        ("infer", "STOP='x'", "e.g. --gin.STOP=\"('x',)\""),
    ],
)
def test_a_wrong_run_is_refused(parse, run, binding, message):
    with pytest.raises(InputError) as found:
        parse(run, binding)
    assert message in str(found.value)


@pytest.mark.parametrize(
    "run, binding",
    [
        ("train", "INFER_EVAL_EXAMPLES=5"),
        ("train", "INFER_EVAL_PERIOD=5"),
        ("train", "PROFILE_STEPS=(1, 2)"),
        ("evaluate", "STOP=['x']"),
        ("evaluate", "TRAIN_STEPS=5"),
        ("infer", "NUM_EXAMPLES=5"),
        ("infer", "INSTRUCTIONS=True"),
    ],
)
def test_what_t5x_does_not_look_at_is_warned_of(parse, capsys, run, binding):
    parse(run, binding)
    [line] = capsys.readouterr().err.splitlines()
    name = binding.partition("=")[0]
    assert line.startswith(f"commit-t5x: warning: --gin.{name}: nothing in this run uses it")
