"""Segmenters inside a TensorFlow graph: batches cut where `Segmenter.segment` cuts each text."""

import functools

import numpy as np
import tensorflow as tf

from commit_t5x.errors import InputError
from commit_t5x.mixing import characters, ragged_rows
from commit_t5x.mixing.segmenters import ProtectingSegmenter, Segmenter, SpaceSegmenter

# Marks the cuts: no UTF-8 text holds the byte FF. (tensorflow_text.regex_split would drop what
# follows a NUL.)
_CUT = b"\xff"


def segment(segmenter: Segmenter, texts: tf.Tensor) -> tf.RaggedTensor:
    """Returns the pieces of string [n]: ragged string [n, (pieces)].

    Raises:
      InputError: `segmenter` protects a pattern that RE2 can't read.

    Example:
      >>> segment(SpaceSegmenter(), tf.constant(["(a b)"])).to_list()
      [[b'', b'(', b'a', b' ', b'b', b')', b'']]
    """
    return tf.strings.split(_mark(segmenter, texts), _CUT)


@functools.singledispatch
def _mark(segmenter: Segmenter, texts: tf.Tensor) -> tf.Tensor:
    """Returns the texts, string [n], with the byte FF between two pieces."""

    def mark(batch: np.ndarray) -> np.ndarray:
        pieces = (segmenter.segment(text.decode("utf-8", "surrogateescape")) for text in batch)
        marked = ("\udcff".join(row).encode("utf-8", "surrogateescape") for row in pieces)
        return np.array(list(marked), object)

    # In Python, for what has no form in TensorFlow's string operations.
    return tf.ensure_shape(tf.numpy_function(mark, [texts], tf.string), [None])


@_mark.register
def _(segmenter: SpaceSegmenter, texts: tf.Tensor) -> tf.Tensor:
    spaces = as_ranges(segmenter.spaces)
    edges = as_ranges(characters.edge_characters() + segmenter.marks)
    more = edges + as_ranges(segmenter.extenders)
    # A run of punctuation and spaces is a gap if it holds a space or touches an end of the text;
    # else (as in "don't") it is part of a word.
    gaps = (
        f"(?:^[{more}]+|[{edges}][{more}]*)?[{spaces}][{more}{spaces}]*|"
        f"^[{more}]+|[{edges}][{more}]*$"
    )
    return tf.strings.regex_replace(texts, gaps, _CUT + rb"\0" + _CUT)


@_mark.register
def _(segmenter: ProtectingSegmenter, texts: tf.Tensor) -> tf.Tensor:
    _check(segmenter.pattern)
    spans = tf.strings.regex_replace(texts, segmenter.pattern, _CUT + rb"\0" + _CUT)
    parts = tf.strings.split(spans, _CUT)
    flat = parts.flat_values
    begins = tf.gather(parts.row_starts(), ragged_rows.ids(parts))
    places = tf.range(tf.size(flat, tf.int64)) - begins
    between = tf.where(places % 2 == 0)
    marked = _mark(segmenter.segmenter, tf.gather_nd(flat, between))
    flat = tf.tensor_scatter_nd_update(flat, between, marked)
    # By hand, as reduce_join leaves the separator out after an empty string.
    flat = tf.strings.join([tf.where(places == 0, b"", 3 * _CUT), flat])
    return ragged_rows.join(parts.with_flat_values(flat))


def _check(pattern: str) -> None:
    """Raises InputError for what Python's `re` reads and RE2 doesn't."""
    try:
        with tf.init_scope():  # at once, not when the graph runs
            tf.strings.regex_replace("", pattern, "")
    except tf.errors.InvalidArgumentError as error:
        problem = str(error).partition("\n")[0]
        raise InputError(
            f"protected {pattern!r}: RE2, which mixes in TensorFlow, can't read it ({problem}); "
            "write it without look-around and back-references"
        ) from error


def as_ranges(characters: str) -> str:
    """Returns characters as the inside of a class for RE2."""
    # In ranges, as RE2's own Unicode tables may be of another version.
    ranges = []
    for code in sorted(map(ord, characters)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in ranges)
