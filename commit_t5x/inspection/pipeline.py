"""Follows examples through the SeqIO pipeline of their own task."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import seqio
import tensorflow as tf

from commit_t5x.data import preprocessors
from commit_t5x.errors import InputError
from commit_t5x.mixing import schedule

Step = Callable[..., tf.data.Dataset]
Features = Mapping[str, np.ndarray | bytes]

_NUMBER = "example_number"

_TEXT_STEPS = (preprocessors.fill_prompt, preprocessors.mix_documents)
_ENCODE_STEPS = (
    preprocessors.encode_prompt_response,
    preprocessors.encode_documents,
    preprocessors.encode_question,
)


@dataclasses.dataclass(frozen=True)
class Steps:
    """The places of a task's preprocessors that inspection asks about.

    Attributes:
      text: the step that fills the prompt or mixes the document; None if there is none.
      encode: the step that makes tokens of text.
      batched: whether these steps take batches of examples.
      draws: whether epochs are numbered, as they are where they differ.
    """

    text: int | None
    encode: int
    batched: bool
    draws: bool


@dataclasses.dataclass(frozen=True)
class Trace:
    """An example on its way through the preprocessors.

    Attributes:
      fields: as it was before anything was mixed.
      texts: as it was before tokens were made.
      encoded: its tokens, whatever the length of a row.
      rows: what reaches the feature converter: one sequence, none if the example was dropped, or
        several if it was split.
      places: for each of `rows`, the places of its tokens among those of `encoded`, int32 [tokens].
    """

    fields: Features
    texts: Features
    encoded: Features
    rows: Sequence[Features]
    places: Sequence[np.ndarray]


def tokens(features: Features) -> np.ndarray:
    """Returns the token ids of a sequence: those of `inputs`, if any, and of `targets`."""
    return np.concatenate([features[name] for name in _sequences(features)])


def function(step: Step) -> Callable:
    """Returns the function of a preprocessor that may be a functools.partial."""
    return getattr(step, "func", step)


def find_steps(task: seqio.Task) -> Steps:
    """Finds the steps that inspection asks about.

    Raises:
      InputError: the task makes its tokens by none of commit_t5x.data.preprocessors.
    """
    functions = [function(step) for step in task.preprocessors]
    encode = [place for place, step in enumerate(functions) if step in _ENCODE_STEPS]
    if len(encode) != 1:
        names = ", ".join(step.__name__ for step in _ENCODE_STEPS)
        raise InputError(
            f"{task.name}: can't be inspected, as its tokens are made by none of {names} of "
            "commit_t5x.data.preprocessors; inspect a task that uses one of them"
        )
    text = next((place for place, step in enumerate(functions) if step in _TEXT_STEPS), None)
    return Steps(
        text,
        encode[0],
        batched=preprocessors.batch_examples in functions,
        draws=schedule.number_epochs in functions,
    )


def trace(
    task: seqio.Task,
    *,
    split: str,
    sequence_length: Mapping[str, int] | None,
    seed: int | None,
    start: int,
    count: int,
    epoch: int = 0,
    trim_output_features: bool = True,
) -> Iterator[Trace]:
    """Yields `count` examples from `start` on, in the data's order.

    Args:
      task: is asked for its data as `task.get_dataset` asks, without shuffling.
      split: of the task.
      sequence_length: as in SeqIO.
      seed: of the data set.
      start: examples of the epoch to leave out.
      count: examples to yield; fewer where the data end.
      epoch: which pass over the data, from 0.
      trim_output_features: as in SeqIO.
    """
    steps = find_steps(task)
    first = steps.encode if steps.text is None else steps.text
    epoch = epoch if steps.draws else 0  # else all epochs are alike
    get = functools.partial(
        _get_dataset, task, split=split, sequence_length=sequence_length, seed=seed
    )

    def singly(ds: tf.data.Dataset) -> tf.data.Dataset:
        return ds.unbatch() if steps.batched else ds

    skip = start
    if epoch:
        ds = singly(get(task.preprocessors[:first], output_features={}, num_epochs=1))
        skip += epoch * int(ds.reduce(np.int64(0), lambda total, _: total + 1))

    taps: dict[str, tf.data.Dataset] = {}

    def tap(name: str) -> Step:
        return lambda ds: taps.setdefault(name, ds)

    def window(ds: tf.data.Dataset) -> tf.data.Dataset:
        ds = tap("fields")(singly(ds).skip(skip).take(count))
        return preprocessors.batch_examples(ds) if steps.batched else ds

    # In place of the steps themselves, as SeqIO's seeds depend on how many there are.
    followed = list(task.preprocessors)
    followed[first] = _around(followed[first], before=window)
    before, after = tap("texts"), tap("encoded")
    followed[steps.encode] = _around(followed[steps.encode], before=before, after=after)
    rows = get(
        followed,
        output_features=task.output_features,
        num_epochs=epoch + 1,
        trim_output_features=trim_output_features,
    )
    # What the length policy leaves of each example is seen by what it leaves of its places.
    places = _one_by_one(
        _with_places(singly(taps["encoded"])),
        followed[steps.encode + 1 :],
        batched=steps.batched,
        sequence_length=sequence_length,
        output_features=task.output_features,
    )
    if trim_output_features:
        places = seqio.utils.trim_dataset(places, sequence_length, task.output_features)
    pairs = zip(rows.as_numpy_iterator(), places.as_numpy_iterator(), strict=True)
    by_example = itertools.groupby(pairs, key=lambda pair: int(pair[1][_NUMBER]))
    group = next(by_example, None)
    stages = tf.data.Dataset.zip((taps["fields"], singly(taps["texts"]), singly(taps["encoded"])))
    for number, (fields, texts, encoded) in enumerate(stages.as_numpy_iterator()):
        own = []
        if group is not None and group[0] == number:
            own = list(group[1])
            group = next(by_example, None)
        rows_of_it, places_of_it = [row for row, _ in own], [tokens(where) for _, where in own]
        yield Trace(fields, texts, encoded, rows_of_it, places_of_it)


def _get_dataset(
    task: seqio.Task,
    preprocessors: Sequence[Step],
    *,
    split: str,
    output_features: Mapping[str, seqio.Feature],
    **options,
) -> tf.data.Dataset:
    """Returns a task's data as they would be with other preprocessors."""
    other = seqio.Task(
        task.name, task.source, output_features=output_features, preprocessors=preprocessors
    )
    return other.get_dataset(split=split, shuffle=False, **options)


