"""What the tests of tables share: a folder of rows, and flags for the shipped samples."""

import gin
import pytest

from commit_t5x.tables import rows, stages

FLAGS = {
    "gin_file": ["models/debug.gin"],
    "gin_bindings": [
        "LANGUAGE='hi'",
        *(f"{name}='samples'" for name in ("TOKENIZER", "DICT_DIR", "ALPACA_PATH", "XQUAD_PATH")),
        *("VOCAB_SIZE=3072", "TRAIN_STEPS=4", "WARMUP_STEPS=1", "BATCH_SIZE=2"),
        "SEQUENCE_LENGTH=64",
    ],
}


@pytest.fixture(autouse=True)
def clean_gin():
    yield
    gin.clear_config()


@pytest.fixture
def flags():
    return rows.Flags(**FLAGS)


@pytest.fixture
def row():
    """Returns a function that makes a row: row("commit", starts_from="align")."""

    def make(name, starts_from=None, compared_with=None, base=None, **fields):
        defaults = {
            "language": "hi",
            "steps": 4,
            "seed": 0,
            "questions": None,
            "labels": None,
            "config": name,
            "macros": {},
            "own_macros": {},
        }
        fields = {**defaults, **fields}
        return rows.Row(name, f"t/{name}.gin", starts_from, compared_with, base, **fields)

    return make


@pytest.fixture
def table(row):
    """Four rows, one of which starts from another."""
    found = [
        row("alpaca", compared_with="base", base="llama"),
        row("align", base="llama"),
        row("commit", compared_with="alpaca", base="llama"),
        row("align_commit", starts_from="align", compared_with="commit", base="llama"),
    ]
    return {one.name: one for one in found}


@pytest.fixture
def settings(tmp_path, flags):
    return stages.Settings(out=tmp_path / "out", flags=flags, tasks=["ogx_xquad_hi"])


@pytest.fixture
def saving(tmp_path):
    """Code of a process that makes tmp_path / "ready" and, where it is told to end, "saved"."""
    return (
        "import pathlib, signal, sys, time\n"
        "def save(*_):\n"
        f"    pathlib.Path({str(tmp_path / 'saved')!r}).touch()\n"
        "    print('saved', flush=True)\n"
        "    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "print('ready', flush=True)\n"
        f"pathlib.Path({str(tmp_path / 'ready')!r}).touch()\n"
        "time.sleep(60)\n"
    )
