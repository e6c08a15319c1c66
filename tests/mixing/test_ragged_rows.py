import hypothesis
import hypothesis.strategies as st
import tensorflow as tf

from commit_t5x.mixing import ragged_rows

ROWS = st.lists(st.lists(st.integers(0, 99), max_size=4), max_size=5)


def ragged(rows):
    return tf.ragged.constant(rows, tf.int64, ragged_rank=1)


@hypothesis.given(ROWS, st.data())
def test_rows_are_those_of_tensorflow(rows, data):
    one = ragged(rows)
    assert ragged_rows.ids(one).numpy().tolist() == one.value_rowids().numpy().tolist()
    assert ragged_rows.sums(one).numpy().tolist() == [sum(row) for row in rows]
    texts = one.with_flat_values(tf.strings.as_string(one.flat_values))
    joined = [text.decode() for text in ragged_rows.join(texts).numpy()]
    assert joined == ["".join(map(str, row)) for row in rows]
    start, stop = sorted(data.draw(st.integers(0, len(rows))) for _ in range(2))
    assert ragged_rows.rows(one, start, stop).to_list() == rows[start:stop]
    first = [data.draw(st.integers(0, 99)) for _ in rows]
    column = ragged_rows.column(tf.constant(first, tf.int64))
    parts = [column, one, ragged(rows[::-1]), one]
    expected = [[a, *b, *c, *b] for a, b, c in zip(first, rows, rows[::-1], strict=True)]
    assert ragged_rows.concat(parts).to_list() == expected
