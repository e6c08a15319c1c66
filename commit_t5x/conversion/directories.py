"""Output directories that are either finished or not there."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from commit_t5x.errors import InputError


@contextlib.contextmanager
def finished(target: pathlib.Path, overwrite: bool = False) -> Iterator[pathlib.Path]:
    """Yields a directory to write to, which becomes `target` once the block ends without an error.

    Args:
      target: the finished directory.
      overwrite: replace what stands there.

    Raises:
      InputError: `target` exists and isn't to be replaced.
    """
    target = target.absolute()
    check_free(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = pathlib.Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        written = aside / "new"
        written.mkdir()
        yield written
        old = aside / "old"
        if target.exists():
            os.replace(target, old)
        try:
            os.replace(written, target)
        finally:
            if old.exists() and not target.exists():
                os.replace(old, target)
    finally:
        shutil.rmtree(aside)


def check_free(target: pathlib.Path, overwrite: bool) -> None:
    """Raises InputError where `finished` would, before any work is done."""
    if target.exists() and not overwrite:
        raise InputError(f"{target}: exists already; choose another place or pass --overwrite")
