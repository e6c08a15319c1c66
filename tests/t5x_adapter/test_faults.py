"""What ends T5X's binaries, which these tests start, by the gin files of a run."""

import subprocess
import sys

import gin
import needs_t5x  # noqa: F401
import pytest

from commit_t5x import resources
from commit_t5x.errors import InputError
from commit_t5x.t5x_adapter import faults

pytestmark = pytest.mark.t5x
GIN = resources.path("gin")


@pytest.fixture
def locked():
    """gin's state once T5X has read the files."""
    gin.clear_config()
    gin.finalize()
    yield
    gin.clear_config()


def test_bugs_keep_their_traceback(locked):
    assert faults.explain(KeyError("x")) is None


def test_memory(locked):
    assert faults.explain(MemoryError("8 GiB")).startswith("out of memory: 8 GiB; ")


def test_what_gin_adds_is_left_out(locked):
    error = InputError("DICT_DIR: not set\n  In call to configurable 'make_mixer'")
    assert faults.explain(error) == "DICT_DIR: not set"


@pytest.mark.parametrize(
    "flag, message",
    [
        ("--gin.SHUFFLE=false", "--gin.SHUFFLE=false: Failed to parse token 'false'; write"),
        ("--gin_file=itself.gin", "itself.gin: includes itself"),
        ("--gin.ALPACA_PATH='nowhere'", "ALPACA_PATH: 'nowhere'"),
    ],
)
def test_one_line_and_exit_code_2(tmp_path, flag, message):
    (tmp_path / "itself.gin").write_text("include 'itself.gin'\n")
    arguments = [
        *(sys.executable, "-m", "t5x.train", f"--gin_search_paths={GIN}/engines/t5x,{GIN}"),
        *("--gin_file=quickstart.gin", f"--gin.MODEL_DIR='{tmp_path}/out'", flag),
    ]
    run = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 2, run.stderr
    [line] = [line for line in run.stderr.splitlines() if line.startswith("commit-t5x: error: ")]
    assert message in line
    assert "Traceback" not in run.stderr
