"""Reads and writes safetensors directories one tensor at a time."""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence

import ml_dtypes
import numpy as np
import safetensors

from commit_t5x.errors import InputError

INDEX_NAME = "model.safetensors.index.json"
SINGLE_NAME = "model.safetensors"

DTYPES: Mapping[str, np.dtype] = {
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
}
_CODES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
_READABLE = set(_CODES.values()) | {"F64"}


class Reader:
    """The tensors of a directory's safetensors files; each is read when asked for.

    Example:
      >>> reader = Reader(pathlib.Path("llama"))
      >>> reader.shapes["model.norm.weight"], reader.get("model.norm.weight").dtype
      ((4096,), dtype('float32'))
    """

    def __init__(self, directory: pathlib.Path):
        """Opens the directory.

        Raises:
          InputError: it holds no safetensors, an unreadable one, two tensors of one name, or
            integer (quantised) tensors.
        """
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._files: dict[str, safetensors.safe_open] = {}
        for path in _weight_files(directory):
            try:
                file = safetensors.safe_open(path, framework="numpy")
            except (safetensors.SafetensorError, OSError) as error:
                raise InputError(
                    f"{path}: not a readable safetensors file ({error}); fetch it again"
                ) from error
            for name in file.keys():
                if name in self.shapes:
                    raise InputError(
                        f"{path}: {name} also stands in another file of the directory; remove one"
                    )
                part = file.get_slice(name)
                if part.get_dtype() not in _READABLE:
                    raise InputError(
                        f"{path}: {name} is of type {part.get_dtype()}; "
                        "only unquantised weights can be converted"
                    )
                self.shapes[name] = tuple(part.get_shape())
                self._files[name] = file

    def get(self, name: str) -> np.ndarray:
        """Returns one tensor in the dtype that it is stored in."""
        return self._files[name].get_tensor(name)


def _weight_files(directory: pathlib.Path) -> list[pathlib.Path]:
    index = directory / INDEX_NAME
    if index.is_file():
        try:
            content = json.loads(index.read_text(encoding="utf-8"))
            names = sorted(set(content["weight_map"].values()))
        except (ValueError, KeyError, AttributeError) as error:
            raise InputError(f"{index}: not an index of weight files; fetch it again") from error
        missing = [name for name in names if not (directory / name).is_file()]
        if missing:
            raise InputError(f"{index}: names {', '.join(missing)}, not found; fetch them")
        return [directory / name for name in names]
    files = sorted(directory.glob("*.safetensors"))
    if files:
        return files
    if list(directory.glob("*.bin")):
        raise InputError(
            f"{directory}: holds PyTorch .bin weights only; load it with transformers and save it "
            "again with save_pretrained, which writes safetensors"
        )
    raise InputError(f"{directory}: holds no .safetensors weights; is it a model directory?")


def write(
    directory: pathlib.Path,
    shapes: Mapping[str, tuple[int, ...]],
    get: Callable[[str], np.ndarray],
    dtype: str,
    max_shard_bytes: int,
) -> None:
    """Writes tensors to one file, or to several and an index.

    Args:
      directory: exists.
      shapes: of each tensor, in the order of writing.
      get: returns a tensor by name; called once for each.
      dtype: a key of DTYPES.
      max_shard_bytes: a file is closed before it outgrows this; a larger tensor has its own.

    Raises:
      InputError: a value is out of the range of float16.
    """
    sizes = {name: int(np.prod(shape)) * DTYPES[dtype].itemsize for name, shape in shapes.items()}
    shards: list[list[str]] = [[]]
    for name in shapes:
        if shards[-1] and sum(sizes[n] for n in shards[-1]) + sizes[name] > max_shard_bytes:
            shards.append([])
        shards[-1].append(name)
    if len(shards) == 1:
        _write_file(directory / SINGLE_NAME, shards[0], shapes, sizes, get, dtype)
        return
    weight_map = {}
    for number, names in enumerate(shards, start=1):
        file_name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        _write_file(directory / file_name, names, shapes, sizes, get, dtype)
        weight_map |= dict.fromkeys(names, file_name)
    index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": weight_map}
    (directory / INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _write_file(
    path: pathlib.Path,
    names: Sequence[str],
    shapes: Mapping[str, tuple[int, ...]],
    sizes: Mapping[str, int],
    get: Callable[[str], np.ndarray],
    dtype: str,
) -> None:
    # The package's own writer wants all tensors at once; the format is a length (8 bytes), a JSON
    # header and the tensors' bytes. transformers asks for the "format" entry.
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
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little"))
        file.write(encoded)
        for name in names:
            file.write(_cast(name, get(name), dtype).tobytes())


def _cast(name: str, tensor: np.ndarray, dtype: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = tensor.astype(DTYPES[dtype])
    if dtype == "float16" and not np.array_equal(np.isfinite(cast), np.isfinite(tensor)):
        raise InputError(f"{name}: holds values beyond float16's range; use bfloat16 or float32")
    return cast
