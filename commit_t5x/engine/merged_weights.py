"""Weights of a base to which low-rank factors are added as they are read, a layer at a time."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from commit_t5x.engine import checkpoint_arrays
from commit_t5x.model import lora


@dataclasses.dataclass(frozen=True)
class Merged:
    """A base's weight with the factors that are added as it is read.

    Attributes:
      base: a leaf of the base: an array of its checkpoint's, or merged itself.
      a, b: the factors, arrays of a checkpoint's; None: there are none.
      scaling: of their product.
      base_dtype: that the base's weight is rounded to first.
    """

    base: Any
    a: Any = None
    b: Any = None
    scaling: float = 0.0
    base_dtype: str = "float32"

    dtype = np.dtype(np.float32)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.base.shape)


class Reader:
    """Reads a leaf of `adapters.open_params`, or one layer of a stacked one.

    Args:
      name: of the checkpoint, for errors.
    """

    def __init__(self, name: str):
        # One for the factors, as each keeps the last piece that it read.
        self._bases, self._factors = (checkpoint_arrays.Reader(name) for _ in range(2))

    def __call__(self, leaf: Any, index: int | None) -> np.ndarray:
        if not isinstance(leaf, Merged):
            return self._bases(leaf, index)
        weight, scale = kept(self(leaf.base, index), leaf.base_dtype)
        if leaf.a is None:
            return lora.merged(weight, scale)
        factors = (self._factors(factor, index) for factor in (leaf.a, leaf.b))
        return lora.merged(weight, scale, *factors, np.float32(leaf.scaling))


def fingerprint(name: str, leaves: Mapping[str, Any]) -> str:
    """Returns a hash over all of a network's weights, which are read layer by layer."""
    reader, digest = checkpoint_arrays.Reader(name), hashlib.sha256()
    for path, leaf in sorted(leaves.items()):
        digest.update(f"{path} {_scalings(leaf)}".encode())
        for array in _arrays(leaf):
            digest.update(f"{tuple(array.shape)}".encode())
            for index in range(array.shape[0]) if path.startswith("layers/") else (None,):
                values = reader(array, index).astype(np.float32, copy=False)
                digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()[:16]


def _scalings(leaf: Any) -> list[float]:
    return [leaf.scaling, *_scalings(leaf.base)] if isinstance(leaf, Merged) else []


def _arrays(leaf: Any) -> Iterator[Any]:
    """Yields the arrays of checkpoints that a leaf of `adapters.open_params` is made of."""
    if isinstance(leaf, Merged):
        for part in (leaf.base, leaf.a, leaf.b):
            yield from () if part is None else _arrays(part)
    else:
        yield leaf


def layer(leaf: Any, index: int) -> Any:
    """Returns one layer of a stacked leaf of `adapters.open_params`, which isn't read yet."""
    if not isinstance(leaf, Merged):
        return leaf[index]
    parts = {name: getattr(leaf, name) for name in ("base", "a", "b")}
    return dataclasses.replace(
        leaf, **{name: layer(part, index) for name, part in parts.items() if part is not None}
    )


def kept(weight: np.ndarray, kind: str) -> tuple[np.ndarray, Any]:
    """Returns a weight in the type that it is kept in, and its scales if that is int8."""
    if kind == "int8":
        return lora.quantize(weight.astype(np.float32))
    return weight.astype(jax.numpy.dtype(kind)), None
