import numpy as np
import pytest
import seqio
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from commit_t5x.data.feature_converters import DecoderFeatureConverter
from commit_t5x.errors import InputError


class Vocabulary(seqio.PassThroughVocabulary):
    bos_id = 1


VOCABULARY = Vocabulary(100)


def convert(examples, length, **options):
    spec = tf.TensorSpec([None], tf.int32)
    ds = tf.data.Dataset.from_generator(
        lambda: ({"targets": t, "targets_loss_weights": w} for t, w in examples),
        output_signature={"targets": spec, "targets_loss_weights": spec},
    )
    converter = DecoderFeatureConverter(vocabulary=VOCABULARY, **options)
    lengths = {"targets": length, "targets_loss_weights": length}
    return list(converter(ds, lengths).as_numpy_iterator())


EXAMPLES = [([5, 6, 2], [0, 1, 1]), ([7, 2], [1, 1])]


def as_lists(row):
    return {name.removeprefix("decoder_"): value.tolist() for name, value in row.items()}


def test_segments_as_in_the_docstring():
    [row] = convert(EXAMPLES, 6)
    assert as_lists(row) == {
        "target_tokens": [5, 6, 2, 7, 2, 0],
        "input_tokens": [1, 5, 6, 1, 7, 0],
        "loss_weights": [0, 1, 1, 1, 1, 0],
        "segment_ids": [1, 1, 1, 2, 2, 0],
        "positions": [0, 1, 2, 0, 1, 0],
    }


def test_stream_as_in_the_docstring():
    [row] = convert(EXAMPLES, 6, packing="stream")
    assert as_lists(row) == {
        "target_tokens": [5, 6, 2, 1, 7, 2],
        "input_tokens": [1, 5, 6, 2, 1, 7],
        "loss_weights": [0, 1, 1, 0, 1, 1],
    }


@pytest.mark.parametrize("packing", ["segments", "stream"])
def test_unpacked_rows_hold_one_example(packing):
    first, second = convert(EXAMPLES, 4, pack=False, packing=packing)
    assert as_lists(second) == {
        "target_tokens": [7, 2, 0, 0],
        "input_tokens": [1, 7, 2, 0],
        "loss_weights": [1, 1, 0, 0],
    }


def naive_stream(examples, length):
    """The paper's packing, restated: one list of tokens and one of weights, cut into rows."""
    tokens, weights = [], []
    for targets, loss in examples:
        tokens += [1, *targets]
        weights += [0, *loss]
    rows = []
    start = 0
    while start + 1 < len(tokens):
        pad = [0] * (start + length + 1 - len(tokens))
        rows.append(
            {
                "target_tokens": (tokens[start + 1 : start + length + 1] + pad)[:length],
                "input_tokens": (tokens[start : start + length] + pad)[:length],
                "loss_weights": (weights[start + 1 : start + length + 1] + pad)[:length],
            }
        )
        start += length
    return rows


sequences = st.lists(
    st.lists(st.tuples(st.integers(3, 99), st.integers(0, 1)), min_size=1, max_size=40),
    min_size=1,
    max_size=150,
).map(lambda groups: [tuple(map(list, zip(*group, strict=True))) for group in groups])


@settings(max_examples=4, deadline=None, phases=[Phase.generate])
@given(sequences, st.integers(2, 17))
def test_stream_is_the_naive_one(examples, length):
    got = [as_lists(row) for row in convert(examples, length, packing="stream")]
    assert got == naive_stream(examples, length)


def test_segments_hold_each_example_once_and_whole():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 41, size=200)
    examples = [(rng.integers(3, 99, n).tolist(), rng.integers(0, 2, n).tolist()) for n in lengths]
    found = []
    for row in map(as_lists, convert(examples, 40)):
        for segment in range(1, max(row["segment_ids"]) + 1):
            places = [i for i, s in enumerate(row["segment_ids"]) if s == segment]
            targets = [row["target_tokens"][i] for i in places]
            assert [row["input_tokens"][i] for i in places] == [1, *targets[:-1]]
            assert [row["positions"][i] for i in places] == list(range(len(places)))
            found.append((targets, [row["loss_weights"][i] for i in places]))
    assert sorted(found) == sorted(examples)


