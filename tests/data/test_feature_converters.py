import functools
import types

import naive_original
import numpy as np
import pytest
import seqio
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from commit_t5x.data.feature_converters import DecoderFeatureConverter
from commit_t5x.errors import InputError

VOCABULARY = types.SimpleNamespace(bos_id=1)


def dataset(examples):
    spec = tf.TensorSpec([None], tf.int32)
    return tf.data.Dataset.from_generator(
        lambda: ({"inputs": i, "targets": t} for i, t in examples),
        output_signature={"inputs": spec, "targets": spec},
    )


def convert(examples, length, **options):
    converter = DecoderFeatureConverter(vocabulary=VOCABULARY, **options)
    return as_rows(converter(dataset(examples), {"row": length}))


def as_rows(ds):
    return [as_lists(row) for row in ds.as_numpy_iterator()]


def as_lists(row):
    return {name.removeprefix("decoder_"): value.tolist() for name, value in row.items()}


EXAMPLES = [([5], [6, 2]), ([], [7, 2])]


def test_segments_as_in_the_docstring():
    [row] = convert(EXAMPLES, 6)
    assert row == {
        "target_tokens": [5, 6, 2, 7, 2, 0],
        "input_tokens": [1, 5, 6, 1, 7, 0],
        "loss_weights": [0, 1, 1, 1, 1, 0],
        "segment_ids": [1, 1, 1, 2, 2, 0],
        "positions": [0, 1, 2, 0, 1, 0],
    }


def test_stream_as_in_the_docstring():
    [row] = convert(EXAMPLES, 6, packing="stream")
    assert row == {
        "target_tokens": [5, 6, 2, 1, 7, 2],
        "input_tokens": [1, 5, 6, 2, 1, 7],
        "loss_weights": [0, 1, 1, 0, 1, 1],
    }


@pytest.mark.parametrize("packing", ["segments", "stream"])
def test_unpacked_rows_hold_one_example(packing):
    first, second = convert(EXAMPLES, 4, pack=False, packing=packing)
    assert second == {
        "target_tokens": [7, 2, 0, 0],
        "input_tokens": [1, 7, 2, 0],
        "loss_weights": [1, 1, 0, 0],
    }


def papers_stream(examples, length):
    """Yields the rows of the paper's packing; what is left at the end is padded."""
    sequences = [([1, *i, *t], [0] * (1 + len(i)) + [1] * len(t)) for i, t in examples]
    filler = ([0] * (length - 1),) * 2
    names = ("input_tokens", "target_tokens", "loss_weights")
    for arrays in naive_original.batches([*sequences, filler], 1, length):
        yield dict(zip(names, (array[0].tolist() for array in arrays), strict=True))


tokens = st.integers(3, 99)
sequences = st.lists(
    st.tuples(st.lists(tokens, max_size=20), st.lists(tokens, min_size=1, max_size=20)),
    min_size=1,
    max_size=150,
)


@settings(max_examples=4, phases=[Phase.generate])
@given(sequences, st.integers(2, 17))
def test_stream_is_the_papers(examples, length):
    got = convert(examples, length, packing="stream")
    assert got == list(papers_stream(examples, length))


def test_segments_hold_each_example_once_and_whole():
    rng = np.random.default_rng(0)
    lengths = zip(rng.integers(0, 21, size=200), rng.integers(1, 21, size=200), strict=True)
    examples = [tuple(rng.integers(3, 99, n).tolist() for n in pair) for pair in lengths]
    found = []
    for row in convert(examples, 40):
        for segment in range(1, max(row["segment_ids"]) + 1):
            places = [i for i, s in enumerate(row["segment_ids"]) if s == segment]
            tokens = [row["target_tokens"][i] for i in places]
            assert [row["input_tokens"][i] for i in places] == [1, *tokens[:-1]]
            assert [row["positions"][i] for i in places] == list(range(len(places)))
            weights = [row["loss_weights"][i] for i in places]
            assert weights == sorted(weights)
            prompt = weights.count(0)
            found.append((tokens[:prompt], tokens[prompt:]))
    assert sorted(found) == sorted(examples)


def naive_filled(examples, length):
    """Documents cut where a row ends, each part a segment."""
    rows, row = [], []
    for inputs, targets in examples:
        loss = [0] * len(inputs) + [1] * len(targets)
        targets = inputs + targets
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


@settings(max_examples=4, phases=[Phase.generate])
@given(sequences, st.integers(2, 17))
def test_filled_is_the_naive_one(examples, length):
    got = convert(examples, length, packing="filled")
    assert got == naive_filled(examples, length)


