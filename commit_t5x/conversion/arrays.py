"""Pieces of arrays in another order and dtype, as fast as memory allows."""

import itertools
import math
import pathlib
from collections.abc import Iterator, Sequence

import ml_dtypes
import numpy as np

from commit_t5x.errors import InputError

DTYPES: dict[str, np.dtype] = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
}
# Rows and columns: half a line of the processor's cache, so that the rows of the copy don't push
# each other out of it where their size is a power of two.
_TILE = (512, 8)
_PIECE_BYTES = 2**24


def read(path: pathlib.Path, offset: int, size: int) -> np.ndarray:
    """Returns bytes of a file, uint8 [size].

    Not as a map, whose pages would count as ours once touched, and which can't tell of errors.

    Raises:
      InputError: the file is shorter.
    """
    content = np.fromfile(path, np.uint8, size, offset=offset)
    if content.size < size:
        raise InputError(f"{path}: ends too early; fetch it again")
    return content


def rows(array: np.ndarray, dtype: str, name: str) -> Iterator[np.ndarray]:
    """Yields an array's rows in C order and another dtype, some 16 MiB at a time.

    Args:
      array: of floating numbers, in any order.
      dtype: a key of DTYPES.
      name: of the tensor, for errors.

    Raises:
      InputError: see converted.
    """
    row_bytes = math.prod(array.shape[1:]) * DTYPES[dtype].itemsize
    count = max(1, _PIECE_BYTES // row_bytes)
    for start in range(0, array.shape[0], count):
        yield converted(array[start : start + count], dtype, name)


def tiles(shape: Sequence[int], tile: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Yields the places of the tiles that cover an array.

    Example:
      >>> list(tiles((2, 5), (2, 3)))
      [(slice(0, 2), slice(0, 3)), (slice(0, 2), slice(3, 5))]
    """
    parts = (
        [slice(at, min(at + step, size)) for at in range(0, size, step)]
        for size, step in zip(shape, tile, strict=True)
    )
    yield from itertools.product(*parts)


def converted(array: np.ndarray, dtype: str, name: str) -> np.ndarray:
    """Returns an array in C order and another dtype; the array itself if it is so already.

    Args:
      array, dtype, name: see rows.

    Raises:
      InputError: the array is not of floating numbers, or holds one that isn't finite, or that
        float16 can't hold.
    """
    wanted = DTYPES[dtype]
    if not np.issubdtype(array.dtype, np.floating) and array.dtype != ml_dtypes.bfloat16:
        raise InputError(f"{name}: is of type {array.dtype}; only unquantised weights convert")
    with np.errstate(over="ignore"):
        if array.ndim == 2 and array.strides[0] < array.strides[1]:
            copy = _transposed(array, wanted)
        else:
            copy = np.asarray(array, dtype=wanted, order="C")
    if not _is_finite(copy if wanted == np.float32 else array):
        raise InputError(
            f"{name}: holds values that aren't finite; fetch the checkpoint again, or take one "
            "from before training diverged"
        )
    if dtype == "float16" and not _is_finite(copy):
        raise InputError(f"{name}: holds values beyond float16's range; use bfloat16 or float32")
    return copy


def _is_finite(array: np.ndarray) -> bool:
    # A sum is several times as fast as looking at each, but may overflow by itself.
    with np.errstate(over="ignore", invalid="ignore"):
        if array.dtype == np.float32 and np.isfinite(array.sum()):
            return True
    return bool(np.isfinite(array).all())


def _transposed(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Copies a matrix in Fortran order; in tiles, which is several times as fast as at once.

    Casting what is in order already is twice as fast as both at a time.
    """
    copy = np.empty(array.shape, dtype)
    for start in range(0, array.shape[0], _TILE[0]):
        band = slice(start, start + _TILE[0])
        source, target = array[band], copy[band]
        ordered = target if array.dtype == dtype else np.empty(source.shape, array.dtype)
        for tile in tiles(source.shape, _TILE):
            ordered[tile] = source[tile]
        if ordered is not target:
            target[...] = ordered
    return copy
