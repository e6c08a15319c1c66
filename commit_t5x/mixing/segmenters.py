"""Where the words of a text begin and end that can be looked up.

A segmenter cuts a text into pieces that, put together, are the text again. Pieces 0, 2, 4, ... are
words (or empty); pieces 1, 3, 5, ... are what stands between them and is never looked up: white
space and the punctuation around words. `graph_segmenters` does the same to a batch inside a
TensorFlow graph.
"""

import abc
import functools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from commit_t5x.errors import InputError
from commit_t5x.mixing import characters, clusters

SegmenterName = Literal["space", "whitespace", "longest_match", "pythainlp", "language"]


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
      extenders: the characters that belong to the one before them, be that of a word or not.
    """

    spaces = characters.SPACES
    marks = characters.UNSEEN + characters.EDGE_EQUIVALENTS

    @property
    def extenders(self) -> str:
        return characters.extenders()

    @functools.cached_property
    def _outside(self) -> frozenset[str]:
        edges = characters.edge_characters() + self.marks + self.spaces
        return frozenset(edges + self.extenders)

    @abc.abstractmethod
    def _chunks(self, text: str) -> Iterable[str]:
        """Cuts a text where a word may begin or end."""

    def segment(self, text: str) -> list[str]:
        pieces = [""]
        for chunk in self._chunks(text):
            start, end = 0, len(chunk)
            while start < end and chunk[start] in self._outside:
                start += 1
            while start < end and chunk[end - 1] in self._outside:
                end -= 1
            while start < end < len(chunk) and chunk[end] in self.extenders:
                end += 1
            _extend_gap(pieces, chunk[:start])
            if start < end:
                pieces[-1:] = (
                    [pieces[-1], "", chunk[start:end]] if pieces[-1] else [chunk[start:end]]
                )
            _extend_gap(pieces, chunk[end:])
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
    extenders = ""

    @functools.cached_property
    def _runs(self) -> re.Pattern:
        return re.compile(f"[{self.spaces}][{self.spaces}{self.extenders}]*|[^{self.spaces}]+")

    def _chunks(self, text: str) -> Iterable[str]:
        return self._runs.findall(text)


class WhitespaceSegmenter(SpaceSegmenter):
    """Cuts at every run of white space, so that a newline or tab no longer hides two words.

    Example:
      >>> WhitespaceSegmenter().segment("(a b\\nc)")
      ['', '(', 'a', ' ', 'b', '\\n', 'c', ')', '']
    """

    spaces = _ChunkSegmenter.spaces
    marks = _ChunkSegmenter.marks
    extenders = _ChunkSegmenter.extenders


class LongestMatchSegmenter(_ChunkSegmenter):
    """Cuts a script without spaces (Thai, Chinese, ...) into the longest words of a vocabulary.

    Runs between white space are read from the left; at each place the longest word that starts
    there becomes a piece, and what no word covers stays together. Words begin and end where
    `clusters.units` do; canonically equivalent spellings of a word are found alike.

    Example:
      >>> LongestMatchSegmenter(["น้ำ", "น้ำแข็ง", "ใส"]).segment("น้ำแข็งใสๆ")
      ['น้ำแข็ง', '', 'ใส', '', 'ๆ']
    """

    def __init__(self, words: Iterable[str]):
        self._words = frozenset(map(characters.lookup_key, words))
        # First character -> length of the longest word that begins with it.
        self._longest: dict[str, int] = {}
        for word in filter(None, self._words):
            self._longest[word[0]] = max(len(word), self._longest.get(word[0], 0))
        self._runs = re.compile(f"[{self.spaces}]+|[^{self.spaces}]+")

    def _chunks(self, text: str) -> Iterable[str]:
        for run in self._runs.findall(text):
            units = clusters.units(run)
            keys = list(map(characters.lookup_key, units))
            unmatched = start = 0
            while start < len(units):
                end = self._longest_word(keys, start)
                if end is None:
                    start += 1
                    continue
                if unmatched < start:
                    yield "".join(units[unmatched:start])
                yield "".join(units[start:end])
                unmatched = start = end
            if unmatched < len(units):
                yield "".join(units[unmatched:])

    def _longest_word(self, keys: Sequence[str], start: int) -> int | None:
        """Returns where the longest word ends that starts at a place among the units' keys."""
        found, word = None, ""
        longest = self._longest.get(keys[start][:1], 0)
        for place in range(start, len(keys)):
            word += keys[place]
            if len(word) > longest:
                break
            if keys[place] and word in self._words:
                found = place + 1
        return found


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
UNSPACED = frozenset({"th", "lo", "km", "my", "zh", "ja"})


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
        name = "longest_match" if language in UNSPACED else "whitespace"
    kinds: dict[str, Callable[[], Segmenter]] = {
        "space": SpaceSegmenter,
        "whitespace": WhitespaceSegmenter,
        "longest_match": lambda: LongestMatchSegmenter(words()),
        "pythainlp": PyThaiNLPSegmenter,
    }
    if name not in kinds:
        known = ", ".join(map(repr, kinds))
        raise InputError(f"segmenter {name!r}: unknown; use {known} or 'language'")
    segmenter = kinds[name]()
    if protected:
        segmenter = ProtectingSegmenter(segmenter, _protected_pattern(protected))
    return segmenter


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
