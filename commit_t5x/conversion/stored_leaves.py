"""Weights that lie in tensorstore arrays, read layer by layer."""

import numpy as np
import tensorstore as ts

from commit_t5x.errors import InputError


class StoredLeaf:
    """A stored weight, with its dtype in NumPy's terms."""

    def __init__(self, store: ts.TensorStore):
        self.store = store
        self.shape = store.shape
        self.dtype = store.dtype.numpy_dtype


class LayerReader:
    """Reads a leaf, or one layer of a stacked one.

    A checkpoint may keep several layers in one chunk, T5X's keep all. Such a chunk is read once,
    and kept until another one is asked for.

    Args:
      name: of the checkpoint, for errors.
    """

    def __init__(self, name: str):
        self._name = name
        self._place: tuple[StoredLeaf, int] | None = None
        self._block: np.ndarray | None = None

    def __call__(self, leaf: StoredLeaf, index: int | None) -> np.ndarray:
        layers = leaf.store.chunk_layout.read_chunk.shape[0] if index is not None else 1
        if layers == 1:
            self._place = self._block = None
            return self._read(leaf.store if index is None else leaf.store[index])
        start = index // layers * layers
        if self._place != (leaf, start):
            self._place = self._block = None  # before the next one is read
            self._block = self._read(leaf.store[start : min(start + layers, leaf.shape[0])])
            self._place = leaf, start
        return self._block[index - start]

    def _read(self, store: ts.TensorStore) -> np.ndarray:
        try:
            return store.read().result()
        except ValueError as error:
            problem = str(error).partition("\n")[0]
            raise InputError(
                f"{self._name}: damaged ({problem}); copy it again, or use the one before"
            ) from error
