"""What SIGTERM does for a while."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def calls(handler: Callable[[int, object], object]) -> Iterator[None]:
    """Has SIGTERM call a function instead of ending the process, where this is the main thread.

    No other thread may handle signals.

    Example:
      >>> with calls(lambda number, frame: stopped.set()):
      ...     work()
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