def naive_filled(examples, length):
    """Documents cut where a row ends, each part a segment."""
    rows, row = [], []
    for targets, loss in examples:
        while targets:
            room = length - len(row)
            segment = row[-1][3] + 1 if row else 1
            part = zip([1, *targets], targets[:room], loss, strict=False)
            row += [(*values, segment, place) for place, values in enumerate(part)]
            targets, loss = targets[room:], loss[room:]
            if len(row) == length:
                rows, row = [*rows, row], []
    if row:
        rows.append(row + [(0,) * 5] * (length - len(row)))
    names = ("input_tokens", "target_tokens", "loss_weights", "segment_ids", "positions")
    return [dict(zip(names, map(list, zip(*row, strict=True)), strict=True)) for row in rows]


@settings(max_examples=4, deadline=None, phases=[Phase.generate])
@given(sequences, st.integers(2, 17))
def test_filled_is_the_naive_one(examples, length):
    got = [as_lists(row) for row in convert(examples, length, packing="filled")]
    assert got == naive_filled(examples, length)


def test_filled_rows_have_no_gaps():
    examples = [([5] * 1000, [1] * 1000), ([6] * 7, [1] * 7), ([7] * 293, [1] * 293)]
    rows = [as_lists(row) for row in convert(examples, 100, packing="filled")]
    assert len(rows) == 13
    assert all(min(row["segment_ids"]) == 1 for row in rows)
    assert [max(row["segment_ids"]) for row in rows] == [1] * 10 + [2, 1, 1]


def test_whole_sequences_must_fit_their_row():
    assert len(convert([([5] * 6, [1] * 6)], 6, packing="segments")) == 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="sequence longer than its row .*7.*6"):
        convert([([5] * 3, [1] * 3), ([5] * 7, [1] * 7)], 6, packing="segments")


def test_repeated_data_streams_without_end():
    tokens = tf.RaggedTensor.from_row_lengths([5, 6, 2], [3])
    ds = tf.data.Dataset.from_tensor_slices({"targets": tokens, "targets_loss_weights": tokens})
    ds = ds.repeat()
    converter = DecoderFeatureConverter(packing="stream", vocabulary=VOCABULARY)
    rows = converter(ds, {"targets": 3, "targets_loss_weights": 3}).take(100)
    stream = np.concatenate([row["decoder_input_tokens"] for row in rows.as_numpy_iterator()])
    assert stream.tolist() == ([1, 5, 6, 2] * 75)


def test_inputs_and_targets_become_a_prefix():
    ds = tf.data.Dataset.from_tensors(
        {"inputs": np.array([8, 9], np.int32), "targets": np.array([7, 2], np.int32)}
    )
    converter = DecoderFeatureConverter(pack=False, vocabulary=VOCABULARY)
    [row] = converter(ds, {"inputs": 3, "targets": 3}).as_numpy_iterator()
    assert as_lists(row) == {
        "target_tokens": [8, 9, 7, 2, 0, 0],
        "input_tokens": [1, 8, 9, 7, 2, 0],
        "loss_weights": [0, 0, 1, 1, 0, 0],
        "causal_attention": [1, 1, 1, 0, 0, 0],
    }


def prefix_rows(converter, inputs, targets, lengths):
    example = {"inputs": np.array(inputs, np.int32), "targets": np.array(targets, np.int32)}
    return list(converter(tf.data.Dataset.from_tensors(example), lengths).as_numpy_iterator())


@settings(max_examples=30)
@given(
    inputs=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    targets=st.lists(st.integers(1, 9), min_size=1, max_size=4),
)
def test_prefix_rows_are_seqios(inputs, targets):
    lengths = {"inputs": 5, "targets": 4}
    converter = DecoderFeatureConverter(pack=False, vocabulary=VOCABULARY)
    [ours] = prefix_rows(converter, inputs, targets, lengths)
    seqios = seqio.PrefixLMFeatureConverter(pack=False, bos_id=1)
    [theirs] = prefix_rows(seqios, inputs, targets, lengths)
    assert as_lists(ours) == as_lists(theirs)


def test_a_token_of_id_0_in_a_prefix_row_is_text():
    converter = DecoderFeatureConverter(pack=False, vocabulary=VOCABULARY)
    [row] = prefix_rows(converter, [0, 9], [0, 2, 0], {"inputs": 3, "targets": 4})
    assert as_lists(row) == {
        "target_tokens": [0, 9, 0, 2, 0, 0, 0],
        "input_tokens": [1, 0, 9, 0, 2, 0, 0],
        "loss_weights": [0, 0, 1, 1, 1, 0, 0],
        "causal_attention": [1, 1, 1, 0, 0, 0, 0],
    }


def test_unknown_packing_is_refused():
    with pytest.raises(InputError, match="use one of segments, filled, stream"):
        DecoderFeatureConverter(packing="rows", vocabulary=VOCABULARY)
