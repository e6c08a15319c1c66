"""One run at a time in a directory, where one that fails at once leaves nothing."""

import contextlib
import errno
import fcntl
import os
import pathlib
import shutil
import socket
import threading
from collections.abc import Callable, Collection, Iterator

from absl import logging

from commit_t5x.errors import InputError

_FILE = ".lock"
# What file systems answer that have no locks.
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def held(
    directory: pathlib.Path, does: str = "trains here", place: str = "MODEL_DIR"
) -> Iterator[Callable[[], None]]:
    """Keeps other runs out of a directory, which is made if missing.

    The lock ends with the process, in whatever way that ends; its file stays and means nothing.

    Args:
      directory: a file in it is locked.
      does: what the holder is said to do.
      place: the macro or flag that names the directory.

    Yields:
      A function to call once what the run writes is worth something. An error before removes what
      has come into the directory meanwhile, and the directory if it was made.

    Raises:
      InputError: another run holds the lock.
    """
    before = set(directory.iterdir()) if directory.is_dir() else None
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / _FILE).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise InputError(
                f"{directory}: {holder} {does}; wait for it or stop it, or choose another {place}"
            ) from error
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            logging.warning("%s: not locked, its file system has no locks", directory)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        stays = threading.Event()
        try:
            yield stays.set
        except BaseException:
            if not stays.is_set():
                with contextlib.suppress(OSError):
                    _restore(directory, before)
            raise


def _restore(folder: pathlib.Path, before: Collection[pathlib.Path] | None) -> None:
    """Removes what a folder didn't hold before; None: it wasn't there."""
    for path in {*folder.iterdir()} - {*(before or ())}:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    if before is None:
        folder.rmdir()
