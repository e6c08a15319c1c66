"""Text to pieces: where a word that can be looked up begins and ends.

Every segmenter keeps all characters: the pieces, put together, are the text. `segment` is the
readable truth in Python; `segment_tf` does the same to a batch inside a TensorFlow graph.
"""

import abc
import re
import unicodedata
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from commit_t5x.errors import InputError


class Segmenter(abc.ABC):
    """Cuts a text into pieces."""

    @abc.abstractmethod
    def segment(self, text: str) -> list[str]:
        """Returns the pieces of a text; their concatenation is the text."""

    @abc.abstractmethod
    def segment_tf(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """The same for string [n]: ragged string [n, (pieces)]."""


class SpaceSegmenter(Segmenter):
    """Cuts at U+0020 only, as the paper's code does.

    Example:
      >>> SpaceSegmenter().segment("a b\\nc")
      ['a', ' ', 'b\\nc']
    """

    def segment(self, text: str) -> list[str]:
        return [piece for piece in re.split("( )", text) if piece]

    def segment_tf(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return _split_keeping(texts, " ")


class WhitespaceSegmenter(Segmenter):
    """Cuts at every run of white space, so that a newline or tab no longer hides two words.

    Example:
      >>> WhitespaceSegmenter().segment("a b\\nc")
      ['a', ' ', 'b', '\\n', 'c']
    """

    # Spelt out: Python's and RE2's \s differ.
    _SPACES = " \t\n\v\f\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

    def segment(self, text: str) -> list[str]:
        return [piece for piece in re.split(f"([{self._SPACES}]+)", text) if piece]

    def segment_tf(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return _split_keeping(texts, f"[{self._SPACES}]+")


class LongestMatchSegmenter(Segmenter):
    """Cuts a script without spaces (Thai, Chinese, ...) into the longest words of a vocabulary.

    Runs between white space are read from the left; at each place the longest word that starts
    there and doesn't end before a combining mark becomes a piece, and what no word covers stays
    together.

    Example:
      >>> LongestMatchSegmenter(["น้ำ", "น้ำแข็ง", "ใส"]).segment("น้ำแข็งใสๆ")
      ['น้ำแข็ง', 'ใส', 'ๆ']
    """

    def __init__(self, words: Iterable[str]):
        self._words = frozenset(words)
        self._longest = max(map(len, self._words), default=0)
        self._runs = WhitespaceSegmenter()

    def segment(self, text: str) -> list[str]:
        return [piece for run in self._runs.segment(text) for piece in self._segment_run(run)]

    def _segment_run(self, run: str) -> list[str]:
        pieces, unmatched, start = [], 0, 0
        while start < len(run):
            end = self._longest_word(run, start)
            if end is None:
                start += 1
                continue
            if unmatched < start:
                pieces.append(run[unmatched:start])
            pieces.append(run[start:end])
            unmatched = start = end
        if unmatched < len(run):
            pieces.append(run[unmatched:])
        return pieces

    def _longest_word(self, run: str, start: int) -> int | None:
        for end in range(min(len(run), start + self._longest), start, -1):
            if run[start:end] in self._words and not _is_mark(run[end : end + 1]):
                return end
        return None

    def segment_tf(self, texts: tf.Tensor) -> tf.RaggedTensor:
        def segment_batch(batch):
            pieces = [self.segment(text.decode("utf-8", "surrogateescape")) for text in batch]
            flat = [p.encode("utf-8", "surrogateescape") for row in pieces for p in row]
            return np.array(flat, object), np.array([len(row) for row in pieces], np.int64)

        # A greedy scan has no form in TensorFlow's string operations.
        flat, lengths = tf.numpy_function(segment_batch, [texts], [tf.string, tf.int64])
        flat.set_shape([None])
        lengths.set_shape([None])
        return tf.RaggedTensor.from_row_lengths(flat, lengths)


# Languages written without spaces between words.
_UNSPACED = frozenset({"th", "lo", "km", "my", "zh", "ja"})


def get_segmenter(name: str, language: str, words: Iterable[str]) -> Segmenter:
    """Returns the segmenter that an option names.

    Args:
      name: "space", "whitespace", "longest_match", or "language": longest match for a language
        written without spaces, else white space.
      language: the language of the texts.
      words: the words that longest match looks for.

    Raises:
      InputError: no segmenter has that name.
    """
    if name == "language":
        name = "longest_match" if language in _UNSPACED else "whitespace"
    match name:
        case "space":
            return SpaceSegmenter()
        case "whitespace":
            return WhitespaceSegmenter()
        case "longest_match":
            return LongestMatchSegmenter(words)
    raise InputError(
        f"segmenter {name!r}: unknown; use 'space', 'whitespace', 'longest_match' or 'language'"
    )


def _is_mark(character: str) -> bool:
    return bool(character) and unicodedata.category(character).startswith("M")


def _split_keeping(texts: tf.Tensor, delimiter: str) -> tf.RaggedTensor:
    # No UTF-8 text holds the byte FF, so it marks the cuts. (tensorflow_text.regex_split would drop
    # what follows a NUL.)
    marked = tf.strings.regex_replace(texts, f"({delimiter})", b"\xff\\1\xff")
    pieces = tf.strings.split(marked, b"\xff")
    return tf.ragged.boolean_mask(pieces, pieces != "")
