"""make refuses a wrong Python in one line, before it makes anything."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent


@pytest.fixture
def make(tmp_path):
    """Runs `make install` in a copy that holds nothing else; returns the exit code and stderr."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, tmp_path)

    def make(python):
        # Without what the make that runs the tests was told.
        inherited = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "VENV")
        environment = {name: os.environ[name] for name in os.environ.keys() - {*inherited}}
        command = ["make", "install", f"PYTHON={python}"]
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        return result.returncode, result.stderr

    return make


@pytest.fixture
def interpreter(tmp_path):
    """Writes what says that it is a Python of some version."""

    def interpreter(version, path=tmp_path / "python"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {version}\n")
        path.chmod(0o755)
        return path

    return interpreter


@pytest.mark.parametrize("version", ["2.7", "3.10", "3.14"])
def test_a_python_that_is_too_old_or_too_new(make, interpreter, tmp_path, version):
    code, stderr = make(interpreter(version))
    assert code == 2 and stderr.count("\n") == 1
    assert f"python: version {version}; commit-t5x runs on Python 3.11 3.12 3.13." in stderr
    assert not (tmp_path / ".venv").exists()


def test_a_python_that_is_not_there(make, tmp_path):
    code, stderr = make("python3.99")
    assert code == 2 and stderr.count("\n") == 1
    assert "python3.99: not found" in stderr
    assert not (tmp_path / ".venv").exists()


def test_an_environment_of_another_python(make, interpreter, tmp_path):
    interpreter("3.10", tmp_path / ".venv/bin/python")
    code, stderr = make(sys.executable)
    assert code == 2 and stderr.count("\n") == 1
    assert ".venv holds Python 3.10 and" in stderr
    assert "`rm -r .venv`" in stderr
