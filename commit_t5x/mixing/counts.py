"""Counts what becomes of the data that a run reads, and says where next to nothing is left."""

import contextlib
import contextvars
import functools
import logging
import threading
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from commit_t5x.errors import InputError
from commit_t5x.mixing import hit_rate
from commit_t5x.mixing.mixer import CodeMixer

_LOGGER = logging.getLogger(__name__)

# How many must have been seen before anything is said.
_WORDS = 1000
_EXAMPLES = 200
_MANY = 0.5  # of the examples


class Counts:
    """What became of the texts and examples read so far.

    Args:
      of_words: count words and outputs, too; that takes Python code in the pipeline where nothing
        else may.

    Attributes:
      words: of the texts that are mixed, protected ones left out.
      hits: those that the dictionary knows, and `replaced`: those replaced; each word of a phrase.
      examples: that the length policy saw, and of them those `cut` and `dropped`.
      outputs: of examples, and of them those that are `empty`, but for EOS.

    Raises:
      InputError: from within the pipeline, once enough was seen: a mixer knows no word, or every
        example is dropped, or every output empty.
    """

    def __init__(self, of_words: bool = True):
        self._of_words = of_words
        self.words = self.hits = self.replaced = 0
        self.examples = self.cut = self.dropped = 0
        self.outputs = self.empty = 0
        # A mixture has several mixers, of which one may have the wrong dictionary.
        self._known: dict[CodeMixer, hit_rate.Known] = {}
        self._said: set[object] = set()
        self._lock = threading.Lock()  # tf.data works on several threads

    def add_words_tf(
        self, mixer: CodeMixer, words: tf.Tensor, hits: tf.Tensor, replaced: tf.Tensor
    ) -> None:
        """Adds numbers, int64 scalars, whenever the graph runs that this is called in.

        Args:
          mixer: of the texts. What it knows of the sample text is to be expected of them, too.
          words, hits, replaced: as in `Counts`.
        """
        if self._of_words:
            add = functools.partial(self._add_words, mixer)
            tf.numpy_function(add, [words, hits, replaced], [])

    def add_examples_tf(self, fits: tf.Tensor, long: tf.Tensor, lengths: str) -> None:
        """Adds examples likewise.

        Args:
          fits: bool [n], whether each is kept.
          long: bool [n], whether it was too long.
          lengths: what they must fit, for messages.
        """
        tf.numpy_function(lambda *flags: self._add_examples(*flags, lengths), [fits, long], [])

    def add_outputs_tf(self, lengths: tf.Tensor) -> None:
        """Adds outputs likewise: int64 [n], the tokens of each that bear loss, EOS included."""
        if self._of_words:
            tf.numpy_function(self._add_outputs, [lengths], [])

    def summary(self) -> str | None:
        """Says how many examples were cut and dropped; None if none was."""
        if not self.cut + self.dropped:
            return None
        shares = (
            f"{count:,} ({count / self.examples:.1%}) {fate}"
            for count, fate in ((self.cut, "cut"), (self.dropped, "dropped"))
        )
        return f"of {self.examples:,} examples read {' and '.join(shares)}, as too long"

    def _add_words(
        self, mixer: CodeMixer, words: np.int64, hits: np.int64, replaced: np.int64
    ) -> None:
        with self._lock:
            self.words += int(words)
            self.hits += int(hits)
            self.replaced += int(replaced)
            known = self._known.setdefault(mixer, hit_rate.Known(mixer))
            known.words += int(words)
            known.hits += int(hits)
            if known.words >= _WORDS and known.is_low:
                if not known.hits:
                    raise InputError(
                        f"DICT_DIR: {known}; its file, or the text, is of another language, or the "
                        "file the wrong way round (source first); `commit-t5x dicts check` shows it"
                    )
                self._warn_once(
                    mixer,
                    f"DICT_DIR: {known}: are the dictionary, the segmenter and the text's "
                    "language the right ones? `commit-t5x dicts check` and `inspect` show more",
                )

    def _add_examples(self, fits: np.ndarray, long: np.ndarray, lengths: str) -> None:
        with self._lock:
            self.examples += len(fits)
            self.cut += int(np.sum(fits & long))
            self.dropped += int(np.sum(~fits))
            if self.examples < _EXAMPLES:
                return
            if self.dropped == self.examples:
                raise InputError(
                    f"TASK_FEATURE_LENGTHS: each of the first {self.examples:,} examples was "
                    f"dropped, as longer than its row ({lengths}); raise SEQUENCE_LENGTH"
                )
            if self.cut + self.dropped:
                self._warn_once("lengths", f"{self.summary()} ({lengths})")

    def _add_outputs(self, lengths: np.ndarray) -> None:
        with self._lock:
            self.outputs += len(lengths)
            self.empty += int(np.sum(lengths <= 1))
            if self.outputs < _EXAMPLES or self.empty < _MANY * self.outputs:
                return
            found = (
                f"of the first {self.outputs:,} examples {self.empty:,} "
                f"({self.empty / self.outputs:.1%}) have an empty output: nothing is learnt of "
                "them but to say nothing; look at the data's field `output`"
            )
            if self.empty == self.outputs:
                raise InputError(found)
            self._warn_once("outputs", found)

    def _warn_once(self, about: object, message: str) -> None:
        if about not in self._said:
            self._said.add(about)
            _LOGGER.warning("%s", message)


_current: contextvars.ContextVar[Counts | None] = contextvars.ContextVar("counts", default=None)


@contextlib.contextmanager
def counting(counts: Counts) -> Iterator[Counts]:
    """Makes pipelines that are built inside add to `counts`; others aren't counted.

    Example:
      >>> counts = Counts()
      >>> with counting(counts):
      ...     ds = seqio.get_dataset("alpaca_codemix_hi", ...)
      >>> next(iter(ds))
      >>> counts.replaced / counts.words
      0.41
    """
    token = _current.set(counts)
    try:
        yield counts
    finally:
        _current.reset(token)


def current() -> Counts | None:
    """Returns the counts that the pipeline being built adds to, or None."""
    return _current.get()
