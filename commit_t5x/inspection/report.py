"""The mix report: how much was mixed, what that did to the tokens, and how they fill the rows."""

import collections
import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from commit_t5x.inspection.aligned import Word
from commit_t5x.inspection.examples import Example

_TOP = 10


@dataclasses.dataclass(frozen=True)
class Packing:
    """How examples fill rows.

    Attributes:
      examples: those packed, of all tasks.
      rows: that they took, the last one by its share of a full one.
      row_fill: share of those rows that isn't padding.
      batch_size: rows a step.
    """

    examples: int
    rows: float
    row_fill: float
    batch_size: int


@dataclasses.dataclass(frozen=True)
class MixReport:
    """What mixing and the length policy did to the examples of a task.

    Words are those of the texts that the mixer was given, as its segmenter cuts them: the fields of
    an example if the template is blocked, else the whole prompt and the response. Without mixing
    they are what stands between white space. For the examples below, the lexicon knows "drink" and
    "the".

    Attributes:
      examples: how many the report is about.
      is_mixed: whether there is a mixer.
      words: in the texts before mixing. "drink the tea" has 3.
      hits: words that the lexicon knows, those of a phrase counted one by one.
      replaced: words that were replaced, counted likewise.
      unchanged: replaced words whose translation is the word itself.
      hit_rate: hits / words. "drink the tea": 2/3.
      effective_ratio: replaced / words. "पियो the tea": 1/3.
      code_mixing_index: 100 * (1 - max_i w_i / (n - u)) of each example, averaged; w_i are its
        words in language i, n all of its words, and u those without a letter, which are in no
        language (Das and Gambäck, ICON 2014). A word is in the other language if it changed.
        "पियो the 2 tea": 100 * (1 - 2/3) = 33.3.
      switch_points: places between two words, those without a letter left out, that are in
        different languages. "पियो the tea पियो": 2.
      switch_points_per_100_words: 100 * switch_points / words.
      tokens_per_word_before, tokens_per_word_after: tokens of those texts before and after mixing,
        each divided by the words before mixing, so that they compare (fertility).
      tokens: in the sequences that are fed, EOS included.
      loss_share: share of those that bears loss.
      length_median, length_p95, length_longest: tokens of an example before the length policy.
      row_length: tokens of a row; None if any length will do.
      over: examples longer than a row.
      cut: examples that lost a part of their tokens.
      dropped: examples left out.
      split: examples that became several sequences.
      row_fill: share of the packed rows that isn't padding; None where nothing is packed.
      examples_per_row: examples (those dropped included) that the rows took, for each row.
      batch_size: rows a step.
      examples_per_step: examples_per_row * batch_size, for `MixSchedule.examples_per_step`.
      top_replacements: the most frequent (word, what replaced it, times).
      top_unknown: the most frequent (word that the lexicon doesn't know, in lower case, times).
    """

    examples: int
    is_mixed: bool
    words: int
    hits: int
    replaced: int
    unchanged: int
    hit_rate: float
    effective_ratio: float
    code_mixing_index: float
    switch_points: int
    switch_points_per_100_words: float
    tokens_per_word_before: float
    tokens_per_word_after: float
    tokens: int
    loss_share: float
    length_median: float
    length_p95: int
    length_longest: int
    row_length: int | None
    over: int
    cut: int
    dropped: int
    split: int
    row_fill: float | None
    examples_per_row: float | None
    batch_size: int | None
    examples_per_step: float | None
    top_replacements: tuple[tuple[str, str, int], ...]
    top_unknown: tuple[tuple[str, int], ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the fields by name."""
        return dataclasses.asdict(self)


class Tally:
    """Counts what a report says, example by example.

    Example:
      >>> tally = Tally()
      >>> tally.add(example)
      >>> tally.report(row_length=512).words
      29
    """

    def __init__(self):
        self._counts = collections.Counter()
        self._fates = collections.Counter()
        self._lengths: list[int] = []
        self._mixing_indices: list[float] = []
        self._replacements = collections.Counter()
        self._unknown = collections.Counter()
        self._is_mixed = False

    def add(self, example: Example) -> None:
        """Counts an example."""
        words = example.text.words
        languages = [word.changed for word in words if _is_of_a_language(word)]
        kept = [token for token in example.tokens if token.row is not None]
        self._counts.update(
            words=len(words),
            hits=sum(word.known for word in words),
            replaced=sum(word.replaced for word in words),
            changed=sum(word.changed for word in words),
            switch_points=switch_points(languages),
            before=example.tokens_before,
            after=example.tokens_after,
            tokens=len(kept),
            loss=sum(token.loss for token in kept),
        )
        self._fates[example.fate] += 1
        self._lengths.append(len(example.tokens))
        self._mixing_indices.append(code_mixing_index(languages))
        self._replacements.update((r.source, r.target) for r in example.text.replacements)
        self._unknown.update(
            word.text.lower() for word in words if not word.known and _is_of_a_language(word)
        )
        self._is_mixed |= example.is_mixed

    def report(
        self, row_length: int | None, packing: Packing | None = None, share: float = 1.0
    ) -> MixReport:
        """Returns the report on what was counted.

        Args:
          row_length: tokens of a row.
          packing: of the counted examples, which may share rows with those of other tasks.
          share: of the packed examples that are of this task.
        """
        counts = self._counts
        per_row = share * packing.examples / packing.rows if packing else None
        median, p95 = np.percentile(self._lengths, [50, 95], method="higher").tolist()
        return MixReport(
            examples=len(self._lengths),
            is_mixed=self._is_mixed,
            words=counts["words"],
            hits=counts["hits"],
            replaced=counts["replaced"],
            unchanged=counts["replaced"] - counts["changed"],
            hit_rate=_ratio(counts["hits"], counts["words"]),
            effective_ratio=_ratio(counts["replaced"], counts["words"]),
            code_mixing_index=float(np.mean(self._mixing_indices)),
            switch_points=counts["switch_points"],
            switch_points_per_100_words=100 * _ratio(counts["switch_points"], counts["words"]),
            tokens_per_word_before=_ratio(counts["before"], counts["words"]),
            tokens_per_word_after=_ratio(counts["after"], counts["words"]),
            tokens=counts["tokens"],
            loss_share=_ratio(counts["loss"], counts["tokens"]),
            length_median=median,
            length_p95=p95,
            length_longest=max(self._lengths),
            row_length=row_length,
            over=sum(length > row_length for length in self._lengths) if row_length else 0,
            cut=self._fates["cut"],
            dropped=self._fates["dropped"],
            split=self._fates["split"],
            row_fill=packing.row_fill if packing else None,
            examples_per_row=per_row,
            batch_size=packing.batch_size if packing else None,
            examples_per_step=per_row * packing.batch_size if packing else None,
            top_replacements=tuple((*pair, n) for pair, n in self._replacements.most_common(_TOP)),
            top_unknown=tuple(self._unknown.most_common(_TOP)),
        )


def code_mixing_index(languages: Sequence[bool]) -> float:
    """Returns the code-mixing index of a text, 0 (one language) to 50 (two in equal shares).

    Args:
      languages: of the words that are of a language: whether it is the other one.

    Example:
      >>> code_mixing_index([True, False, False, False])
      25.0
    """
    if not languages:
        return 0.0
    others = sum(languages)
    return 100 * (1 - max(others, len(languages) - others) / len(languages))


def switch_points(languages: Iterable[bool]) -> int:
    """Returns how often neighbours differ.

    Example:
      >>> switch_points([True, False, False, True])
      2
    """
    return sum(a != b for a, b in itertools.pairwise(languages))


def _is_of_a_language(word: Word) -> bool:
    return any(map(str.isalpha, word.text))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
