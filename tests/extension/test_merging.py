import collections

from hypothesis import given
from hypothesis import strategies as st

from commit_t5x.extension import merging

WORDS = st.dictionaries(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=9).map(tuple),
    st.integers(1, 5),
    max_size=12,
)


def always(token):
    return True


def counted_anew(words, number, admits):
    """Byte-pair encoding that counts all neighbours after each merge."""
    words, learnt = [[list(word), count] for word, count in words.items()], []
    while len(learnt) < number:
        counts = collections.Counter()
        for word, count in words:
            for left, right in zip(word, word[1:], strict=False):
                counts[left + right] += count * admits(left + right)
        token = min(counts, key=lambda token: (-counts[token], token), default=None)
        if token is None or counts[token] < 2:
            break
        if token not in learnt:
            learnt.append(token)
        for word, _ in words:
            at = 0
            while at < len(word) - 1:
                if word[at] + word[at + 1] == token:
                    word[at : at + 2] = [token]
                at += 1
    return learnt


@given(WORDS, st.integers(0, 8))
def test_joins_the_most_frequent_neighbours(words, number):
    found = merging.learn(words, number, set("abc"), always)
    new = [addition.token for addition in found if addition.is_new]
    assert new == counted_anew(words, number, always)
    for addition in found:
        assert "".join(addition.pieces) == addition.token
        assert {*addition.pieces} <= {*"abc"}
        assert all(left + right == addition.token for left, right in addition.merges)


@given(WORDS)
def test_learns_what_it_may(words):
    found = merging.learn(words, 8, set("abc"), lambda token: token[0] == "a")
    assert all(addition.token[0] == "a" for addition in found)
    assert [a.token for a in found] == counted_anew(words, 8, lambda token: token[0] == "a")


def test_a_known_token_costs_nothing():
    words = {("a", "b", "c"): 3, ("d", "e"): 2}
    found = merging.learn(words, 2, {"a", "b", "c", "d", "e", "ab"}, always)
    assert [(a.token, a.is_new) for a in found] == [("ab", False), ("abc", True), ("de", True)]
    assert found[1].merges == (("ab", "c"),)
