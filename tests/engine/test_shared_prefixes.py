import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commit_t5x.engine import shared_prefixes
from commit_t5x.engine.shared_prefixes import Group

TEXT, OTHER = [1, *range(50, 70)], [1, *range(80, 95)]


def test_questions_about_one_text_stand_together():
    prompts = [[*TEXT, 3], [*OTHER, 3, 4], [*TEXT, 5, 6, 7], [*OTHER, 9], [*TEXT, 5, 8]]
    assert shared_prefixes.groups(prompts) == [Group((2, 4, 0), 21), Group((1, 3), 16)]
    assert list(shared_prefixes.batches(prompts, size=2)) == [[2, 4], [0, 1], [3]]


@pytest.mark.parametrize(
    ("prompts", "expected"),
    [
        pytest.param([[1, 2], [1, 2]], [Group((0, 1), 1)], id="a token is left to each"),
        pytest.param([[1], [1]], [Group((0,), 0), Group((1,), 0)], id="a single token"),
        pytest.param(
            [[1, 2, 3, 3, 3, 3, 3], [1, 2, 4]],
            [Group((0,), 6), Group((1,), 2)],
            id="less than half of the longer one",
        ),
        pytest.param([], [], id="none"),
    ],
)
def test_groups(prompts, expected):
    assert shared_prefixes.groups(prompts) == expected


@settings(max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), max_size=12), st.integers(1, 5)
)
def test_each_prompt_is_in_one_group_that_begins_as_it_does(prompts, size):
    found = shared_prefixes.groups(prompts)
    assert sorted(itertools.chain(*(group.rows for group in found))) == list(range(len(prompts)))
    for group in found:
        assert len({tuple(prompts[row][: group.length]) for row in group.rows}) == 1
        assert all(group.length < len(prompts[row]) for row in group.rows)
    batches = list(shared_prefixes.batches(prompts, size))
    assert sorted(itertools.chain(*batches)) == list(range(len(prompts)))
    assert all(len(batch) == size for batch in batches[:-1])
