"""Keeps the libraries' chatter off the terminal, so that a command's own lines can be read."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

import absl.logging  # noqa: F401  (before its logger is asked for: it makes one that finds callers)

_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # it announces itself, and the data path has no use for it
    "TOKENIZERS_PARALLELISM": "false",  # else it warns of forks
    "TRANSFORMERS_VERBOSITY": "error",
}
_LOGGERS = ("absl", "datasets", "huggingface_hub", "jax", "lm_eval", "transformers")


def silence_libraries() -> None:
    """Leaves only errors of what the libraries say; call it before anything imports them.

    Settings of the environment win.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("absl").addFilter(_is_news)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    sys.unraisablehook = _report_unraisable


def _is_news(record: logging.LogRecord) -> bool:
    """Returns False for the tracebacks that Orbax logs of errors that it raises, too."""
    return not (record.exc_info and "orbax" in record.pathname)


def _report_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Leaves out what tensorstore's threads find after Orbax has given up on a checkpoint."""
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


@contextlib.contextmanager
def native_stderr_closed() -> Iterator[None]:
    """Drops what C++ code writes to file descriptor 2 meanwhile; for imports only."""
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
