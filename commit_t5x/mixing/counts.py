"""Counts what mixing does to the data that a run reads."""

import contextlib
import contextvars
import threading
from collections.abc import Iterator

import numpy as np
import tensorflow as tf


class MixCounts:
    """Words of the texts mixed so far, and those of them that were replaced.

    Attributes:
      words: of the texts, protected ones left out.
      replaced: each word of a phrase counted.
    """

    def __init__(self):
        self.words = self.replaced = 0
        self._lock = threading.Lock()  # tf.data mixes on several threads

    def add_tf(self, words: tf.Tensor, replaced: tf.Tensor) -> None:
        """Adds two numbers, int64 scalars, whenever the graph runs that this is called in."""
        tf.numpy_function(self._add, [words, replaced], [])

    def _add(self, words: np.int64, replaced: np.int64) -> None:
        with self._lock:
            self.words += int(words)
            self.replaced += int(replaced)


_current: contextvars.ContextVar[MixCounts | None] = contextvars.ContextVar("counts", default=None)


@contextlib.contextmanager
def counting(counts: MixCounts | None) -> Iterator[None]:
    """Makes pipelines that are built inside add to `counts`; others aren't counted.

    Example:
      >>> counts = MixCounts()
      >>> with counting(counts):
      ...     ds = seqio.get_dataset("alpaca_codemix_hi", ...)
      >>> next(iter(ds))
      >>> counts.replaced / counts.words
      0.41
    """
    token = _current.set(counts)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> MixCounts | None:
    """Returns the counts that the pipeline being built adds to, or None."""
    return _current.get()
