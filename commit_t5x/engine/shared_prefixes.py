"""Prompts that begin alike, so that what they share goes through the network once.

The questions about one text, each behind the whole text, are the usual case.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np

MIN_SHARE = 0.5  # of each prompt of a group; less is a template's first line


@dataclasses.dataclass(frozen=True)
class Group:
    """Prompts that begin alike.

    Attributes:
      rows: their indices, the longest prompt first.
      length: tokens that all of them begin with.
    """

    rows: tuple[int, ...]
    length: int


def groups(prompts: Sequence[Sequence[int]], most: Sequence[int] | None = None) -> list[Group]:
    """Returns groups that hold each prompt once, that with the longest prompt first.

    Args:
      prompts: token ids.
      most: of each, how many may belong to what it shares; by default all but the last.

    Example:
      >>> groups([[1, 5, 6, 7], [2, 8], [1, 5, 6, 9, 9]])
      [Group(rows=(2, 0), length=3), Group(rows=(1,), length=1)]
    """
    most = [len(prompt) - 1 for prompt in prompts] if most is None else most
    found: list[tuple[list[int], int]] = []
    for row in sorted(range(len(prompts)), key=lambda index: (list(prompts[index]), index)):
        prompt = prompts[row]
        if found:
            rows, length = found[-1]
            shared = min(common(prompts[rows[0]], prompt), length, most[row])
            longest = max(len(prompt), *(len(prompts[other]) for other in rows))
            if shared >= MIN_SHARE * longest:
                found[-1] = [*rows, row], shared
                continue
        found.append(([row], most[row]))

    def place(row: int) -> tuple[int, int]:
        return -len(prompts[row]), row

    sorted_rows = ((tuple(sorted(rows, key=place)), length) for rows, length in found)
    return sorted(itertools.starmap(Group, sorted_rows), key=lambda group: place(group.rows[0]))


def batches(prompts: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Yields the indices of prompts, `size` at a time: like ones together, the longest first.

    A batch that is too large for memory so fails at once.

    Example:
      >>> list(batches([[1, 5, 6, 7], [2, 8], [1, 5, 6, 9, 9]], size=2))
      [[2, 0], [1]]
    """
    rows = list(itertools.chain.from_iterable(group.rows for group in groups(prompts)))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """Returns how many tokens two prompts begin with alike."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(np.asarray(one[:length]) != np.asarray(other[:length]))
    return int(differ[0]) if len(differ) else length
