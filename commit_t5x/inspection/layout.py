"""How an example is laid out for the eye, in the terminal and on the page alike.

The text is cut into stretches that look the same, never within what a reader sees as one character:
a consonant and its vowel sign, or a letter and its accent, stay together.
"""

import dataclasses
import itertools
import unicodedata
from collections.abc import Iterable, Iterator

from commit_t5x.inspection.examples import Example, Token

LIMIT = 4000  # characters of an example that are shown

_JOINERS = "\u200c\u200d"
_VIRAMA = 9  # the combining class of signs that join two consonants
# Characters that would change how others are shown, or show nothing: controls, and the marks that
# force a direction.
_HIDDEN = dict.fromkeys(
    [*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD
)
_HIDDEN |= {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
_WHITE_SPACE = str.maketrans(" \n\t", "·⏎⇥")


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Text that looks the same throughout.

    Attributes:
      text: the text, with controls made visible.
      is_template: whether it is the prompt's own.
      loss: whether its tokens bear loss.
      cut: whether the length policy took it out of an example that it kept.
      row: which of the example's rows it is in.
    """

    text: str
    is_template: bool
    loss: bool
    cut: bool
    row: int | None


@dataclasses.dataclass(frozen=True)
class Run:
    """Stretches that belong together.

    Attributes:
      stretches: from left to right.
      source: what they replaced; None if nothing.
    """

    stretches: tuple[Stretch, ...]
    source: str | None


@dataclasses.dataclass(frozen=True)
class Chip:
    """Tokens that can't be told apart in the text: one, or the bytes of one character.

    Attributes:
      text: what they stand for, with white space made visible; "BOS" or "EOS" for those.
      ids: in the vocabulary.
      is_special: whether they stand for no text.
      loss: whether they bear loss.
      row: which of the example's rows they are in; None if they were cut away.
    """

    text: str
    ids: tuple[int, ...]
    is_special: bool
    loss: bool
    row: int | None


def runs(example: Example, limit: int) -> Iterator[Run]:
    """Yields an example's text, up to a number of characters, as it should look."""
    text = example.text.text[:limit]
    looks = _looks(example, len(text))
    for place in range(1, len(text)):
        if not begins_cluster(text, place):
            looks[place] = looks[place - 1]
    shown = visible(text)
    for swap, part in itertools.groupby(range(len(text)), key=lambda place: looks[place][0]):
        stretches = []
        for look, places in itertools.groupby(part, key=lambda place: looks[place][1:]):
            places = list(places)
            stretches.append(Stretch(shown[places[0] : places[-1] + 1], *look))
        source = None if swap is None else visible(example.text.replacements[swap].source)
        yield Run(tuple(stretches), source)


def lines(runs: Iterable[Run]) -> list[list[Run]]:
    """Cuts runs at line ends; of a run that is cut, the last part keeps the source."""
    result = [[]]
    for run in runs:
        parts = [[]]
        for stretch in run.stretches:
            first, *others = stretch.text.split("\n")
            parts[-1].append(dataclasses.replace(stretch, text=first))
            parts += [[dataclasses.replace(stretch, text=text)] for text in others]
        *before, last = (Run(tuple(part), None) for part in parts)
        for part in before:
            result[-1].append(part)
            result.append([])
        result[-1].append(dataclasses.replace(last, source=run.source))
    return result


def chips(example: Example, limit: int, bos_id: int) -> Iterator[Chip]:
    """Yields the tokens of an example's text, up to a number of characters."""
    text = example.text.text
    shown = [token for token in example.tokens if token.start < limit]

    def place(numbered: tuple[int, Token]) -> tuple[int, int] | int:
        number, token = numbered
        return (token.start, token.end) if token.start < token.end else number

    for _, group in itertools.groupby(enumerate(shown), key=place):
        tokens = [token for _, token in group]
        first, ids = tokens[0], tuple(token.id for token in tokens)
        is_special = first.start == first.end
        if is_special:
            what = "BOS" if first.id == bos_id else "EOS"
        else:
            what = visible(text[first.start : first.end]).translate(_WHITE_SPACE)
        yield Chip(what, ids, is_special, first.loss, first.row)


def bar(example: Example, row_length: int | None) -> Iterator[tuple[str, float]]:
    """Yields ("loss", "cut" or "", share of the row) for neighbouring tokens of one kind.

    An example longer than the row takes up the whole bar.
    """
    whole = max(row_length or 0, len(example.tokens))
    kinds = (
        "cut" if token.row is None else "loss" if token.loss else "" for token in example.tokens
    )
    for kind, group in itertools.groupby(kinds):
        yield kind, len(list(group)) / whole


def visible(text: str) -> str:
    """Makes controls visible, one character for each; newlines and tabs stay.

    Example:
      >>> visible("a\\x1b[31mb")
      'a␛[31mb'
    """
    return text.translate(_HIDDEN)


def _looks(example: Example, length: int) -> list[tuple]:
    """Returns (number of the replacement, *fields of Stretch) for each character."""
    template, loss, cut = ([False] * length for _ in range(3))
    swaps, rows = [None] * length, [None] * length
    for span in example.text.roles:
        if span.role == "template":
            _fill(template, span.start, span.end, True)
    for number, found in enumerate(example.text.replacements):
        _fill(swaps, found.start, found.start + len(found.target), number)
        _fill(template, found.start, found.start + len(found.target), False)
    for token in example.tokens:
        _fill(loss, token.start, token.end, token.loss)
        _fill(cut, token.start, token.end, token.row is None and example.rows > 0)
        _fill(rows, token.start, token.end, token.row)
    return list(zip(swaps, template, loss, cut, rows, strict=True))


def _fill(values: list, start: int, end: int, value: object) -> None:
    end = min(end, len(values))
    values[start:end] = [value] * (end - start)


def begins_cluster(text: str, place: int) -> bool:
    """Whether a character doesn't belong to the one before it."""
    before, character = text[place - 1], text[place]
    joined = before == _JOINERS[1] or unicodedata.combining(before) == _VIRAMA
    return not (
        unicodedata.category(character).startswith("M")
        or character in _JOINERS
        or (joined and not character.isspace())
    )
