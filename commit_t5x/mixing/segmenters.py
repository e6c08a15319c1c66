"""Where the words of a text begin and end that can be looked up.

A segmenter cuts a text into pieces that, put together, are the text again. Pieces 0, 2, 4, ... are
words (or empty); pieces 1, 3, 5, ... are what stands between them and is never looked up: white
space and the punctuation around words. `segment` is the readable truth in Python; `segment_tf` does
the same to a batch inside a TensorFlow graph.
"""

import abc
import functools
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import tensorflow as tf

from commit_t5x.errors import InputError

# All of Unicode's white space, spelt out, as Python's and RE2's \s differ; and two characters that
# only look like nothing: U+200B, which some scripts part words with, and U+FEFF, a byte-order mark.
_SPACES = (
    " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u200b\ufeff"
)

# Marks that set the direction of writing, and stick to words without being part of them.
_DIRECTION_MARKS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

# Marks the cuts in TensorFlow: no UTF-8 text holds the byte FF. (tensorflow_text.regex_split would
# drop what follows a NUL.)
_CUT = b"\xff"


class Segmenter(abc.ABC):
    """Cuts a text into words and what stands between them.

    Attributes:
      words_touch: whether two words may have nothing between them.
    """

    words_touch = True

    @abc.abstractmethod
    def segment(self, text: str) -> list[str]:
        """Returns the pieces of a text, an odd number of them."""

    def segment_tf(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """The same for string [n]: ragged string [n, (pieces)]."""
        return tf.strings.split(self.mark_tf(texts), _CUT)

    def mark_tf(self, texts: tf.Tensor) -> tf.Tensor:
        """Returns the texts, string [n], with the byte FF between two pieces."""

        def mark(batch: np.ndarray) -> np.ndarray:
            pieces = (self.segment(text.decode("utf-8", "surrogateescape")) for text in batch)
            marked = ("\udcff".join(row).encode("utf-8", "surrogateescape") for row in pieces)
            return np.array(list(marked), object)

        # In Python, for what has no form in TensorFlow's string operations.
        return tf.ensure_shape(tf.numpy_function(mark, [texts], tf.string), [None])


class _ChunkSegmenter(Segmenter):
    """Cuts a text into chunks, and takes white space and punctuation off their ends."""

    _spaces = _SPACES
    _marks = _DIRECTION_MARKS

    @property
    def _edges(self) -> str:
        return edge_characters() + self._marks + self._spaces

    @abc.abstractmethod
    def _chunks(self, text: str) -> Iterable[str]:
        """Cuts a text where a word may begin or end."""

    def segment(self, text: str) -> list[str]:
        pieces = [""]
        for chunk in self._chunks(text):
            rest = chunk.lstrip(self._edges)
            word = rest.rstrip(self._edges)
            _extend_gap(pieces, chunk[: len(chunk) - len(rest)])
            if word:
                pieces[-1:] = [pieces[-1], "", word] if pieces[-1] else [word]
            _extend_gap(pieces, rest[len(word) :])
        return pieces


class SpaceSegmenter(_ChunkSegmenter):
    """Cuts at U+0020 only, as the paper's code does.

    Example:
      >>> SpaceSegmenter().segment("(a b\\nc)")
      ['', '(', 'a', ' ', 'b\\nc', ')', '']
    """

    words_touch = False
    _spaces = " "
    _marks = ""

    def _chunks(self, text: str) -> Iterable[str]:
        return re.findall(f"[{self._spaces}]+|[^{self._spaces}]+", text)

    def mark_tf(self, texts: tf.Tensor) -> tf.Tensor:
        spaces = _as_ranges(self._spaces)
        edges = _as_ranges(edge_characters() + self._marks)
        # A run of punctuation and spaces is a gap if it holds a space or touches an end of the
        # text; else (as in "don't") it is part of a word.
        gaps = f"[{edges}]*[{spaces}][{edges}{spaces}]*|^[{edges}]+|[{edges}]+$"
        return tf.strings.regex_replace(texts, gaps, _CUT + rb"\0" + _CUT)


class WhitespaceSegmenter(SpaceSegmenter):
    """Cuts at every run of white space, so that a newline or tab no longer hides two words.

    Example:
      >>> WhitespaceSegmenter().segment("(a b\\nc)")
      ['', '(', 'a', ' ', 'b', '\\n', 'c', ')', '']
    """

    _spaces = _ChunkSegmenter._spaces
    _marks = _ChunkSegmenter._marks


class LongestMatchSegmenter(_ChunkSegmenter):
    """Cuts a script without spaces (Thai, Chinese, ...) into the longest words of a vocabulary.

    Runs between white space are read from the left; at each place the longest word that starts
    there and doesn't end before a combining mark becomes a piece, and what no word covers stays
    together.

    Example:
      >>> LongestMatchSegmenter(["น้ำ", "น้ำแข็ง", "ใส"]).segment("น้ำแข็งใสๆ")
      ['น้ำแข็ง', '', 'ใส', '', 'ๆ']
    """

    def __init__(self, words: Iterable[str]):
        self._words = frozenset(words)
        # First character -> lengths of the words that begin with it, the longest first.
        lengths: dict[str, set[int]] = {}
        for word in filter(None, self._words):
            lengths.setdefault(word[0], set()).add(len(word))
        self._lengths = {first: sorted(found, reverse=True) for first, found in lengths.items()}
        self._runs = re.compile(f"[{_SPACES}]+|[^{_SPACES}]+")

    def _chunks(self, text: str) -> Iterable[str]:
        for run in self._runs.findall(text):
            unmatched = start = 0
            while start < len(run):
                end = self._longest_word(run, start)
                if end is None:
                    start += 1
                    continue
                if unmatched < start:
                    yield run[unmatched:start]
                yield run[start:end]
                unmatched = start = end
            if unmatched < len(run):
                yield run[unmatched:]

    def _longest_word(self, run: str, start: int) -> int | None:
        for length in self._lengths.get(run[start], ()):
            end = start + length
            # Past the run's end the slice is shorter than a word of this length.
            if run[start:end] in self._words and not _is_mark(run[end : end + 1]):
                return min(end, len(run))
        return None


class PyThaiNLPSegmenter(_ChunkSegmenter):
    """Cuts Thai by PyThaiNLP's dictionary-based maximal matching (its engine "newmm").

    Raises:
      InputError: PyThaiNLP isn't installed.
    """

    def __init__(self):
        try:
            from pythainlp.tokenize import word_tokenize
        except ImportError:
            raise InputError(
                "segmenter 'pythainlp': PyThaiNLP isn't installed; pip install pythainlp, or use "
                "'longest_match'"
            ) from None
        self._tokenize = word_tokenize

    def _chunks(self, text: str) -> Iterable[str]:
        return self._tokenize(text, engine="newmm", keep_whitespace=True)


class ProtectingSegmenter(Segmenter):
    """Keeps what a pattern matches out of another segmenter's words.

    Args:
      segmenter: cuts what lies between.
      pattern: a regular expression that Python's `re` (with its flag ASCII) and RE2 read alike.

    Example:
      >>> ProtectingSegmenter(SpaceSegmenter(), "`[^`]*`").segment("use `for i` for it")
      ['use', ' ', '', '', '', '`for i`', '', '', '', ' ', 'for', ' ', 'it']
    """

    def __init__(self, segmenter: Segmenter, pattern: str):
        self._segmenter = segmenter
        self._pattern = pattern
        self.words_touch = segmenter.words_touch

    def segment(self, text: str) -> list[str]:
        pieces, start = [], 0
        # Empty words around a protected span keep phrases of several words from reaching across.
        for match in re.finditer(self._pattern, text, re.ASCII):
            pieces += self._segmenter.segment(text[start : match.start()])
            pieces += ["", "", match[0], "", ""]
            start = match.end()
        return pieces + self._segmenter.segment(text[start:])

    def mark_tf(self, texts: tf.Tensor) -> tf.Tensor:
        spans = tf.strings.regex_replace(texts, self._pattern, _CUT + rb"\0" + _CUT)
        parts = tf.strings.split(spans, _CUT)
        flat = parts.flat_values
        places = tf.range(tf.size(flat, tf.int64)) - tf.gather(
            parts.row_starts(), parts.value_rowids()
        )
        between = tf.where(places % 2 == 0)
        marked = self._segmenter.mark_tf(tf.gather_nd(flat, between))
        flat = tf.tensor_scatter_nd_update(flat, between, marked)
        # By hand, as reduce_join leaves the separator out after an empty string.
        flat = tf.strings.join([tf.where(places == 0, b"", 3 * _CUT), flat])
        return tf.strings.reduce_join(parts.with_flat_values(flat), axis=-1)


# What `protected` can name.
PROTECTED = {
    "code": r"```[^`]*```|`[^`\n]+`",
    "url": r"[A-Za-z][A-Za-z0-9+.-]*://[^ \t\n\r<>\"]+|www\.[^ \t\n\r<>\"]+|"
    r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+",
    "number": r"\b[0-9][0-9.,:/-]*\b",
    "placeholder": r"\{[A-Za-z0-9_]*\}|<[A-Za-z/][^<>\n]*>|\[[A-Z_]+\]",
}

# Languages written without spaces between words.
_UNSPACED = frozenset({"th", "lo", "km", "my", "zh", "ja"})


def get_segmenter(
    name: str, language: str, words: Callable[[], Iterable[str]], protected: Sequence[str] = ()
) -> Segmenter:
    """Returns the segmenter that options name.

    Args:
      name: "space", "whitespace", "longest_match", "pythainlp", or "language": longest match for a
        language written without spaces, else white space.
      language: the language of the texts.
      words: gives the words that longest match looks for.
      protected: what is never mixed: keys of `PROTECTED`, or patterns of one's own.

    Raises:
      InputError: no segmenter has that name, PyThaiNLP isn't installed, or a pattern is broken.
    """
    if name == "language":
        name = "longest_match" if language in _UNSPACED else "whitespace"
    match name:
        case "space":
            segmenter = SpaceSegmenter()
        case "whitespace":
            segmenter = WhitespaceSegmenter()
        case "longest_match":
            segmenter = LongestMatchSegmenter(words())
        case "pythainlp":
            segmenter = PyThaiNLPSegmenter()
        case _:
            raise InputError(
                f"segmenter {name!r}: unknown; use 'space', 'whitespace', 'longest_match', "
                "'pythainlp' or 'language'"
            )
    if protected:
        segmenter = ProtectingSegmenter(segmenter, _protected_pattern(protected))
    return segmenter


@functools.cache
def edge_characters() -> str:
    """White space and punctuation, which the paper's code strips from a piece before lookup.

    That is space, tab, newline, carriage return, Unicode Zs; every ASCII character that is neither
    letter nor digit; and Unicode P*.
    """

    def is_edge(character):
        if character.isascii():
            return not character.isalnum()
        category = unicodedata.category(character)
        return category == "Zs" or category.startswith("P")

    return "".join(filter(is_edge, map(chr, range(sys.maxunicode + 1))))


def _as_ranges(characters: str) -> str:
    """Returns characters as the inside of a class for RE2."""
    # In ranges, as RE2's own Unicode tables may be of another version.
    ranges = []
    for code in sorted(map(ord, characters)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in ranges)


def _protected_pattern(protected: Sequence[str]) -> str:
    for name in protected:
        pattern = PROTECTED.get(name, name)
        try:
            empty = re.compile(pattern, re.ASCII).match("")
            tf.strings.regex_replace("", pattern, "")
        except (re.error, tf.errors.InvalidArgumentError) as error:
            problem = str(error).partition("\n")[0]
            raise InputError(
                f"protected {name!r}: neither one of {', '.join(PROTECTED)} nor a regular "
                f"expression ({problem})"
            ) from error
        if empty:
            raise InputError(f"protected {name!r}: also matches no character; use + for *")
    return "|".join(f"(?:{PROTECTED.get(name, name)})" for name in protected)


def _extend_gap(pieces: list[str], text: str) -> None:
    """Appends text to the gap after the last word."""
    if not text:
        return
    if not pieces[-1] and len(pieces) > 1:
        pieces[-2] += text
    else:
        pieces += [text, ""]


def _is_mark(character: str) -> bool:
    return bool(character) and unicodedata.category(character).startswith("M")
