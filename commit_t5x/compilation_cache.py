"""Compiled programs are kept for the next command, by JAX's own cache."""

import os
import pathlib

_ENVIRONMENT = {
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(2 * 1024**3),  # bytes; what was used least lately goes
    # What compiles sooner is hardly read sooner; a command may have dozens of such.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.01",
}


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
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)


def directory() -> pathlib.Path:
    """Returns $XDG_CACHE_HOME/commit-t5x/programs, by default below ~/.cache."""
    caches = os.environ.get("XDG_CACHE_HOME") or pathlib.Path("~/.cache").expanduser()
    return pathlib.Path(caches) / "commit-t5x" / "programs"
