import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from commit_t5x.mixing.pointer_jumping import visited


def walk(link):
    seen, place = [False] * len(link), 0
    while place < len(link):
        seen[place] = True
        place = link[place]
    return seen


links = st.lists(st.integers(1, 9), max_size=60).map(
    lambda steps: [place + step for place, step in enumerate(steps)]
)


@given(links)
def test_it_visits_what_a_walk_visits(link):
    assert visited(tf.constant(link, tf.int64)).numpy().tolist() == walk(link)


@pytest.mark.parametrize("link", [[], [1], [99], list(range(1, 300))])
def test_short_and_long_walks(link):
    assert visited(tf.constant(link, tf.int64)).numpy().tolist() == walk(link)
