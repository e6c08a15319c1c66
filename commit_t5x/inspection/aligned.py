"""A text before and after mixing, side by side."""

import dataclasses
import itertools
from collections.abc import Sequence

from commit_t5x.mixing.mixer import CodeMixer, Mixed, Replacement
from commit_t5x.mixing.segmenters import WhitespaceSegmenter


@dataclasses.dataclass(frozen=True)
class Word:
    """A word of the text as it was before mixing.

    Attributes:
      text: the word.
      known: whether the lexicon has an entry for it, or for a phrase that it is part of.
      replaced: whether it was replaced, alone or in a phrase.
      changed: whether that put something else than itself in its place.
    """

    text: str
    known: bool = False
    replaced: bool = False
    changed: bool = False


@dataclasses.dataclass(frozen=True)
class Span:
    """Characters `start` to `end` of a text, and what they are: "template", "input", ..."""

    start: int
    end: int
    role: str


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of an example's text that is mixed, or left alone, as a whole.

    Attributes:
      source: the text before mixing.
      text: the text after it.
      roles: what its parts are, in characters of `source`, without gaps.
      replacements: what was replaced, in characters of `text`.
      words: of `source`; none if the piece can't be mixed.
    """

    source: str
    text: str
    roles: tuple[Span, ...]
    replacements: tuple[Replacement, ...] = ()
    words: tuple[Word, ...] = ()

    def place(self, position: int) -> int:
        """Returns where in `text` a place of `source` is; within a word, where that word starts."""
        shift = 0
        for replacement, span in zip(
            self.replacements, source_spans(self.replacements), strict=True
        ):
            if position < span.start:
                break
            if position < span.stop:
                return replacement.start
            end = replacement.start + len(replacement.target)
            # A space may have come between it and a word that it touched.
            spaced = self.text[end : end + 1] == " " != self.source[span.stop : span.stop + 1]
            shift = end - span.stop + (spaced and position > span.stop)
        return position + shift


class AlignedText:
    """Pieces joined.

    Args:
      pieces: from left to right.

    Attributes:
      source: the text before mixing.
      text: the text after it.
      roles: what its parts are, in characters of `text`, without gaps.
      replacements: what was replaced, in characters of `text`.
      words: of the pieces that can be mixed.
      mixable_source, mixable: those pieces, in characters of `source` and of `text`.
    """

    def __init__(self, pieces: Sequence[Piece]):
        self.source = "".join(piece.source for piece in pieces)
        self.text = "".join(piece.text for piece in pieces)
        self.words = tuple(itertools.chain.from_iterable(piece.words for piece in pieces))
        roles, replacements, mixable_source, mixable = [], [], [], []
        source_start = start = 0
        for piece in pieces:
            for span in piece.roles:
                first, last = (start + piece.place(edge) for edge in (span.start, span.end))
                roles.append(Span(first, last, span.role))
            for found in piece.replacements:
                replacements.append(
                    dataclasses.replace(
                        found,
                        start=start + found.start,
                        source_start=source_start + found.source_start,
                    )
                )
            if piece.words:
                mixable_source.append(range(source_start, source_start + len(piece.source)))
                mixable.append(range(start, start + len(piece.text)))
            source_start += len(piece.source)
            start += len(piece.text)
        self.roles, self.replacements = tuple(roles), tuple(replacements)
        self.mixable_source, self.mixable = tuple(mixable_source), tuple(mixable)


def whole(text: str, role: str) -> tuple[Span, ...]:
    """Returns the roles of a text that is one thing."""
    return (Span(0, len(text), role),)


def keep(text: str, roles: Sequence[Span], *, countable: bool) -> Piece:
    """Returns a text that isn't mixed; its words, if they count, end at white space."""
    words = WhitespaceSegmenter().segment(text)[::2] if countable else ()
    return Piece(text, text, tuple(roles), words=tuple(Word(word) for word in words if word))


def mix(
    mixer: CodeMixer, text: str, roles: Sequence[Span], seed: tuple[int, int], ratio: float
) -> Piece:
    """Returns a text mixed by the mixer's plain-Python face; see `CodeMixer.mix`."""
    mixed = mixer.mix_with_replacements(text, seed, ratio)
    words = _words(mixer, text, seed, mixed)
    return Piece(text, mixed.text, tuple(roles), mixed.replacements, words)


def source_spans(replacements: Sequence[Replacement]) -> list[range]:
    """Returns where the replaced words stood before mixing."""
    return [range(r.source_start, r.source_start + len(r.source)) for r in replacements]


def _words(mixer: CodeMixer, text: str, seed: tuple[int, int], mixed: Mixed) -> tuple[Word, ...]:
    # At ratio 1 all that the lexicon knows is replaced.
    known = _characters(mixer.mix_with_replacements(text, seed, 1.0).replacements)
    replaced = _characters(mixed.replacements)
    words, start = [], 0
    for number, piece in enumerate(mixer.segmenter.segment(text)):
        if number % 2 == 0 and piece:
            changed = replaced.get(start, False)
            words.append(Word(piece, start in known, start in replaced, changed))
        start += len(piece)
    return tuple(words)


def _characters(replacements: Sequence[Replacement]) -> dict[int, bool]:
    """Returns each replaced character of the source, and whether its word changed."""
    return {
        place: replacement.target != replacement.source
        for replacement, span in zip(replacements, source_spans(replacements), strict=True)
        for place in span
    }
