"""The mix report: how much was mixed, what that did to the tokens, and how they fill the rows."""

import collections
import dataclasses
import itertools
import re

import numpy as np

from commit_t5x.inspection.examples import Example

_TOP = 10
_RESPONSES = ("output", "answer")  # the roles of what a prompt asks for
# Fields of the report that are mere counts.
_COUNTED = (
    *("words", "hits", "replaced", "switch_points", "tokens", "cut", "dropped", "split"),
    *("copied", "copied_otherwise"),
)


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
      examples_per_step: examples_per_row * batch_size, for `MixSchedule.factors`.
      copied: responses whose first word, as mixed, also stands in the prompt.
      copied_otherwise: those in which it is of other tokens there, so that it can't be copied: the
        prompt's end has a part in them. Responses that begin with a space are spelt alike.
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
    copied: int
    copied_otherwise: int
    top_replacements: tuple[tuple[str, str, int], ...]
    top_unknown: tuple[tuple[str, int], ...]


class Tally:
    """Counts what a report says, example by example.

    Example:
      >>> tally = Tally()
      >>> tally.add(example)
      >>> tally.report(row_length=512).words
      29
    """

    def __init__(self) -> None:
        self._counts: collections.Counter[str] = collections.Counter()
        self._lengths: list[int] = []
        self._mixing_indices: list[float] = []
        self._replacements: collections.Counter[tuple[str, str]] = collections.Counter()
        self._unknown: collections.Counter[str] = collections.Counter()
        self._is_mixed = False

    def add(self, example: Example) -> None:
        """Counts an example."""
        pieces = [part.piece for part in example.text.parts]
        words = [(word, piece) for piece in pieces for word in piece.words]
        in_a_language = [pair for pair in words if any(map(str.isalpha, pair[0]))]
        languages = [piece.changed for _, piece in in_a_language]
        kept = [token for token in example.tokens if token.row is not None]
        self._counts.update(
            words=len(words),
            hits=sum(piece.known for _, piece in words),
            replaced=sum(piece.replaced for _, piece in words),
            changed=sum(piece.changed for _, piece in words),
            switch_points=sum(a != b for a, b in itertools.pairwise(languages)),
            before=example.tokens_before,
            after=example.tokens_after,
            tokens=len(kept),
            loss=sum(token.loss for token in kept),
            **_copied(example),
        )
        self._counts[example.fate] += 1
        self._lengths.append(len(example.tokens))
        others = sum(languages)
        most = max(others, len(languages) - others)
        self._mixing_indices.append(100 * (1 - most / len(languages)) if languages else 0.0)
        self._replacements.update((found.source, found.text) for found in example.text.replacements)
        self._unknown.update(word.lower() for word, piece in in_a_language if not piece.known)
        self._is_mixed |= example.is_mixed

    def report(
        self,
        row_length: int | None,
        row_fill: float | None = None,
        examples_per_row: float | None = None,
        batch_size: int | None = None,
    ) -> MixReport:
        """Returns the report on what was counted; the arguments are as in `MixReport`."""
        counts = self._counts
        words = counts["words"]
        median, p95 = np.percentile(self._lengths, [50, 95], method="higher").tolist()
        return MixReport(
            examples=len(self._lengths),
            is_mixed=self._is_mixed,
            **{name: counts[name] for name in _COUNTED},
            unchanged=counts["replaced"] - counts["changed"],
            hit_rate=_ratio(counts["hits"], words),
            effective_ratio=_ratio(counts["replaced"], words),
            code_mixing_index=float(np.mean(self._mixing_indices)),
            switch_points_per_100_words=100 * _ratio(counts["switch_points"], words),
            tokens_per_word_before=_ratio(counts["before"], words),
            tokens_per_word_after=_ratio(counts["after"], words),
            loss_share=_ratio(counts["loss"], counts["tokens"]),
            length_median=median,
            length_p95=p95,
            length_longest=max(self._lengths),
            row_length=row_length,
            over=sum(length > row_length for length in self._lengths) if row_length else 0,
            row_fill=row_fill,
            examples_per_row=examples_per_row,
            batch_size=batch_size if examples_per_row else None,
            examples_per_step=examples_per_row * batch_size if examples_per_row else None,
            top_replacements=tuple((*pair, n) for pair, n in self._replacements.most_common(_TOP)),
            top_unknown=tuple(self._unknown.most_common(_TOP)),
        )


def _copied(example: Example) -> dict[str, int]:
    """Says of a response's first word whether it stands in the prompt, and of other tokens."""
    parts = example.text.parts
    before = itertools.takewhile(lambda part: part.role not in _RESPONSES, parts)
    start = sum(len(part.piece.text) for part in before)
    text = example.text.text
    first = re.compile(r"\s*(\w+)").match(text, start)
    there = first and re.search(rf"(?<!\w){first[1]}(?!\w)", text[:start])
    if not there:
        return {}
    spellings = {
        tuple(t.id for t in example.tokens if t.start < end and t.end > begin)
        for begin, end in (first.span(1), there.span())
    }
    return {"copied": 1, "copied_otherwise": len(spellings) - 1}


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
