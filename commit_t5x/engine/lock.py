"""One training run at a time in a model directory."""

import contextlib
import errno
import fcntl
import os
import pathlib
import socket
from collections.abc import Iterator

from absl import logging

from commit_t5x.errors import InputError

_FILE = ".lock"
# What file systems answer that have no locks.
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def held(model_dir: pathlib.Path) -> Iterator[None]:
    """Keeps other training runs out of a directory, which is made if missing.

    The lock ends with the process, in whatever way that ends; its file stays and means nothing.

    Raises:
      InputError: another run holds the lock.
    """
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
        yield
