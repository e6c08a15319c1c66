"""What tests of the `commit-t5x dicts` command share."""

import pytest

from commit_t5x import cli


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder in which the command runs; no proxy stands before this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def dicts(capsys):
    """Runs the command; returns exit code, stdout, and warnings and the one line of the error."""

    def dicts(*arguments, warnings=0):
        code = cli.main(["dicts", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert err.count("\n") == (code != 0) + warnings
        return code, out, err.removeprefix("commit-t5x: error: ").rstrip("\n")

    return dicts
