"""The weights in a checkpoint's state/ folder as arrays that are read and written in slices.

Orbax reads and writes whole trees. Below them lies tensorstore, which also knows slices, so that a
model larger than the memory can be converted.
"""

import math
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts

from commit_t5x.errors import InputError

_MAX_CHUNK_BYTES = 2**24


def open_all(state: pathlib.Path, paths: Iterable[str]) -> dict[str, ts.TensorStore]:
    """Opens weights for reading.

    Args:
      state: the folder.
      paths: of the weights, below `target`, joined by slashes.

    Raises:
      InputError: an array is missing or broken.

    Example:
      >>> kernels = open_all(state, ["layers/mlp/wo/kernel"])["layers/mlp/wo/kernel"]
      >>> kernels.shape, kernels[21].read().result().shape
      ((22, 5632, 2048), (5632, 2048))
    """
    try:
        return {path: _open(state, f"target/{path}") for path in paths}
    except ValueError as error:
        raise InputError(f"{state}: not a readable checkpoint ({_first_line(error)})") from error


class Reader:
    """Reads a weight, or one layer of a stacked one.

    A checkpoint may keep several layers in one chunk, T5X's keep all. Such a chunk is read once,
    and kept until another one is asked for.

    Args:
      name: of the checkpoint, for errors.
    """

    def __init__(self, name: str):
        self._name = name
        self._place: tuple[ts.TensorStore, int] | None = None
        self._block: np.ndarray | None = None

    def __call__(self, store: ts.TensorStore, index: int | None) -> np.ndarray:
        layers = store.chunk_layout.read_chunk.shape[0] if index is not None else 1
        if layers == 1:
            self._place = self._block = None
            return self._read(store if index is None else store[index])
        start = index // layers * layers
        if self._place != (store, start):
            self._place = self._block = None  # before the next one is read
            self._block = self._read(store[start : min(start + layers, store.shape[0])])
            self._place = store, start
        return self._block[index - start]

    def _read(self, store: ts.TensorStore) -> np.ndarray:
        # NumPy asks for large pages, tensorstore doesn't.
        array = np.empty(store.shape, store.dtype.numpy_dtype)
        try:
            ts.array(array, copy=False, write=True).write(store).result()
        except ValueError as error:
            raise InputError(
                f"{self._name}: damaged ({_first_line(error)}); copy it again, or use the one "
                "before"
            ) from error
        return array


def read_through(state: pathlib.Path, paths: Iterable[str]) -> None:
    """Reads arrays, a slice at a time, and keeps nothing.

    Args:
      state: the folder.
      paths: of the arrays, such as `target/embedding`, joined by slashes.

    Raises:
      ValueError: of tensorstore, for one that is missing or broken.
    """
    for path in paths:
        array = _open(state, path)
        for index in range(array.shape[0]) if array.ndim else [...]:
            array[index].read().result()


def create_all(
    state: pathlib.Path, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, ts.TensorStore]:
    """Puts empty fp32 arrays in place of whatever Orbax saved under these names.

    They are chunked by layer, and not compressed: weights hardly shrink, and this is several times
    faster.

    Args:
      state: the folder, of a finished checkpoint that isn't OCDBT.
      shapes: of the weights by path; those below layers/ have the layers as their first axis.
    """
    # A checkpoint appears under its name when it is complete; waiting for the disk after each chunk
    # would take several times as long.
    context = ts.Context({"file_io_sync": False})
    return {
        path: ts.open(
            {
                "driver": "zarr",
                "kvstore": _kvstore(state, f"target/{path}"),
                "metadata": {
                    "shape": shape,
                    "chunks": _chunks(shape, stacked=path.startswith("layers/")),
                    "dtype": "<f4",
                    "compressor": None,
                },
                "store_data_equal_to_fill_value": True,
            },
            create=True,
            delete_existing=True,
            context=context,
        ).result()
        for path, shape in shapes.items()
    }


def save_args(state: Any) -> Any:
    """Returns Orbax's arguments that chunk a state's arrays as create_all does."""

    def of(path: tuple, leaf: Any) -> ocp.SaveArgs:
        stacked = np.ndim(leaf) > 0 and any(getattr(key, "key", None) == "layers" for key in path)
        return ocp.SaveArgs(chunk_byte_size=_MAX_CHUNK_BYTES, shard_axes=(0,) if stacked else ())

    return jax.tree_util.tree_map_with_path(of, state)


def _open(state: pathlib.Path, path: str) -> ts.TensorStore:
    """Opens an array for reading; a chunk that is gone is an error, and not zeros."""
    spec = {"driver": "auto", "kvstore": _kvstore(state, path)}
    # What finds out the driver doesn't take the driver's options.
    found = ts.open(spec, read=True).result().spec().to_json()
    context = {"cache_pool": {"total_bytes_limit": 0}}
    options = {"fill_missing_data_reads": False, "context": context}
    return ts.open({**found, **options}, read=True).result()


def _kvstore(state: pathlib.Path, path: str) -> dict:
    name = path.replace("/", ".") + "/"
    state = state.resolve()  # tensorstore takes no ".."
    if ocp.type_handlers.is_ocdbt_checkpoint(state):
        base = {"driver": "file", "path": f"{state}/"}
        return {"driver": "ocdbt", "base": base, "path": name}
    return {"driver": "file", "path": f"{state}/{name}"}


def _chunks(shape: tuple[int, ...], stacked: bool) -> list[int]:
    """Returns a chunk's shape: of one layer, and of 16 MiB at most, so that shards read their own.

    >>> _chunks((22, 2048, 5632), stacked=True)
    [1, 2048, 1408]
    """
    chunk = [1, *shape[1:]] if stacked else [*shape]
    while 4 * math.prod(chunk) > _MAX_CHUNK_BYTES:
        widest = chunk.index(max(chunk))
        chunk[widest] = -(-chunk[widest] // 2)
    return chunk


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
