"""Compiled programs are kept for the next command, by JAX's own cache."""

import contextlib
import os
import pathlib

# What compiles sooner is hardly read sooner; a command may have dozens of such.
_MIN_COMPILE_SECONDS = "0.01"
_MAX_BYTES = 2**30


def enable() -> None:
    """Has JAX keep programs in the user's cache directory; call it before anything imports JAX.

    JAX's own settings win: JAX_ENABLE_COMPILATION_CACHE=false turns the cache off, and
    JAX_COMPILATION_CACHE_DIR puts it elsewhere, by JAX's own rules. Where the directory can't be
    written, there is none.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        folder = directory()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # such as of a user without a home
        return
    if os.access(folder, os.W_OK):
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", _MIN_COMPILE_SECONDS)
        if "JAX_COMPILATION_CACHE_MAX_SIZE" not in os.environ:
            _prune(folder)


def _prune(folder: pathlib.Path) -> None:
    """Removes what a full disk left empty and, above a size, what was used least lately.

    JAX's own bound reads the whole directory whenever it keeps a program, which takes longer than
    compiling most of them, and ends for good where one file is missing.
    """
    sizes = []
    for entry in os.scandir(folder):
        with contextlib.suppress(OSError):  # another process removes it, too
            found = entry.stat()
            sizes.append((max(found.st_atime, found.st_mtime), found.st_size, entry.path))
    total = sum(size for _, size, _ in sizes)
    for _, size, path in sorted(sizes):
        if total > _MAX_BYTES or not size:
            total -= size
            with contextlib.suppress(OSError):
                os.unlink(path)


def directory() -> pathlib.Path:
    """Returns $XDG_CACHE_HOME/commit-t5x/programs, by default below ~/.cache."""
    caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path("~/.cache").expanduser()
    return pathlib.Path(caches) / "commit-t5x" / "programs"
