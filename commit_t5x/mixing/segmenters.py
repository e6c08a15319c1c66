"""Where the words of a text begin and end that can be looked up.

A segmenter cuts a text into pieces that, put together, are the text again. Pieces 0, 2, 4, ... are
words (or empty); pieces 1, 3, 5, ... are what stands between them and is never looked up: white
space and the punctuation around words. `graph_segmenters` does the same to a batch inside a
TensorFlow graph.
"""

import abc
import functools
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from commit_t5x.errors import InputError

# All of Unicode's white space, spelt out, as Python's and RE2's \s differ; and two characters that
# only look like nothing: U+200B, which some scripts part words with, and U+FEFF, a byte-order mark.
_SPACES = (
    " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000\u200b\ufeff"
)

# Marks that set the direction of writing, and stick to words without being part of them.
_DIRECTION_MARKS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


class Segmenter(abc.ABC):
    """Cuts a text into words and what stands between them.

    Attributes:
      words_touch: whether two words may have nothing between them.
    """

    words_touch = True

    @abc.abstractmethod
    def segment(self, text: str) -> list[str]:
        """Returns the pieces of a text, an odd number of them."""


class _ChunkSegmenter(Segmenter):
    """Cuts a text into chunks, and takes white space and punctuation off their ends.

    Attributes:
      spaces: the characters that count as white space.
      marks: the characters that stick to words without being part of them.
    """

    spaces = _SPACES
    marks = _DIRECTION_MARKS

    @property
    def _edges(self) -> str:
        return edge_characters() + self.marks + self.spaces

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
    spaces = " "
    marks = ""

    def _chunks(self, text: str) -> Iterable[str]:
        return re.findall(f"[{self.spaces}]+|[^{self.spaces}]+", text)


class WhitespaceSegmenter(SpaceSegmenter):
    """Cuts at every run of white space, so that a newline or tab no longer hides two words.

    Example:
      >>> WhitespaceSegmenter().segment("(a b\\nc)")
      ['', '(', 'a', ' ', 'b', '\\n', 'c', ')', '']
    """

    spaces = _ChunkSegmenter.spaces
    marks = _ChunkSegmenter.marks


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
      pattern: a regular expression that Python's `re` (with its flag ASCII) and, for mixing in a
        graph, RE2 read alike.

    Example:
      >>> ProtectingSegmenter(SpaceSegmenter(), "`[^`]*`").segment("use `for i` for it")
      ['use', ' ', '', '', '', '`for i`', '', '', '', ' ', 'for', ' ', 'it']
    """

    def __init__(self, segmenter: Segmenter, pattern: str):
        self.segmenter = segmenter
        self.pattern = pattern
        self.words_touch = segmenter.words_touch

    def segment(self, text: str) -> list[str]:
        pieces, start = [], 0
        # Empty words around a protected span keep phrases of several words from reaching across.
        for match in re.finditer(self.pattern, text, re.ASCII):
            pieces += self.segmenter.segment(text[start : match.start()])
            pieces += ["", "", match[0], "", ""]
            start = match.end()
        return pieces + self.segmenter.segment(text[start:])


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


def _protected_pattern(protected: Sequence[str]) -> str:
    for name in protected:
        pattern = PROTECTED.get(name, name)
        try:
            empty = re.compile(pattern, re.ASCII).match("")
        except re.error as error:
            raise InputError(
                f"protected {name!r}: neither one of {', '.join(PROTECTED)} nor a regular "
                f"expression ({error})"
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
