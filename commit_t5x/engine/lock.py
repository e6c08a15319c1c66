"""One training run at a time in a model directory, where one that fails at once leaves nothing."""

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
def held(model_dir: pathlib.Path) -> Iterator[Callable[[], None]]:
    """Keeps other training runs out of a directory, which is made if missing.

    The lock ends with the process, in whatever way that ends; its file stays and means nothing.

    Yields:
      A function to call once what the run writes is worth something. An error before removes what
      has come into the directory meanwhile, and the directory if it was made.

    Raises:
      InputError: another run holds the lock.
    """
    before = set(model_dir.iterdir()) if model_dir.is_dir() else None
    model_dir.mkdir(parents=True, exist_ok=True)
    with (model_dir / _FILE).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise InputError(
                f"{model_dir}: {holder} trains here; wait for it or stop it, or choose another "
                "MODEL_DIR"
            ) from error
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            logging.warning("%s: not locked, its file system has no locks", model_dir)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        stays = threading.Event()
        try:
            yield stays.set
        except BaseException:
            if not stays.is_set():
                with contextlib.suppress(OSError):
                    _restore(model_dir, before)
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
