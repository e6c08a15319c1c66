"""What the rows of new tokens begin as: from which old rows, or from none."""

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np

from commit_t5x.extension.merging import Addition
from commit_t5x.vocabularies.tokenizer import Tokenizer

Method = Literal["mean", "dictionary", "random"]
METHODS: tuple[str, ...] = get_args(Method)


class Source(NamedTuple):
    """What a new row is made of.

    Attributes:
      ids: int [n], of old tokens.
      weights: float [n], whose sum is 1.
    """

    ids: np.ndarray
    weights: np.ndarray


def of_pieces(tokenizer: Tokenizer, additions: Sequence[Addition]) -> list[Source]:
    """Returns the mean of the tokens that the old tokenizer spells each new one with."""
    ids = {token: id_ for id_, token in enumerate(tokenizer.tokens())}
    return [mean([ids[piece] for piece in addition.pieces]) for addition in additions]


def mean(ids: Sequence[int]) -> Source:
    """Returns the mean of rows; one that is named twice counts twice."""
    return Source(np.array(ids), np.full(len(ids), 1 / len(ids)))


def append(
    table: np.ndarray, old: int, number: int, sources: Sequence[Source] | None, seed: int
) -> np.ndarray:
    """Returns a table with the rows of new tokens.

    Args:
      table: [rows, width] in any floating dtype, which is kept; of an embedding or a head.
      old: rows that old tokens have; any after them, which stood empty, are written over.
      number: of new rows.
      sources: of each; None: they are drawn from the normal distribution that has the mean and the
        deviation of the old rows, each column's own.
      seed: of what is drawn.
    """
    longer = np.empty((old + number, table.shape[1]), table.dtype)
    longer[:old] = table[:old]
    if sources is None:
        rows = table[:old].astype(np.float32)
        rng = np.random.default_rng(seed)
        drawn = rng.normal(rows.mean(axis=0), rows.std(axis=0), (number, table.shape[1]))
        longer[old:] = drawn.astype(table.dtype)
        return longer
    for place, source in zip(itertools.count(old), sources, strict=False):
        rows = table[source.ids].astype(np.float32)
        longer[place] = (source.weights.astype(np.float32) @ rows).astype(table.dtype)
    return longer
