import functools

import numpy as np
import pytest
import seqio
import tensorflow as tf

from commit_t5x.data import preprocessors
from commit_t5x.errors import InputError
from commit_t5x.inspection import pipeline

# Rows so short that examples are cut, dropped or split.
LENGTHS = {"inputs": 80, "targets": 80, "row": 80}
# Task -> the policy for what is too long.
TASKS = {
    "alpaca_codemix_hi": ("fit_prompt_response", "cut_input"),
    "wikipedia_codemix_el": ("fit_documents", "keep"),
    "wikipedia_th": ("fit_documents", "split"),  # cached as tokens
    "wikipedia_codemix_th": ("fit_documents", "split"),
}


@pytest.fixture
def get_task(samples, bind):
    def get_task(name):
        function, policy = TASKS[name]
        bind(f"length_policy.{function}.too_long", policy)
        return seqio.get_mixture_or_task(name)

    return get_task


def same(got, expected):
    assert len(got) == len(expected) > 0
    for a, b in zip(got, expected, strict=True):
        assert set(b) <= set(a)
        for name, value in b.items():
            np.testing.assert_array_equal(a[name], value)


@pytest.mark.parametrize("name", ["alpaca_codemix_hi", "wikipedia_th", "wikipedia_codemix_th"])
def test_rows_are_those_of_the_task(get_task, name):
    task = get_task(name)
    ds = task.get_dataset(LENGTHS, split="train", shuffle=False, seed=3)
    traces = list(
        pipeline.trace(task, split="train", sequence_length=LENGTHS, seed=3, start=0, count=10**6)
    )
    same([row for trace in traces for row in trace.rows], list(ds.as_numpy_iterator()))
    for trace in traces:
        for row, places in zip(trace.rows, trace.places, strict=True):
            encoded = pipeline.tokens(trace.encoded)
            np.testing.assert_array_equal(encoded[places], pipeline.tokens(row))
    # Some examples are dropped, or split.
    assert {len(trace.rows) for trace in traces} >= ({0, 1} if "alpaca" in name else {1, 2})


def test_a_window_of_a_later_epoch(get_task):
    task = get_task("wikipedia_codemix_el")
    options = {"split": "train", "seed": 3}
    ds = task.get_dataset(None, shuffle=False, num_epochs=2, trim_output_features=False, **options)
    size = sum(1 for _ in task.source.get_dataset("train", shuffle=False))
    options |= {"sequence_length": None, "start": 5, "count": 3}
    first, second = (list(pipeline.trace(task, epoch=epoch, **options)) for epoch in (0, 1))
    for epoch, traces in enumerate((first, second)):
        expected = ds.skip(epoch * size + 5).take(3).as_numpy_iterator()
        same([row for trace in traces for row in trace.rows], list(expected))
        assert [trace.fields["index"] for trace in traces] == [5, 6, 7]
    assert [t.texts["text"] for t in first] != [t.texts["text"] for t in second]


def test_a_task_without_draws_is_alike_in_every_epoch(get_task):
    options = {"split": "train", "sequence_length": LENGTHS, "seed": 3, "start": 1, "count": 2}
    traces = [
        list(pipeline.trace(get_task("wikipedia_th"), epoch=epoch, **options)) for epoch in (0, 2)
    ]
    assert [t.texts["text"] for t in traces[0]] == [t.texts["text"] for t in traces[1]]


def test_a_task_of_other_preprocessors_is_refused():
    source = seqio.FunctionDataSource(
        lambda split, shuffle_files, seed=None: tf.data.Dataset.range(3), splits=["train"]
    )
    task = seqio.Task("foreign", source, output_features={}, preprocessors=[])
    with pytest.raises(InputError, match="foreign: can't be inspected.*encode_documents"):
        pipeline.find_steps(task)


def test_steps_are_found_within_partials():
    source = seqio.FunctionDataSource(
        lambda split, shuffle_files, seed=None: tf.data.Dataset.range(3), splits=["train"]
    )
    steps = [
        functools.partial(preprocessors.fill_prompt, template_blocked=False),
        preprocessors.encode_prompt_response,
    ]
    task = seqio.Task("partials", source, output_features={}, preprocessors=steps)
    assert pipeline.find_steps(task) == pipeline.Steps(0, 1, batched=False, draws=False)
