import logging

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from commit_t5x.data import length_policy
from commit_t5x.errors import InputError


def rows(ds):
    return list(ds.unbatch().as_numpy_iterator())


def documents(*lengths):
    tokens = tf.ragged.range(1, tf.constant(lengths) + 1)
    return tf.data.Dataset.from_tensors({"targets": tokens, "targets_loss_weights": tokens})


def test_long_documents_are_split():
    split = rows(length_policy.fit_documents(documents(10, 4, 1), {"targets": 4}))
    assert [row["targets"].tolist() for row in split] == [
        *([1, 2, 3, 4], [5, 6, 7, 8], [9, 10], [1, 2, 3, 4], [1])
    ]
    assert all((row["targets"] == row["targets_loss_weights"]).all() for row in split)


@pytest.mark.parametrize("lengths, options", [({"targets": 4}, {"too_long": "keep"}), (None, {})])
def test_long_documents_are_kept(lengths, options):
    kept = rows(length_policy.fit_documents(documents(10), lengths, **options))
    assert [row["targets"].tolist() for row in kept] == [list(range(1, 11))]


def examples(*shapes):
    """Examples of so many tokens of template, of `input`, of template again, and of response."""
    columns = {"targets": [], "targets_loss_weights": [], "targets_cuttable": []}
    for before, cuttable, after, response in shapes:
        length = before + cuttable + after + response
        columns["targets"].append(list(range(1, length + 1)))
        columns["targets_loss_weights"].append([0] * (length - response) + [1] * response)
        flags = [0] * before + [1] * cuttable + [0] * (after + response)
        columns["targets_cuttable"].append(flags)
    tensors = {name: tf.ragged.constant(column) for name, column in columns.items()}
    return tf.data.Dataset.from_tensors(tensors)


def fit(ds, longest, policy="cut_input"):
    return rows(length_policy.fit_prompt_response(ds, {"targets": longest}, too_long=policy))


def test_the_end_of_the_input_is_cut(caplog):
    first, second, third = fit(examples((3, 5, 2, 2), (1, 1, 1, 1), (0, 8, 1, 2)), 10)
    assert first["targets"].tolist() == [1, 2, 3, 4, 5, 6, 9, 10, 11, 12]
    assert first["targets_loss_weights"].tolist() == [0] * 8 + [1] * 2
    assert second["targets"].tolist() == [1, 2, 3, 4]
    assert third["targets"].tolist() == [1, 2, 3, 4, 5, 6, 7, 9, 10, 11]
    assert "over the row's 10 tokens so far: 2 cut, 0 dropped" in caplog.text


def test_what_cannot_be_cut_enough_is_dropped(caplog):
    [row] = fit(examples((3, 2, 2, 2), (1, 1, 1, 1)), 6)
    assert row["targets"].tolist() == [1, 2, 3, 4]
    assert "0 cut, 1 dropped" in caplog.text


def test_the_end_of_the_response_is_cut():
    got = fit(examples((2, 2, 1, 9), (2, 0, 0, 9), (2, 3, 2, 4), (7, 0, 0, 3)), 6, "cut_response")
    assert [row["targets"].tolist() for row in got] == [
        [1, 2, 5, 6, 7, 8],  # all of the input, and then of the response what doesn't fit
        [1, 2, 3, 4, 5, 6],
        [1, 2, 6, 7, 8, 9],
    ]  # the last has no token with loss left
    assert [row["targets_loss_weights"].tolist() for row in got] == [
        *([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1])
    ]


def test_every_long_example_is_dropped_or_kept():
    ds = examples((3, 5, 2, 2), (1, 1, 1, 1))
    assert [len(row["targets"]) for row in fit(ds, 10, "drop")] == [4]
    assert [len(row["targets"]) for row in fit(ds, 10, "keep")] == [12, 4]
    assert [len(row["targets"]) for row in rows(length_policy.fit_prompt_response(ds, None))] == [
        *(12, 4)
    ]


shape = st.tuples(*[st.integers(0, 6)] * 3, st.integers(1, 6))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(shape, min_size=1, max_size=6),
    st.integers(2, 20),
    st.sampled_from(["cut_input", "cut_response", "drop"]),
)
def test_what_remains_fits_in_order_with_loss(shapes, longest, policy):
    whole = rows(examples(*shapes))
    got = fit(examples(*shapes), longest, policy)
    for row in got:
        tokens = row["targets"].tolist()
        assert len(tokens) == len(row["targets_loss_weights"]) <= longest
        assert tokens == sorted(set(tokens))
        assert row["targets_loss_weights"].sum() > 0
    untouched = [r["targets"].tolist() for r in whole if len(r["targets"]) <= longest]
    assert [t for t in untouched if t not in [r["targets"].tolist() for r in got]] == []
    if policy == "cut_response":
        assert len(got) >= len(fit(examples(*shapes), longest, "cut_input"))


def test_counts_are_logged_less_and_less_often(caplog):
    counter = length_policy._TooLong(8)
    with caplog.at_level(logging.WARNING):
        for _ in range(100):
            counter.count(np.array([True, False, True]), np.array([3, 4, 0]))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 7
    assert lines[-1].endswith("8 tokens so far: 64 cut, 64 dropped.")


@pytest.mark.parametrize("fit", [length_policy.fit_prompt_response, length_policy.fit_documents])
def test_unknown_policies_name_the_known_ones(fit):
    with pytest.raises(InputError, match="too_long 'x': unknown; use .*keep"):
        fit(documents(3), {"targets": 2}, too_long="x")
