import pytest

from commit_t5x import disk
from commit_t5x.errors import InputError


def files(folder):
    """Returns what lies in a folder, files by name with their text."""
    return {
        path.name: path.read_text() if path.is_file() else files(path) for path in folder.iterdir()
    }


@pytest.mark.parametrize("old", [None, "file", "directory"])
@pytest.mark.parametrize("new", ["file", "directory"])
def test_appears_when_finished(old, new, tmp_path):
    def make(kind, place):
        if kind == "directory":
            place.mkdir()
            place /= "inner"
        if kind:
            place.write_text(place.parent.name)

    target = tmp_path / "deep" / "out"
    target.parent.mkdir()
    make(old, target)
    before = files(tmp_path)
    with pytest.raises(RuntimeError), disk.finished(target) as aside:
        make(new, aside)
        raise RuntimeError
    assert files(tmp_path) == before
    with disk.finished(target) as aside:
        make(new, aside)
        assert aside.name == "out" and (target.exists() if old else not target.exists())
    assert target.is_dir() == (new == "directory")
    assert [path.name for path in target.parent.iterdir()] == ["out"]


def test_what_is_there_stays_unless_told(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="out: exists already"):
        with disk.finished(tmp_path / "out", overwrite=False):
            raise AssertionError("not reached")


def test_write(tmp_path):
    disk.write(tmp_path / "deep" / "a.txt", b"1")
    disk.write(tmp_path / "deep" / "a.txt", "नमस्ते")
    assert (tmp_path / "deep" / "a.txt").read_text(encoding="utf-8") == "नमस्ते"
    with pytest.raises(OSError):
        disk.write(tmp_path / "deep" / "a.txt" / "b", "x")
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        ValueError("OUT_OF_RANGE: Error writing x: No space left on device [os_error_code='28']"),
    ],
)
def test_refusals_of_the_system_are_input_errors(error):
    expected = r"^out: can't be written \(No space left on device\); do that$"
    with pytest.raises(InputError, match=expected), disk.writing("out", "do that"):
        raise error


@pytest.mark.parametrize(
    "error",
    [ValueError("shapes differ"), OSError("a library's own"), BrokenPipeError(32, "Broken pipe")],
)
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as caught, disk.writing("out"):
        raise error
    assert caught.value is error


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "no such file"),
        (b'{"a": \n}', "not valid JSON .*line 2"),
        (b'{"a": "\xff"}', "not valid JSON .*utf-8"),
        (b"[]", "not a JSON object"),
    ],
)
def test_broken_json(content, message, tmp_path):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"^{path}: {message}.*; mend it$"):
        disk.read_json(path, "mend it")


def test_json_lines(tmp_path):
    disk.write_jsonl(tmp_path / "new" / "a.jsonl", [{"text": "पानी"}, {"n": 1}])
    assert (tmp_path / "new" / "a.jsonl").read_text("utf-8") == '{"text": "पानी"}\n{"n": 1}\n'
