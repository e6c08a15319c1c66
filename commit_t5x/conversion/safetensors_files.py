"""Reads and writes safetensors directories one tensor at a time."""

import collections
import concurrent.futures
import contextlib
import json
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import BinaryIO

import numpy as np
import safetensors

from commit_t5x import disk
from commit_t5x.conversion import arrays
from commit_t5x.conversion.formats import Put
from commit_t5x.errors import InputError

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"

_WAITING_PIECES = 2  # of a tensor, cast and not written yet
_LENGTH_BYTES = 8  # of the header's length, with which a file begins
_CODES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
_NAMES = {code: name for name, code in _CODES.items()} | {"F64": "float64"}


class Reader:
    """The tensors of a directory's safetensors files; each is read when asked for.

    Attributes:
      shapes: by name, in the files' order.
      dtypes: by name, in NumPy's terms.

    Example:
      >>> reader = Reader(pathlib.Path("llama"))
      >>> reader.shapes["model.norm.weight"], reader.get("model.norm.weight").dtype
      ((4096,), dtype('float32'))
    """

    def __init__(self, directory: pathlib.Path, name: str = "model"):
        """Opens the directory.

        Args:
          directory: of the model.
          name: with which the files begin.

        Raises:
          InputError: it holds no safetensors, an unreadable one, two tensors of one name, or
            integer (quantised) tensors.
        """
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.dtypes: dict[str, str] = {}
        self._places: dict[str, tuple[pathlib.Path, int]] = {}
        paths = weight_files(directory, name, ".safetensors")
        if not paths:
            raise InputError(
                f"{directory}: holds no .safetensors weights; is it a model directory?"
            )
        for path in paths:
            try:
                file = safetensors.safe_open(path, framework="numpy")
            except (safetensors.SafetensorError, OSError) as error:
                raise InputError(
                    f"{path}: not a readable safetensors file ({error}); fetch it again"
                ) from error
            offset = _data_offset(path)
            for name in file.offset_keys():
                if name in self.shapes:
                    raise InputError(
                        f"{path}: {name} also stands in another file of the directory; remove one"
                    )
                part = file.get_slice(name)
                if part.get_dtype() not in _NAMES:
                    raise InputError(
                        f"{path}: {name} is of type {part.get_dtype()}; "
                        "only unquantised weights can be converted"
                    )
                self.shapes[name] = tuple(part.get_shape())
                self.dtypes[name] = _NAMES[part.get_dtype()]
                self._places[name] = path, offset
                dtype = np.dtype(self.dtypes[name])
                offset += math.prod(self.shapes[name]) * dtype.itemsize  # the format has no gaps

    def get(self, name: str) -> np.ndarray:
        """Returns one tensor in the dtype that it is stored in."""
        path, offset = self._places[name]
        dtype, shape = np.dtype(self.dtypes[name]), self.shapes[name]
        size = math.prod(shape) * dtype.itemsize
        return arrays.read(path, offset, size).view(dtype).reshape(shape)


def _data_offset(path: pathlib.Path) -> int:
    with path.open("rb") as file:
        return _LENGTH_BYTES + int.from_bytes(file.read(_LENGTH_BYTES), "little")


def weight_files(directory: pathlib.Path, name: str, suffix: str) -> list[pathlib.Path]:
    """Returns the files of a model's weights, and not the optimizer's beside them.

    Args:
      directory: of the model.
      name, suffix: of the file if it is one; of several, the names begin and end like this.

    Returns:
      The files that an index names; without one, the only one, or those that fit.

    Raises:
      InputError: the index is broken, or names files that aren't in the directory.
    """
    index = directory / f"{name}{suffix}.index.json"
    if not index.is_file():
        whole = directory / f"{name}{suffix}"
        return [whole] if whole.is_file() else sorted(directory.glob(f"{name}*{suffix}"))
    weight_map = disk.read_json(index).get("weight_map")
    names = {*weight_map.values()} if isinstance(weight_map, dict) else {None}
    if not all(isinstance(name, str) and pathlib.Path(name).name == name for name in names):
        raise InputError(
            f"{index}: not an index of weight files that lie beside it; fetch it again"
        )
    missing = sorted(name for name in names if not (directory / name).is_file())
    if missing:
        raise InputError(f"{index}: names {', '.join(missing)}, not found; fetch them")
    return [directory / name for name in sorted(names)]


@contextlib.contextmanager
def write(
    directory: pathlib.Path,
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str,
    max_shard_bytes: int,
) -> Iterator[Put]:
    """Writes tensors to one file, or to several and an index.

    The package's own writer wants all tensors at once. The format is a length (8 bytes), a JSON
    header and the tensors' bytes, which so can come in any order.

    Args:
      directory: exists.
      shapes: of each tensor, in the order in which they stand in the files.
      dtype: a key of arrays.DTYPES.
      max_shard_bytes: a file is closed before it outgrows this; a larger tensor has its own.

    Example:
      >>> with write(directory, {"a": (2, 3)}, "float32", 10**9) as put:
      ...     put("a", np.zeros((2, 3), np.float32))
    """
    itemsize = arrays.DTYPES[dtype].itemsize
    sizes = {name: math.prod(shape) * itemsize for name, shape in shapes.items()}
    shards: list[list[str]] = [[]]
    for name in shapes:
        if shards[-1] and sum(sizes[n] for n in shards[-1]) + sizes[name] > max_shard_bytes:
            shards.append([])
        shards[-1].append(name)
    if len(shards) == 1:
        names = [SINGLE_NAME]
    else:
        names = [f"model-{i:05d}-of-{len(shards):05d}.safetensors" for i, _ in enumerate(shards, 1)]
        weight_map = {
            tensor: name for name, shard in zip(names, shards, strict=True) for tensor in shard
        }
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
        (directory / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")

    places = {}
    # The system writes a file by one thread at a time; others cast what comes next.
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(1) as writer:
        for name, shard in zip(names, shards, strict=True):
            file = stack.enter_context((directory / name).open("wb"))
            offset = file.write(_header(shard, shapes, sizes, dtype))
            for tensor in shard:
                places[tensor] = file, offset
                offset += sizes[tensor]

        def put(name: str, tensor: np.ndarray) -> None:
            file, offset = places[name]
            pending: collections.deque[concurrent.futures.Future] = collections.deque()
            for piece in arrays.rows(tensor, dtype, name):
                if len(pending) == _WAITING_PIECES:
                    pending.popleft().result()
                pending.append(writer.submit(_write_at, file, offset, piece))
                offset += piece.nbytes
            for future in pending:
                future.result()

        yield put


def _write_at(file: BinaryIO, offset: int, piece: np.ndarray) -> None:
    file.seek(offset)
    file.write(piece.reshape(-1).view(np.uint8))  # Python has no buffers of bfloat16


def _header(
    names: Sequence[str],
    shapes: Mapping[str, tuple[int, ...]],
    sizes: Mapping[str, int],
    dtype: str,
) -> bytes:
    # transformers asks for the "format" entry.
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in names:
        header[name] = {
            "dtype": _CODES[dtype],
            "shape": list(shapes[name]),
            "data_offsets": [offset, offset + sizes[name]],
        }
        offset += sizes[name]
    encoded = json.dumps(header, separators=(",", ":")).encode("utf-8")
    encoded += b" " * (-len(encoded) % 8)
    return len(encoded).to_bytes(_LENGTH_BYTES, "little") + encoded
