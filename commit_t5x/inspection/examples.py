"""Examples as a run sees them: text, what was replaced in it, tokens, and where the loss falls."""

import bisect
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import seqio
import tensorflow as tf

from commit_t5x.inspection import pipeline, readers
from commit_t5x.inspection.aligned import AlignedText

_BATCH = 128  # examples tokenised at a time


@dataclasses.dataclass(frozen=True)
class Token:
    """A token of an example.

    Attributes:
      id: in the vocabulary.
      start, end: the characters of the text that it stands for. The byte tokens of one character
        all stand for it; BOS and EOS stand for none.
      loss: whether it bears loss.
      row: which of the example's rows it is in; None if it was cut away.
    """

    id: int
    start: int
    end: int
    loss: bool
    row: int | None


@dataclasses.dataclass(frozen=True)
class Example:
    """An example as a run sees it.

    Attributes:
      index: its place in the data.
      text: its text, with what was replaced.
      tokens: of the text, and BOS and EOS where the task puts them.
      rows: the sequences it became: 0 if it was dropped, several if it was split.
      is_mixed: whether a mixer saw it.
      tokens_before, tokens_after: tokens of its words before and after mixing.
    """

    index: int
    text: AlignedText
    tokens: tuple[Token, ...]
    rows: int
    is_mixed: bool
    tokens_before: int
    tokens_after: int

    @property
    def fate(self) -> str:
        """What the length policy did to it: "whole", "cut", "dropped" or "split"."""
        if not self.rows:
            return "dropped"
        if any(token.row is None for token in self.tokens):
            return "cut"
        return "split" if self.rows > 1 else "whole"


def read(task: seqio.Task, **options) -> Iterator[tuple[Example, Sequence[pipeline.Features]]]:
    """Yields examples, each with its sequences as they reach the feature converter.

    Args:
      task: made of commit_t5x.data.preprocessors.
      **options: those of `pipeline.trace`.

    Raises:
      InputError: the task's tokens are made by other preprocessors.
    """
    reader = readers.make_reader(task)
    encode = task.output_features["targets"].vocabulary.encode_with_offsets_tf
    traces = pipeline.trace(task, **options)
    while batch := list(itertools.islice(traces, _BATCH)):
        texts = reader.read(batch)
        before = _encode(encode, [text.source for text in texts])
        after = _encode(encode, [text.text for text in texts])
        for trace, text, (_, source_starts), (ids, starts) in zip(
            batch, texts, before, after, strict=True
        ):
            example = Example(
                index=int(trace.fields["index"]),
                text=text,
                tokens=_tokens(trace, ids, starts, len(text.text)),
                rows=len(trace.rows),
                is_mixed=reader.mixer is not None,
                tokens_before=_count(source_starts, text.mixable_source),
                tokens_after=_count(starts, text.mixable),
            )
            yield example, trace.rows


def _encode(encode, texts: Sequence[str]) -> list[tuple[list[int], list[int]]]:
    """Returns token ids, and the characters at which the tokens begin, of each text."""
    ids, starts = encode(tf.constant([text.encode("utf-8") for text in texts]))
    return [
        (row_ids, _in_characters(text, row_starts))
        for text, row_ids, row_starts in zip(texts, ids.to_list(), starts.to_list(), strict=True)
    ]


def _in_characters(text: str, places: list[int]) -> list[int]:
    """Turns places in the UTF-8 bytes of a text into places in its characters."""
    if text.isascii():
        return places
    starts = list(itertools.accumulate((len(c.encode("utf-8")) for c in text), initial=0))
    return [bisect.bisect_right(starts, place) - 1 for place in places]


def _count(starts: Iterable[int], parts: Sequence[range]) -> int:
    """Counts the tokens that begin in some parts of a text."""
    return sum(any(start in part for part in parts) for start in starts)


def _tokens(
    trace: pipeline.Trace, ids: list[int], starts: list[int], length: int
) -> tuple[Token, ...]:
    """Returns an example's tokens.

    Args:
      trace: of the example.
      ids: the tokens of its text.
      starts: the characters of the text at which they begin.
      length: characters of the text.
    """
    sequence = pipeline.tokens(trace.encoded).tolist()
    # Before the text's tokens there may be a BOS; or the first of them were cut by the very step
    # that made them. EOS follows them.
    skipped = max(len(ids) + 1 - len(sequence), 0)
    body = ids[skipped:]
    lead = next((n for n in (0, 1) if sequence[n : n + len(body)] == body), None)
    if lead is None:
        raise AssertionError(f"the tokens {sequence} aren't those of the text, {ids}")
    fates = {}
    for row, (features, places) in enumerate(zip(trace.rows, trace.places, strict=True)):
        if pipeline.tokens(features).tolist() != [sequence[place] for place in places]:
            raise AssertionError(
                f"row {row} of example {trace.fields['index']} isn't of its tokens"
            )
        for place, loss in zip(places.tolist(), _loss(features).tolist(), strict=True):
            fates[place] = (bool(loss), row)

    ends = _ends(starts, length)
    spans = [(0, 0)] * lead + list(zip(starts, ends, strict=True))[skipped:]
    spans += [(length, length)] * (len(sequence) - len(spans))
    cut = zip(ids[:skipped], starts, ends, strict=False)
    return (
        *(Token(id_, start, end, False, None) for id_, start, end in cut),
        *(
            Token(id_, *span, *fates.get(place, (False, None)))
            for place, (id_, span) in enumerate(zip(sequence, spans, strict=True))
        ),
    )


def _ends(starts: list[int], length: int) -> list[int]:
    """Returns where tokens end: where the next one begins that doesn't begin with them."""
    ends, following = [], length
    for place in reversed(range(len(starts))):
        if place + 1 < len(starts) and starts[place + 1] != starts[place]:
            following = starts[place + 1]
        ends.append(following)
    return ends[::-1]


def _loss(features: pipeline.Features) -> np.ndarray:
    return np.repeat([0, 1], [len(features["inputs"]), len(features["targets"])])
