"""Keeps the libraries' chatter off the terminal, so that a command's own lines can be read."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # it announces itself, and the data path has no use for it
    "TOKENIZERS_PARALLELISM": "false",  # else it warns of forks
    "TRANSFORMERS_VERBOSITY": "error",
}
_LOGGERS = ("absl", "datasets", "huggingface_hub", "jax", "lm_eval", "transformers")


def silence_libraries() -> None:
    """Leaves only errors of what the libraries say; call it before anything imports TensorFlow.

    Settings of the environment win.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    with _native_stderr_closed():
        import tensorflow  # noqa: F401
        import tensorflow_text  # noqa: F401


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
