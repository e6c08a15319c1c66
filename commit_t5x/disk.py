"""Files that are either whole or not there, and JSON files that people may have touched."""

import contextlib
import errno
import fcntl
import glob
import json
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from commit_t5x.errors import InputError


@contextlib.contextmanager
def finished(target: str | pathlib.Path, overwrite: bool = True) -> Iterator[pathlib.Path]:
    """Yields a place for a file or a directory, which becomes `target` if no error ends the block.

    What stood there stays until then, and nothing is left of what was written if there is an error.
    What a killed process left of the same target is cleared.

    Args:
      target: of the finished one; the folders above it are made.
      overwrite: replace what stands there.

    Raises:
      InputError: see check_free and check_local; or the disk is full, or forbids to write.

    Example:
      >>> with finished("out/report.md") as aside:
      ...     aside.write_text("| run |")
    """
    check_local(target)
    given, target = target, pathlib.Path(target).absolute()
    target = target.parent.resolve() / target.name  # a/../a would lead nowhere with a moved aside
    check_free(target, overwrite)
    with writing(given), _aside(target) as folder:
        written, old = folder / target.name, folder / f"{target.name}.old"
        yield written
        # os.replace puts a file in a file's place at once, but nothing in a full directory's.
        if target.exists() and (target.is_dir() or written.is_dir()):
            os.replace(target, old)
        try:
            os.replace(written, target)
        finally:
            _put_back(old, target)


@contextlib.contextmanager
def _aside(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a folder beside the target, which is locked as long as its process lives."""
    prefix = f".{target.name}.unfinished-"
    made = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    for left_over in target.parent.glob(f"{glob.escape(prefix)}*"):
        with contextlib.suppress(OSError), _locked(left_over):
            _put_back(left_over / f"{target.name}.old", target)
            shutil.rmtree(left_over)
    try:
        with tempfile.TemporaryDirectory(prefix=prefix, dir=target.parent) as name:
            folder = pathlib.Path(name)
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(OSError):  # a file system without locks
                    stack.enter_context(_locked(folder))
                yield folder
    except BaseException:
        for folder in made:
            with contextlib.suppress(OSError):  # something else has been put there
                folder.rmdir()
        raise


def _put_back(old: pathlib.Path, target: pathlib.Path) -> None:
    """Puts what stood at a target back, where a process was killed in the midst of replacing it."""
    if old.exists() and not target.exists():
        os.replace(old, target)


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[None]:
    """Holds a folder's lock; raises OSError where another process holds it, or there is none."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def check_free(target: pathlib.Path, overwrite: bool) -> None:
    """Raises InputError if `target` exists and isn't to be replaced."""
    if target.exists() and not overwrite:
        raise InputError(f"{target}: exists already; choose another place or pass --overwrite")


def check_local(target: str | pathlib.Path) -> None:
    """Raises InputError for a URL, which would become a folder such as "gs:"."""
    if re.match(r"\w+:/", str(target)):
        raise InputError(f"{target}: not a local path; write to one, and copy it from there")


def check_writable(target: str | pathlib.Path) -> None:
    """Raises InputError if no file can be written there, ahead of the work that would fill it."""
    check_local(target)
    with writing(target):
        path = pathlib.Path(target).absolute()
        _check_no_folder(path)
        folder = next(parent for parent in path.parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass


def _check_no_folder(path: str | pathlib.Path) -> None:
    if pathlib.Path(path).is_dir():
        raise InputError(f"{path}: is a folder; name a file")


def check_apart(macro: str, target: str | pathlib.Path, *sources: str | pathlib.Path) -> None:
    """Raises InputError if what a macro or flag says to write is a source, or a folder with one."""
    place = pathlib.Path(target).resolve()
    for source in (pathlib.Path(source).resolve() for source in sources):
        if place == source or place in source.parents:
            verb = "is" if place == source else "holds"
            raise InputError(f"{macro}: {target} {verb} what is read; choose another place")


def check_own(flag: str, path: str | pathlib.Path, mark: str) -> None:
    """Raises InputError where a file that is there isn't of the kind that a flag has written.

    Args:
      flag: that names the file.
      path: of the file.
      mark: text near the beginning of what is written.
    """
    path = pathlib.Path(path)
    if path.is_file() and path.stat().st_size:
        with writing(path), path.open("rb") as file:
            if mark.encode() not in file.read(4096):
                raise InputError(f"{flag}: {path} holds something else; choose another place")


def write(path: str | pathlib.Path, content: str | bytes) -> None:
    """Writes a file aside and moves it into place; text as UTF-8. The folders above it are made."""
    _check_no_folder(path)
    content = content.encode("utf-8") if isinstance(content, str) else content
    given = pathlib.Path(path)
    if given.exists() and not given.is_file():  # a device or a pipe, which stays what it is
        with writing(given):
            given.write_bytes(content)
        return
    with finished(path) as aside:
        aside.write_bytes(content)


def write_jsonl(path: str | pathlib.Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Writes one JSON object a line, as `write` does."""
    write(path, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records))


@contextlib.contextmanager
def writing(path: str | pathlib.Path, remedy: str = "choose another place") -> Iterator[None]:
    """Raises what the operating system refuses inside (a full disk, permissions) as an InputError.

    Args:
      path: of what is written, which the message names.
      remedy: ends the message.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        reason = _refusal(error)
        if reason is None:
            raise
        raise InputError(f"{path}: can't be written ({reason}); {remedy}") from error


def _refusal(error: OSError | ValueError) -> str | None:
    if isinstance(error, OSError):
        # Libraries derive errors of their own from it, which have no number.
        return None if error.errno in (None, errno.EPIPE) else error.strerror
    # Tensorstore's are ValueErrors: "...: No space left on device [os_error_code='28']"
    match = re.search(r"([^:]+) \[os_error_code", str(error))
    return match and match[1].strip()


def read_json(path: pathlib.Path, remedy: str = "fetch it again") -> dict[str, Any]:
    """Reads a file that holds a JSON object.

    Args:
      path: of the file.
      remedy: ends the message of an error.

    Raises:
      InputError: there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; {remedy}") from error
    except ValueError as error:  # of UTF-8, too
        raise InputError(f"{path}: not valid JSON ({error}); {remedy}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a JSON object; {remedy}")
    return content
