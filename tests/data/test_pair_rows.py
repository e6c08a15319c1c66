import types

import numpy as np
import pytest
import tensorflow as tf

from commit_t5x.data import pair_features, pair_rows
from commit_t5x.data.feature_converters import DecoderFeatureConverter

VOCABULARY = types.SimpleNamespace(bos_id=1)
PAIRS = [([5, 6], [1, 2], [5, 8, 8], [1, 2, 2]), ([7], [1], [9, 9], [1, 0])]


def dataset(pairs):
    """Each pair with a token that bears loss."""
    names = ("inputs", "targets", *pair_features.TASK_FEATURES)
    return tf.data.Dataset.from_generator(
        lambda: (dict(zip(names, ([], [90 + n], *pair), strict=True)) for n, pair in pairs),
        output_signature=dict.fromkeys(names, tf.TensorSpec([None], tf.int32)),
    )


def convert(pairs, length, **options):
    converter = DecoderFeatureConverter(vocabulary=VOCABULARY, **options)
    rows = converter(dataset(list(enumerate(pairs))), {"row": length}).as_numpy_iterator()
    return [{name: value.tolist() for name, value in row.items()} for row in rows]


def test_rows_as_in_the_docstring():
    rows = pair_rows.beside(
        tf.data.Dataset.range(2).map(lambda n: {"row": n}),
        dataset(list(enumerate(PAIRS * 2))),
        *(6, 1, True),
    )
    first, _ = rows.as_numpy_iterator()
    assert {name: value.tolist() for name, value in first.items()} == {
        "row": 0,
        "pair_plain_tokens": [1, 5, 6, 1, 7, 0],
        "pair_plain_units": [0, 1, 2, 0, 3, 0],
        "pair_plain_segment_ids": [1, 1, 1, 2, 2, 0],
        "pair_mixed_tokens": [1, 5, 8, 8, 1, 9],
        "pair_mixed_units": [0, 1, 2, 2, 0, 3],
        "pair_mixed_segment_ids": [1, 1, 1, 1, 2, 2],
    }


def packed_by_hand(pairs, length):
    """Yields [plain tokens, plain units, mixed tokens, mixed units] of each row."""
    row, unit = [[], [], [], []], 0
    for pair in pairs:
        if max(map(len, row)) >= length:
            yield [(feature + [0] * length)[:length] for feature in row]
            row, unit = [[], [], [], []], 0
        for place, values in enumerate(pair):
            if place % 2:
                row[place] += [0, *(n and n + unit for n in values)]
            else:
                row[place] += [1, *values]
        unit += max([0, *pair[1]])


@pytest.mark.parametrize("packing", ["stream", "segments", "filled"])
def test_pairs_fill_two_rows_in_parallel(packing):
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(200):
        words = int(rng.integers(0, 6))  # a pair may be empty, or longer than a row
        sides = [np.repeat(np.arange(words) + 1, rng.integers(1, 4, words)) for _ in range(2)]
        pairs.append([side.tolist() for units in sides for side in (units + 10, units)])
    expected = list(packed_by_hand(pairs, 7))
    got = convert(pairs, 7, packing=packing)
    plain = DecoderFeatureConverter(vocabulary=VOCABULARY, packing=packing)
    alone = dataset(list(enumerate(pairs))).map(
        lambda pair: {name: pair[name] for name in ("inputs", "targets")}
    )
    for row, own in zip(got, plain(alone, {"row": 7}).as_numpy_iterator(), strict=True):
        assert {name: row[name] for name in own} == {name: own[name].tolist() for name in own}
        assert ("pair_plain_segment_ids" in row) == (packing != "stream")
    count = min(len(got), len(expected))
    assert count > 10
    for row, by_hand in zip(got[:count], expected[:count], strict=True):
        assert [row[name] for name in pair_features.TASK_FEATURES] == by_hand


def test_where_pairs_end_first_rows_go_on():
    rows = convert([([5], [1], [6], [1])] * 9, 4, packing="stream")
    assert [sum(row["decoder_loss_weights"]) for row in rows] == [2, 2, 2, 2, 1]
    assert [max(row["pair_plain_tokens"]) for row in rows] == [5, 5, 5, 5, 0]
