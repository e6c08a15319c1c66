import pytest

from commit_t5x.conversion import directories
from commit_t5x.errors import InputError


def test_appears_when_finished(tmp_path):
    target = tmp_path / "deep" / "out"
    with directories.finished(target) as written:
        (written / "file").write_text("x")
        assert not target.exists()
    assert (target / "file").read_text() == "x"
    assert list(target.parent.iterdir()) == [target]


def test_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError), directories.finished(tmp_path / "out") as written:
        (written / "file").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_existing_directory_stays_unless_told(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "old").write_text("x")
    with pytest.raises(InputError, match="out: exists already"):
        with directories.finished(target):
            raise AssertionError("not reached")
    with pytest.raises(RuntimeError), directories.finished(target, overwrite=True):
        raise RuntimeError
    assert (target / "old").exists()
    with directories.finished(target, overwrite=True) as written:
        (written / "new").write_text("x")
    assert [path.name for path in target.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [target]