@pytest.mark.parametrize("pack", [True, False])
def test_whole_sequences_must_fit_their_row(pack):
    assert len(convert([([5] * 2, [5] * 4)], 6, pack=pack)) == 1
    with pytest.raises(tf.errors.InvalidArgumentError, match="sequence longer than its row.*7.*6"):
        convert([([], [5] * 3), ([5] * 3, [5] * 4)], 6, pack=pack)


def test_repeated_data_streams_without_end():
    ds = dataset([([5], [6, 2])]).repeat()
    converter = DecoderFeatureConverter(packing="stream", vocabulary=VOCABULARY)
    rows = converter(ds, {"row": 3}).take(100)
    stream = np.concatenate([row["decoder_input_tokens"] for row in rows.as_numpy_iterator()])
    assert stream.tolist() == ([1, 5, 6, 2] * 75)


LENGTHS = {"inputs": 25, "targets": 15}
text = st.integers(1, 9)
examples = st.lists(
    st.tuples(st.lists(text, max_size=25), st.lists(text, min_size=1, max_size=15)),
    min_size=1,
    max_size=40,  # SeqIO packs so many examples at a time as a row has tokens
)


GIVEN = []


@functools.cache
def pipelines(pack, **lengths):
    """Our converter's over GIVEN, and SeqIO's; to make them takes longer than to run them."""
    converters = (
        DecoderFeatureConverter(pack=pack, vocabulary=VOCABULARY),
        seqio.DecoderFeatureConverter(pack=pack, bos_id=VOCABULARY.bos_id),
    )
    return [converter(dataset(GIVEN), lengths) for converter in converters]


def by_both(pack, examples, lengths):
    """Rows of our converter and of SeqIO's."""
    GIVEN[:] = examples
    return [as_rows(ds) for ds in pipelines(pack, **lengths)]


def without_bos_in_padding(row):
    """SeqIO begins the padding of a packed row with BOS, too."""
    pairs = zip(row["input_tokens"], row["segment_ids"], strict=True)
    return {**row, "input_tokens": [token * (segment > 0) for token, segment in pairs]}


@settings(max_examples=4, phases=[Phase.generate])
@given(examples)
def test_packed_rows_are_seqios_but_for_its_attention_to_whole_prompts(examples):
    ours, theirs = by_both(True, examples, LENGTHS)
    assert all(row.pop("causal_attention") for row in theirs)
    assert ours == [without_bos_in_padding(row) for row in theirs]


@settings(max_examples=4, phases=[Phase.generate])
@given(examples)
def test_unpacked_rows_are_seqios(examples):
    ours, theirs = by_both(False, examples, LENGTHS)
    assert ours == theirs


@pytest.mark.parametrize("pack", [True, False])
def test_rows_of_documents_are_seqios(pack):
    examples = [([], [5, 6, 2]), ([], [7, 2]), ([], [8, 9, 4, 2])]
    ours, theirs = by_both(pack, examples, {"targets": 5})
    if pack:
        theirs = [without_bos_in_padding(row) for row in theirs]
    for row in ours:
        row.pop("causal_attention", None)
    assert ours == theirs


def test_a_token_of_id_0_is_text():
    ours, _ = by_both(False, [([0, 9], [0, 2, 0])], {"inputs": 5, "targets": 4})
    assert ours == [
        {
            "target_tokens": [0, 9, 0, 2, 0, 0, 0, 0, 0],
            "input_tokens": [1, 0, 9, 0, 2, 0, 0, 0, 0],
            "loss_weights": [0, 0, 1, 1, 1, 0, 0, 0, 0],
            "causal_attention": [1, 1, 1, 0, 0, 0, 0, 0, 0],
        }
    ]
    [packed], [theirs] = by_both(True, [([0, 9], [0, 2, 0])], {"inputs": 5, "targets": 4})
    assert packed["loss_weights"] == [0, 0, 1, 1, 1, 0, 0, 0, 0]
    assert theirs["loss_weights"] != packed["loss_weights"]


def test_tasks_without_inputs_have_documents():
    ds = tf.data.Dataset.from_tensors({"targets": np.array([5, 2], np.int32)})
    converter = DecoderFeatureConverter(vocabulary=VOCABULARY)
    for lengths in ({"targets": 3}, {"inputs": 3, "targets": 3, "row": 3}):
        [row] = as_rows(converter(ds, lengths))
        assert row["target_tokens"] == [5, 2, 0]
        assert row["loss_weights"] == [1, 1, 0]


def test_prompts_need_a_length():
    converter = DecoderFeatureConverter(vocabulary=VOCABULARY)
    with pytest.raises(tf.errors.InvalidArgumentError, match="no length for `inputs`"):
        list(converter(dataset([([5], [6])]), {"targets": 4}))
    with pytest.raises(InputError, match="no feature 'targets_loss_weights'; give lengths for"):
        converter(dataset(EXAMPLES), {"targets": 4, "targets_loss_weights": 4})
