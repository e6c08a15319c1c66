import os
import pathlib
import subprocess
import sys

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


def test_folders_made_for_what_fails_go_again(tmp_path):
    (tmp_path / "old").mkdir()
    with pytest.raises(RuntimeError), disk.finished(tmp_path / "old" / "a" / "b" / "out"):
        raise RuntimeError
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]


def test_what_is_there_stays_unless_told(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="out: exists already"):
        with disk.finished(tmp_path / "out", overwrite=False):
            raise AssertionError("not reached")


def test_write(tmp_path):
    disk.write(tmp_path / "deep" / "a.txt", b"1")
    disk.write(tmp_path / "deep" / "a.txt", "नमस्ते")
    assert (tmp_path / "deep" / "a.txt").read_text(encoding="utf-8") == "नमस्ते"
    with pytest.raises(InputError, match="b: can't be written .*; choose another place"):
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


def test_what_a_killed_process_left_is_cleared(tmp_path):
    # In a process of its own, as nothing survives SIGKILL.
    script = (
        "import os, pathlib, signal, sys\n"
        "from commit_t5x import disk\n"
        "target = pathlib.Path(sys.argv[1])\n"
        "with disk.finished(target) as aside:\n"
        "    aside.mkdir()\n"
        "    os.replace(target, aside.with_name(f'{target.name}.old'))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    target = tmp_path / "out [1]"
    target.mkdir()
    (target / "before").write_text("")
    with disk.finished(target) as aside:
        aside.mkdir()
        (aside / "first").write_text("")
        # One that still writes is let alone.
        with disk.finished(target) as second:
            second.mkdir()
            (second / "second").write_text("")
    assert [path.name for path in target.iterdir()] == ["first"]
    subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert [path.name for path in tmp_path.iterdir()] != [target.name]
    with pytest.raises(RuntimeError), disk.finished(target):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    assert [path.name for path in target.iterdir()] == ["first"]


def test_no_output_takes_the_place_of_an_input(tmp_path):
    disk.check_apart("OUT", tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    with pytest.raises(InputError, match="OUT: .*a.jsonl is what is read; choose another place"):
        disk.check_apart("OUT", tmp_path / "x" / ".." / "a.jsonl", tmp_path / "a.jsonl")
    with pytest.raises(InputError, match="OUT: .* holds what is read; choose another place"):
        disk.check_apart("OUT", tmp_path, tmp_path / "x" / "a.jsonl")


def test_a_roundabout_path_is_replaced_like_any(tmp_path):
    (tmp_path / "out").mkdir()
    with disk.finished(tmp_path / "out" / ".." / "out") as aside:
        aside.mkdir()
        (aside / "new").touch()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["out", "out/new"]


def test_a_device_stays_one():
    reader, terminal = os.openpty()
    place = pathlib.Path(os.ttyname(terminal))
    disk.write(place, "text")
    assert os.read(reader, 4) == b"text"
    assert place.is_char_device()
    os.close(terminal)
    os.close(reader)


def test_a_file_takes_no_folders_place(tmp_path):
    (tmp_path / "out" / "kept").mkdir(parents=True)
    for write in (disk.check_writable, lambda path: disk.write(path, "text")):
        with pytest.raises(InputError, match="out: is a folder; name a file"):
            write(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "kept"]


def test_a_url_is_no_place_to_write_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for write in (disk.check_writable, lambda path: disk.write(path, "text")):
        with pytest.raises(InputError, match="gs://bucket/out: not a local path"):
            write("gs://bucket/out")
    assert not list(tmp_path.iterdir())


def test_what_can_be_written_is_known_ahead(tmp_path):
    disk.check_writable(tmp_path / "new" / "folder" / "file")
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be written"):
        disk.check_writable(tmp_path / "file" / "below")
