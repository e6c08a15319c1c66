"""The garbage collector, out of the way for a while."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """Keeps the garbage collector from running meanwhile, in any thread.

    Example:
      >>> with paused():
      ...     entries = [(word, []) for word in words]
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
