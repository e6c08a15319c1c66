import pytest
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from commit_t5x.data import length_policy
from commit_t5x.errors import InputError
from commit_t5x.mixing.counts import Counts, counting


def rows(ds):
    return list(ds.unbatch().as_numpy_iterator())


def documents(*lengths):
    tokens = tf.ragged.range(1, tf.constant(lengths) + 1)
    nothing = tf.RaggedTensor.from_row_lengths(tf.zeros([0], tf.int32), [0] * len(lengths))
    return tf.data.Dataset.from_tensors({"inputs": nothing, "targets": tokens})


@pytest.mark.parametrize("lengths", [{"targets": 4}, {"inputs": 9, "targets": 9, "row": 4}])
def test_long_documents_are_split(lengths):
    split = rows(length_policy.fit_documents(documents(10, 4, 1), lengths))
    assert [row["targets"].tolist() for row in split] == [
        *([1, 2, 3, 4], [5, 6, 7, 8], [9, 10], [1, 2, 3, 4], [1])
    ]
    assert all(len(row["inputs"]) == 0 for row in split)


@pytest.mark.parametrize("lengths, options", [({"targets": 4}, {"too_long": "keep"}), (None, {})])
def test_long_documents_are_kept(lengths, options):
    kept = rows(length_policy.fit_documents(documents(10), lengths, **options))
    assert [row["targets"].tolist() for row in kept] == [list(range(1, 11))]


def examples(*shapes):
    """Examples of so many tokens of template, of `input`, of template again, and of response."""
    columns = {"inputs": [], "targets": [], "inputs_cuttable": []}
    for before, cuttable, after, response in shapes:
        prompt = before + cuttable + after
        columns["inputs"].append(list(range(1, prompt + 1)))
        columns["targets"].append(list(range(prompt + 1, prompt + response + 1)))
        columns["inputs_cuttable"].append([0] * before + [1] * cuttable + [0] * after)
    tensors = {
        name: tf.ragged.constant(column, tf.int32, ragged_rank=1)
        for name, column in columns.items()
    }
    return tf.data.Dataset.from_tensors(tensors)


def fit(ds, lengths, policy="cut_input", counted=None):
    lengths = {"row": lengths} if isinstance(lengths, int) else lengths
    with counting(counted or Counts()):
        fitted = rows(length_policy.fit_prompt_response(ds, lengths, too_long=policy))
    return [(row["inputs"].tolist(), row["targets"].tolist()) for row in fitted]


def test_the_end_of_the_input_is_cut():
    counted = Counts()
    got = fit(examples((3, 5, 2, 2), (1, 1, 1, 1), (0, 8, 1, 2)), 10, counted=counted)
    assert got == [
        ([1, 2, 3, 4, 5, 6, 9, 10], [11, 12]),
        ([1, 2, 3], [4]),
        ([1, 2, 3, 4, 5, 6, 7, 9], [10, 11]),
    ]
    assert (counted.examples, counted.cut, counted.dropped) == (3, 2, 0)


def test_what_cannot_be_cut_enough_is_dropped():
    counted = Counts()
    assert fit(examples((3, 2, 2, 2), (1, 1, 1, 1)), 6, counted=counted) == [([1, 2, 3], [4])]
    assert (counted.examples, counted.cut, counted.dropped) == (2, 0, 1)


def test_the_end_of_the_response_is_cut():
    got = fit(examples((2, 2, 1, 9), (2, 0, 0, 9), (2, 3, 2, 4), (7, 0, 0, 3)), 6, "cut_response")
    assert got == [
        ([1, 2, 5], [6, 7, 8]),  # all of the input, and then of the response what doesn't fit
        ([1, 2], [3, 4, 5, 6]),
        ([1, 2, 6, 7], [8, 9]),
    ]  # the last has no token with loss left


def test_prompt_and_response_may_have_lengths_of_their_own():
    ds = examples((2, 3, 1, 2), (2, 1, 2, 1), (5, 0, 0, 1), (1, 1, 1, 5), (1, 3, 1, 5))
    lengths = {"inputs": 4, "targets": 3}
    assert fit(ds, lengths) == [([1, 2, 3, 6], [7, 8]), ([1, 2, 4, 5], [6])]
    assert fit(ds, lengths, "cut_response") == [
        ([1, 2, 3, 6], [7, 8]),
        ([1, 2, 4, 5], [6]),
        ([1, 2, 3], [4, 5, 6]),
        ([1, 2, 3, 5], [6, 7, 8]),
    ]  # no prompt loses its end
    assert fit(ds, lengths, "drop") == []


def test_every_long_example_is_dropped_or_kept():
    ds = examples((3, 5, 2, 2), (1, 1, 1, 1))
    kept = [(list(range(1, 11)), [11, 12]), ([1, 2, 3], [4])]
    assert fit(ds, 10, "drop") == kept[1:]
    assert fit(ds, 10, "keep") == kept
    assert fit(ds, None) == kept


def test_a_prompt_needs_a_length():
    with pytest.raises(InputError, match="TASK_FEATURE_LENGTHS: no length for `inputs`"):
        length_policy.fit_prompt_response(examples((1, 1, 1, 1)), {"targets": 9})


shape = st.tuples(*[st.integers(0, 6)] * 3, st.integers(1, 6))


# Few lists of many examples: building the graph costs more than running it.
@settings(max_examples=8, phases=[Phase.generate])
@given(
    st.lists(shape, min_size=4, max_size=24),
    st.tuples(*[st.integers(2, 20)] * 3),
    st.sampled_from(["cut_input", "cut_response", "drop"]),
)
def test_what_remains_fits_in_order_with_loss_and_a_whole_template(shapes, lengths, policy):
    longest = dict(zip(("inputs", "targets", "row"), lengths, strict=True))

    def fits(inputs, targets):
        sizes = (len(inputs), len(targets), len(inputs) + len(targets))
        return all(size <= length for size, length in zip(sizes, lengths, strict=True))

    got = fit(examples(*shapes), longest, policy)
    templates = [
        {*range(1, before + 1), *range(before + cuttable + 1, before + cuttable + after + 1)}
        for before, cuttable, after, _ in shapes
    ]
    for inputs, targets in got:
        assert fits(inputs, targets)
        assert [*inputs, *targets] == sorted({*inputs, *targets})
        assert targets
        assert any(tokens <= set(inputs) for tokens in templates)
    for before, cuttable, after, response in shapes:
        tokens = list(range(1, before + cuttable + after + response + 1))
        whole = tokens[:-response], tokens[-response:]
        assert whole in got or not fits(*whole)
    if policy == "cut_response":
        assert len(got) >= len(fit(examples(*shapes), longest, "cut_input"))
