"""Each macro of a recipe and each flag of each command, given what it can't take or only just can.

Whatever the value, a command ends with exit code 0 or 2, without a traceback and without leaving
anything behind. A run whose values pass finds that it is finished; or, where they change the data,
meets weights that aren't there when it has its first rows.
"""

import re
import shutil

import gin
import macros
import pytest

from commit_t5x import cli
from commit_t5x.engine import gin_check, gin_utils

pytestmark = pytest.mark.slow

VALUES = [
    *("None", "True", "'True'", "0", "-1", "1", "3", "2.5", "1e999", str(10**30), "'0.5'", "''"),
    *("'x'", "'a b'", "['x']", "()", "((0, 0.5),)", "{}", "{'x': 1}", "@optim.adamw", "%NOTHING"),
]
FILES = ["recipes/commit.gin", "models/debug.gin"]
REQUIRED = macros.REQUIRED | {
    "MODEL_DIR": "'finished'",
    "INITIAL_CHECKPOINT_PATH": "'nowhere'",
    "BATCH_SIZE": "2",
    "SEQUENCE_LENGTH": "64",
}


def macros_of_a_run():
    gin_utils.load(FILES, macros.bindings(**REQUIRED))
    names = sorted(gin_check.defined(gin.config._CONFIG))
    gin.clear_config()
    return names


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs a command in an empty folder; returns what is wrong with how it ended, if anything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(*arguments):
        before = set(tmp_path.rglob("*"))
        capfd.readouterr()
        try:
            code = cli.main([*map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
        except Exception as error:
            return f"{type(error).__name__}: {error}".partition("\n")[0]
        errors = re.findall(r"^commit-t5x.*error: .*$", capfd.readouterr().err, re.M)
        if code not in (0, 2):
            return f"exit code {code}"
        if code == 2 and len(errors) != 1:
            return f"lines: {errors}"
        left = [path for path in set(tmp_path.rglob("*")) - before if path.name != ".lock"]
        if code == 2 and left:
            return f"left behind: {left}"
        return None

    yield run
    gin.clear_config()


def train(run, **changes):
    files = [f"--gin_file={file}" for file in FILES]
    return run("train", *files, *macros.flags(**{**REQUIRED, **changes}))


@pytest.mark.parametrize("value", VALUES)
def test_every_macro(run, tmp_path, tiny_model, value):
    shutil.copytree(tiny_model.native / "checkpoint_0", tmp_path / "finished/checkpoint_999999999")
    endings = {name: train(run, **{name: value}) for name in macros_of_a_run()}
    assert not {name: ending for name, ending in endings.items() if ending}


EDGES = {
    "CODEMIX_LANGUAGES": "{}",
    "CODEMIX_SCHEDULE": "()",
    "DICT_DIR": "None",
    "LANGUAGE": "'x'",
    "ALPACA_PATH": "'x'",
    "TOKENIZER": "'x'",
    "SEQUENCE_LENGTH": "1",
    "RANDOM_SEED": str(2**32 - 1),
    "MIXTURE_OR_TASK_NAME": "None",
    "OPTIMIZER": "None",
}


@pytest.mark.parametrize("name", EDGES)
def test_what_changes_the_data(run, name):
    assert train(run, **{"MODEL_DIR": "'new'", name: EDGES[name]}) is None


# Each with something that isn't there, which it meets once its flags have passed.
COMMANDS = {
    ("inspect", "alpaca_codemix_hi", "--gin.ALPACA_PATH='nowhere.jsonl'"): [
        *("--num_examples", "--start", "--split", "--seed", "--epoch", "--sequence_length"),
        *("--report_examples", "--width", "--html", "--json", "--gin_file", "--gin_search_paths"),
    ],
    ("lm-eval", "--model_args=pretrained=nowhere", "--tasks=ogx_xquad_hi", "--data-dir=samples"): [
        *("--limit", "--num_fewshot", "--batch_size", "--gen_kwargs", "--seed"),
        *("--model_args", "--model", "--data-dir", "--labels", "--include_path", "--device"),
    ],
    ("convert", "--to=hf", "nowhere", "export"): [
        *("--from", "--to", "--config", "--tokenizer", "--dtype", "--max-shard-size"),
    ],
    ("report", "nowhere"): ["--format", "--output_dir", "--metrics", "--questions"],
    ("table", "nowhere", "--out=out"): [
        *("--seeds", "--rows", "--tasks", "--engine", "--out", "--language", "--limit"),
    ],
    ("dicts", "check", "nowhere.txt"): ["--json"],
    (*"dicts import cldr days --source-language=en --target-language=hi nowhere/x.tsv".split(),): [
        *("--source-language", "--target-language", "--max-words", "--licence"),
    ],
    ("dicts", "merge", "--prefer=all", "nowhere.txt", "x.tsv"): ["--prefer"],
    ("dicts", "fetch", "hi", "--url=file:///nowhere"): ["--to", "--direction"],
    ("plan", "--gin_file=recipes/commit.gin", "--shapes", "--topology=v0-1"): [
        *("--topology", "--sweep"),
    ],
}
TEXTS = ["", "0", "-3", "1", "2.5", "x", "None", "1e999", "10" * 15, "a=b", "/proc/nowhere/x"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_every_flag(run, command):
    wrong = {}
    for flag in COMMANDS[command]:
        for text in TEXTS:
            given = [word for word in command if not word.startswith(f"{flag}=")]
            if problem := run(*given, f"{flag}={text}"):
                wrong[f"{flag}={text}"] = problem
    assert not wrong