def _around(step: Step, before: Step | None = None, after: Step | None = None) -> Step:
    """Returns a preprocessor that also does something before and after another."""

    @functools.wraps(step)  # SeqIO looks at the signature
    def apply(ds: tf.data.Dataset, **options) -> tf.data.Dataset:
        ds = step(before(ds) if before else ds, **options)
        return after(ds) if after else ds

    return apply


def _with_places(ds: tf.data.Dataset) -> tf.data.Dataset:
    """Puts each token's place in place of the token, and numbers the examples."""

    def replace(number: tf.Tensor, example: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        first, places = 0, {_NUMBER: number}
        for name in _sequences(example):
            size = tf.size(example[name])
            places[name] = tf.range(first, first + size)
            first += size
        return {**example, **places}

    return ds.enumerate().map(replace)


def _one_by_one(
    ds: tf.data.Dataset,
    steps: Sequence[Step],
    *,
    batched: bool,
    sequence_length: Mapping[str, int] | None,
    output_features: Mapping[str, seqio.Feature],
) -> tf.data.Dataset:
    """Applies preprocessors to examples one at a time, so that results keep their numbers."""
    steps = [
        seqio.utils.add_kwargs_to_transform(
            step, sequence_length=sequence_length, output_features=output_features
        )
        for step in steps
        if not isinstance(step, seqio.CacheDatasetPlaceholder)
    ]

    def each(example: Mapping[str, tf.Tensor]) -> tf.data.Dataset:
        number = {_NUMBER: example[_NUMBER]}
        one = tf.data.Dataset.from_tensors({k: v for k, v in example.items() if k != _NUMBER})
        results = functools.reduce(
            lambda ds, step: step(ds), steps, one.ragged_batch(1) if batched else one
        )
        return results.map(lambda result: {**result, **number})

    # Autograph would look into the steps themselves, rather than into the functions that they map.
    return ds.flat_map(tf.autograph.experimental.do_not_convert(each))


def _sequences(features: Mapping[str, object]) -> list[str]:
    return [name for name in ("inputs", "targets") if name in features]
