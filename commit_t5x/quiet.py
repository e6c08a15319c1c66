"""Keeps the libraries' chatter off the terminal, so that a command's own lines can be read."""

import contextlib
import logging
import os
import signal
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
_NATIVE_NOTE = b"LOG(INFO) precompiled_charsmap is empty"
_LOGGERS = ("absl", "datasets", "huggingface_hub", "jax", "lm_eval", "transformers")


def silence_libraries() -> None:
    """Leaves only errors of what the libraries say; call it before anything imports TensorFlow.

    Settings of the environment win.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("absl").addFilter(_is_news)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    sys.unraisablehook = _report_unraisable
    with _native_stderr_closed():
        import tensorflow  # noqa: F401
        import tensorflow_text  # noqa: F401


def _is_news(record: logging.LogRecord) -> bool:
    """Returns False for the tracebacks that Orbax logs of errors that it raises, too."""
    return not (record.exc_info and "orbax" in record.pathname)


def _report_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
    """Leaves out what tensorstore's threads find after Orbax has given up on a checkpoint."""
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def filter_native_stderr() -> None:
    """Drops SentencePiece's notes from what C++ code writes to file descriptor 2.

    Its copy within TensorFlow notes each model it loads, in the midst of the progress bar, and no
    setting reaches it. A process of its own does the filtering, so that the last words of a crash
    still come out. Python's own stderr stays the terminal. Call it before any thread starts.
    """
    terminal = os.dup(2)
    source, sink = os.pipe()
    if os.fork() == 0:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when the command has
        os.close(sink)
        with open(source, "rb") as lines, open(terminal, "wb", buffering=0) as output:
            for line in lines:
                if _NATIVE_NOTE not in line:
                    output.write(line)
        os._exit(0)
    os.close(source)
    os.dup2(sink, 2)
    os.close(sink)
    sys.stderr = open(terminal, "w", buffering=1, encoding="utf-8", errors="backslashreplace")


@contextlib.contextmanager
def _native_stderr_closed() -> Iterator[None]:
    # TensorFlow greets before it looks at any log level.
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
