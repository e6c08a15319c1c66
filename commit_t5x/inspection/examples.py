"""Examples as a run sees them: text, what was replaced in it, tokens, and where the loss falls."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import seqio
import tensorflow as tf

from commit_t5x.data import preprocessors
from commit_t5x.errors import InputError
from commit_t5x.inspection import texts
from commit_t5x.mixing import schedule
from commit_t5x.vocabularies.tokenizer import Tokenizer

Step = Callable[..., tf.data.Dataset]
Features = Mapping[str, np.ndarray]

_SEQUENCES = ("inputs", "targets")
_TEXT_STEPS = (preprocessors.fill_prompt, preprocessors.mix_documents)
_ENCODE_STEPS = (
    preprocessors.encode_prompt_response,
    preprocessors.encode_documents,
    preprocessors.encode_question,
)


class Token(NamedTuple):
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
    text: texts.Text
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


def read(
    task: seqio.Task,
    *,
    split: str,
    sequence_length: Mapping[str, int] | None,
    seed: int | None,
    start: int,
    count: int,
    epoch: int = 0,
    trim_output_features: bool = True,
) -> Iterator[tuple[Example, list[Features]]]:
    """Yields examples in the data's order, each with the sequences that the converter is fed.

    Args:
      task: made of commit_t5x.data.preprocessors; asked for its data as `task.get_dataset` is.
      split, sequence_length, seed, trim_output_features: as in SeqIO.
      start: examples of the epoch to leave out.
      count: examples to yield; fewer where the data end.
      epoch: which pass over the data, from 0.

    Raises:
      InputError: the task's tokens are made by other preprocessors.
    """
    functions = [getattr(step, "func", step) for step in task.preprocessors]  # of partials
    text, encode = _find_steps(task.name, functions)
    first = encode if text is None else text
    batched = preprocessors.batch_examples in functions
    epoch = epoch if schedule.number_epochs in functions else 0  # else all epochs are alike

    def get(steps: Sequence[Step], output_features=MappingProxyType({}), **options):
        other = seqio.Task(
            task.name, task.source, output_features=output_features, preprocessors=steps
        )
        return other.get_dataset(sequence_length, split, shuffle=False, seed=seed, **options)

    def singly(apply: Step) -> Step:
        def each(ds: tf.data.Dataset) -> tf.data.Dataset:
            return preprocessors.batch_examples(apply(ds.unbatch())) if batched else apply(ds)

        return each

    if epoch:
        ds = get(task.preprocessors[:first])
        start += epoch * sum(1 for _ in (ds.unbatch() if batched else ds))
    taps: dict[str, tf.data.Dataset] = {}

    def window(ds: tf.data.Dataset) -> tf.data.Dataset:
        ds = taps["fields"] = ds.skip(start).take(count)
        return ds

    def number(ds: tf.data.Dataset) -> tf.data.Dataset:
        taps["encoded"] = ds
        return ds.scan(np.int32(0), tf.autograph.experimental.do_not_convert(_number))

    # In place of the steps themselves, as SeqIO's seeds depend on how many there are.
    steps = list(task.preprocessors)
    steps[first] = _around(steps[first], before=singly(window))
    steps[encode] = _around(steps[encode], after=singly(number))
    ds = get(
        steps, task.output_features, num_epochs=epoch + 1, trim_output_features=trim_output_features
    )
    rows = ds.as_numpy_iterator()
    row, total = next(rows, None), 0
    reader = texts.Reader(task.preprocessors[first])
    tokenizer = task.output_features["targets"].vocabulary.tokenizer
    stages = tf.data.Dataset.zip((taps["fields"].map(_with_factor), taps["encoded"]))
    for fields, encoded in stages.as_numpy_iterator():
        sequence = _joined(encoded)
        places = []  # of the tokens of each of the example's rows
        while row is not None and _joined(row)[0] < total + len(sequence):
            places.append({name: row[name] - total for name in _SEQUENCES})
            row = next(rows, None)
        total += len(sequence)
        example = _example(fields, sequence, places, reader, tokenizer)
        yield example, [{name: sequence[at] for name, at in row_.items()} for row_ in places]


def _find_steps(name: str, functions: Sequence[Callable]) -> tuple[int | None, int]:
    """Returns the places of the steps that make text, if any, and tokens."""
    encode = [place for place, step in enumerate(functions) if step in _ENCODE_STEPS]
    if len(encode) != 1:
        known = ", ".join(step.__name__ for step in _ENCODE_STEPS)
        raise InputError(
            f"{name}: can't be inspected, as its tokens are made by none of {known} of "
            "commit_t5x.data.preprocessors; inspect a task that uses one of them"
        )
    text = next((place for place, step in enumerate(functions) if step in _TEXT_STEPS), None)
    return text, encode[0]


def _around(step: Step, before: Step | None = None, after: Step | None = None) -> Step:
    """Returns a preprocessor that also does something before or after another."""

    @functools.wraps(step)  # SeqIO looks at the signature
    def apply(ds: tf.data.Dataset, **options) -> tf.data.Dataset:
        ds = step(before(ds) if before else ds, **options)
        return after(ds) if after else ds

    return apply


def _number(total: tf.Tensor, example: Mapping[str, tf.Tensor]):
    """Puts in place of each token its number among those of all examples.

    By them one sees what the length policy leaves, which asks for lengths only.
    """
    for name in _SEQUENCES:
        end = total + tf.size(example[name])
        example, total = {**example, name: tf.range(total, end)}, end
    return total, example


def _with_factor(fields: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
    if "position" not in fields:
        return fields
    factors = schedule.MixSchedule().factor_tf(fields["position"][tf.newaxis])
    return {**fields, "factor": factors[0]}


def _joined(features: Features) -> np.ndarray:
    return np.concatenate([features[name] for name in _SEQUENCES])


def _example(
    fields: Features,
    sequence: np.ndarray,
    rows: Sequence[Features],
    reader: texts.Reader,
    tokenizer: Tokenizer,
) -> Example:
    """Returns an example of its fields, its tokens, and their places in the rows it became."""
    text = reader.read(fields)
    both = [side.encode("utf-8") for side in (text.source, text.text)]
    ids, starts, (length, _) = tokenizer.encode_batch(both)
    before, after = map(_in_characters, both, (starts[:length], starts[length:]))
    return Example(
        index=int(fields["index"]),
        text=text,
        tokens=_tokens(sequence, ids[length:], after, len(text.text), rows),
        rows=len(rows),
        is_mixed=reader.is_mixed,
        tokens_before=_count(before, [(p.piece.source, p.mixable) for p in text.parts]),
        tokens_after=_count(after, [(p.piece.text, p.mixable) for p in text.parts]),
    )


def _tokens(
    sequence: np.ndarray, ids: np.ndarray, starts: np.ndarray, length: int, rows: Sequence[Features]
) -> tuple[Token, ...]:
    # Before the text's tokens there may be a BOS; or the first of them were cut by the very step
    # that made them. EOS follows them.
    skipped = max(len(ids) + 1 - len(sequence), 0)
    body = ids[skipped:]
    lead = next((n for n in (0, 1) if np.array_equal(sequence[n : n + len(body)], body)), None)
    if lead is None:
        raise AssertionError(f"the tokens {sequence} aren't those of the text, {ids}")
    ids = [*ids[:skipped], *sequence]
    # A token ends where the next one begins that doesn't begin with it.
    ends = np.append(starts, length)[np.searchsorted(starts, starts, side="right")]
    spans = [(0, 0)] * lead + list(zip(starts.tolist(), ends.tolist(), strict=True))
    spans += [(length, length)] * (len(ids) - len(spans))
    fates = {
        place + skipped: (name == "targets", number)
        for number, row in enumerate(rows)
        for name in _SEQUENCES
        for place in row[name].tolist()
    }
    return tuple(
        Token(int(id_), *span, *fates.get(place, (False, None)))
        for place, (id_, span) in enumerate(zip(ids, spans, strict=True))
    )


def _in_characters(text: bytes, places: np.ndarray) -> np.ndarray:
    """Turns places in the UTF-8 bytes of a text into places in its characters."""
    begins = (np.frombuffer(text, np.uint8) & 0xC0) != 0x80
    return np.cumsum(np.append(begins, True))[places] - 1


def _count(starts: np.ndarray, parts: Sequence[tuple[str, bool]]) -> int:
    """Counts the tokens that begin in some parts of a text."""
    counted = [flag for _, flag in parts] + [False]
    return int(np.repeat(counted, [*(len(text) for text, _ in parts), 1])[starts].sum())
