"""Byte-pair encoding that goes on where a tokenizer's own merges end (Sennrich et al. 2016)."""

import collections
import heapq
from collections.abc import Callable, Mapping, Sequence, Set
from typing import NamedTuple

_LONGEST_WORD = 32  # in units; longer ones, of languages without spaces, are cut
_MIN_COUNT = 2


class Addition(NamedTuple):
    """A new token.

    Attributes:
      token: as the tokenizer's file spells it.
      merges: the pairs of tokens that join to it, the most frequent first; none for a character
        that is read as it is.
      pieces: the tokens that the old tokenizer spells it with.
      is_new: False if the tokenizer has the token, and only lacks the merges.
    """

    token: str
    merges: tuple[tuple[str, str], ...]
    pieces: tuple[str, ...]
    is_new: bool = True


def learn(
    words: Mapping[tuple[str, ...], int],
    number: int,
    known: Set[str],
    admits: Callable[[str], bool],
) -> list[Addition]:
    """Joins the most frequent neighbours, again and again.

    Neighbours that spell the same token are joined at once, as SentencePiece does. A merge that is
    learnt comes after all old ones, so it never hinders one of those.

    Args:
      words: units, the old tokenizer's tokens, of each word -> how often it stands in the text.
      number: of new tokens to learn.
      known: the old tokens.
      admits: whether a token may be learnt.

    Returns:
      In the order of learning, `number` new tokens, or fewer where nothing is left that stands
      twice in the text.

    Example:
      >>> [(token, merges)] = learn({("a", "b"): 3}, 1, {"a", "b"}, lambda token: True)
      >>> token, merges
      ('ab', (('a', 'b'),))
    """
    state = _State(words, admits)
    spelt: dict[str, tuple[str, ...]] = {}
    seen: set[tuple[str, str]] = set()
    additions, left = [], number
    while left and (token := state.best()) is not None:
        pairs = [pair for pair in state.join(token) if pair not in seen]
        seen.update(pairs)
        if not pairs:
            continue
        if is_new := token not in known and token not in spelt:
            left -= 1
            spelt[token] = tuple(p for part in pairs[0] for p in spelt.get(part, (part,)))
        additions.append(Addition(token, tuple(pairs), spelt.get(token, (token,)), is_new))
    return additions


class _State:
    """Words as they are joined up, and how often each token could be made of two neighbours."""

    def __init__(self, words: Mapping[tuple[str, ...], int], admits: Callable[[str], bool]):
        self._admits = admits
        self._admitted: dict[str, bool] = {}
        self._counts: collections.Counter[str] = collections.Counter()
        self._places: dict[str, set[int]] = collections.defaultdict(set)
        self._words: list[Sequence[str]] = []
        self._weights: list[int] = []
        for units, weight in words.items():
            for start in range(0, len(units), _LONGEST_WORD):
                self._words.append(units[start : start + _LONGEST_WORD])
                self._weights.append(weight)
        for place, word in enumerate(self._words):
            for left, right in zip(word, word[1:], strict=False):
                self._add(left + right, self._weights[place], place)
        self._heap = [(-count, token) for token, count in self._counts.items()]
        heapq.heapify(self._heap)

    def _add(self, token: str, count: int, place: int) -> None:
        admitted = self._admitted.get(token)
        if admitted is None:
            admitted = self._admitted[token] = self._admits(token)
        if admitted:
            self._counts[token] += count
            self._places[token].add(place)

    def best(self) -> str | None:
        """Returns the most frequent token that isn't joined, the first by the alphabet of several.

        None if none stands _MIN_COUNT times in the text.
        """
        while self._heap:
            count, token = heapq.heappop(self._heap)
            now = self._counts[token]
            if now < _MIN_COUNT:
                continue
            if now == -count:
                return token
            heapq.heappush(self._heap, (-now, token))  # it has become rarer since
        return None

    def join(self, token: str) -> list[tuple[str, str]]:
        """Joins all neighbours that spell a token; returns them, the most frequent first."""
        pairs: collections.Counter[tuple[str, str]] = collections.Counter()
        changed: set[str] = set()
        for place in sorted(self._places.pop(token)):
            word, weight, joined = self._words[place], self._weights[place], []
            at, last = 0, len(word) - 1
            while at <= last:
                unit = word[at]
                if at == last or unit + word[at + 1] != token:
                    joined.append(unit)
                    at += 1
                    continue
                pairs[unit, word[at + 1]] += weight
                if joined:
                    self._counts[joined[-1] + unit] -= weight
                    self._add(joined[-1] + token, weight, place)
                    changed.add(joined[-1] + token)
                if at + 2 <= last:
                    self._counts[word[at + 1] + word[at + 2]] -= weight
                    self._add(token + word[at + 2], weight, place)
                    changed.add(token + word[at + 2])
                joined.append(token)
                at += 2
            self._words[place] = joined
        self._counts[token] = 0
        for candidate in changed:
            if self._counts[candidate] >= _MIN_COUNT:
                heapq.heappush(self._heap, (-self._counts[candidate], candidate))
        return sorted(pairs, key=lambda pair: (-pairs[pair], pair))
