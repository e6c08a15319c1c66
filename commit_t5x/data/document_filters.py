"""Which documents a pass leaves out: `DOCUMENT_FILTERS` names filters, these or a user's own.

A filter is a function that is called at the start of each pass over the data, and returns what
says of one text after another whether it is kept.
"""

from collections.abc import Callable

import gin

from commit_t5x import ranges
from commit_t5x.errors import InputError

Keeps = Callable[[str], bool]

_PERMUTATIONS = 128  # of a MinHash: 1 kB a document


@gin.configurable
def near_duplicates(
    threshold: ranges.PositiveShare = 0.8,
    shingle_length: ranges.Positive = 8,
    seed: ranges.Seed = 1,
) -> Keeps:
    """Leaves out documents that resemble one before them, by MinHash (Broder 1997).

    Args:
      threshold: the similarity from which on they do, as estimated: the share of the shingles of
        both that they have in common.
      shingle_length: characters of a shingle; runs of white space count as one.
      seed: of the hash functions.

    Raises:
      InputError: the library datasketch isn't installed.

    Example:
      >>> keeps = near_duplicates(threshold=0.5)
      >>> [keeps(text) for text in ("a cup of hot tea", "a cup of hot tea!", "cold water")]
      [True, False, True]
    """
    try:
        import datasketch  # here, as most runs do without
    except ImportError:
        raise InputError(
            "DOCUMENT_FILTERS: near_duplicates needs datasketch: pip install 'commit-t5x[filters]'"
        ) from None
    index = datasketch.MinHashLSH(threshold=threshold, num_perm=_PERMUTATIONS)
    sketches = {}

    def keeps(text: str) -> bool:
        text = " ".join(text.split())
        last = max(1, len(text) - shingle_length + 1)
        shingles = {text[start : start + shingle_length] for start in range(last)}
        sketch = datasketch.MinHash(num_perm=_PERMUTATIONS, seed=seed)
        sketch.update_batch([shingle.encode() for shingle in sorted(shingles)])
        if any(sketch.jaccard(sketches[near]) >= threshold for near in index.query(sketch)):
            return False
        key = len(sketches)
        sketches[key] = sketch
        index.insert(key, sketch)
        return True

    return keeps
