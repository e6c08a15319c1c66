"""EasyLM's streaming checkpoints: a file of msgpack items, one a tensor.

An item is [key, value]: the path as a list of names, and the array as flax serialises it, a msgpack
extension of [shape, dtype, bytes] within a byte string. Only the heads of items are parsed here, as
a msgpack library would hold several copies of each tensor.
"""

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO

import flax.serialization
import jax.numpy as jnp
import msgpack
import numpy as np

from commit_t5x.conversion import arrays, companions
from commit_t5x.conversion.formats import Header, Put, Source
from commit_t5x.conversion.rules import Rule
from commit_t5x.engine import model_files
from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig

_LAYER = "transformer/h/{layer}"


def _kernel(native: str, foreign: str, interleaved: bool = False) -> Rule:
    return Rule(f"layers/{native}/kernel", f"{_LAYER}/{foreign}/kernel", interleaved=interleaved)


RULES: tuple[Rule, ...] = (
    Rule("token_embedder/embedding", "transformer/wte/embedding"),
    Rule("layers/pre_self_attention_layer_norm/scale", f"{_LAYER}/attention_norm/kernel"),
    _kernel("self_attention/query", "attention/wq", interleaved=True),
    _kernel("self_attention/key", "attention/wk", interleaved=True),
    _kernel("self_attention/value", "attention/wv"),
    _kernel("self_attention/out", "attention/wo"),
    Rule("layers/pre_mlp_layer_norm/scale", f"{_LAYER}/ffn_norm/kernel"),
    _kernel("mlp/wi_0", "feed_forward/w1"),
    _kernel("mlp/wi_1", "feed_forward/w3"),
    _kernel("mlp/wo", "feed_forward/w2"),
    Rule("decoder_norm/scale", "transformer/ln_f/kernel"),
    Rule("logits_dense/kernel", "lm_head/kernel"),
)
_PREFIX, _FILE = "params::", "streaming_params"
_HEAD_BYTES = 4096  # more than a key, a shape and a dtype take
_BIN = {0xC4: 1, 0xC5: 2, 0xC6: 4}  # msgpack's byte strings: bytes of the length that follows
_EXT = {0xC7: 1, 0xC8: 2, 0xC9: 4}  # its extensions, likewise; then a byte for the type
_FIXED_EXT = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}  # extensions of these lengths
_ARRAY_TYPE = 1  # flax's extension for arrays
_MAX_BYTES = 2**32 - 64  # that fit msgpack's longest byte string, with its heads


def recognises(path: pathlib.Path) -> bool:
    """Returns whether `path` says params::, or is a directory with such a file, or one."""
    if str(path).startswith(_PREFIX) or (path / _FILE).is_file():
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) == b"\x92"  # an array of two: the first item


def read(path: pathlib.Path, config: LlamaConfig | None = None) -> Source:
    """Opens a streaming checkpoint of parameters.

    Args:
      path: the file, with or without EasyLM's prefix params::, or a directory that `write` wrote.
      config: of the model; by default what model_config.json beside the file says.

    Raises:
      InputError: the file isn't such a checkpoint, or nothing says what model it is of.
    """
    path = pathlib.Path(str(path).removeprefix(_PREFIX))
    if path.is_dir():
        path = path / _FILE
    if config is None and not (path.parent / model_files.CONFIG_FILE).is_file():
        raise InputError(
            f"{path}: EasyLM's files don't say what model they hold; pass --config with a preset "
            "(7b, llama3_8b, ...) or a config.json"
        )
    items = {item.name: item for item in _items(path)}
    return Source(
        name=str(path),
        config=config or model_files.read_config(path.parent),
        rules=RULES,
        shapes={name: item.shape for name, item in items.items()},
        get=lambda name: items[name].read(path),
        dtypes={name: item.dtype for name, item in items.items()},
        files=companions.read(path.parent),
    )


@dataclasses.dataclass(frozen=True)
class _Item:
    """Where a tensor lies in the file."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    start: int
    size: int
    chunked: bool = False

    def read(self, path: pathlib.Path) -> np.ndarray:
        with path.open("rb") as file:
            file.seek(self.start)
            if self.chunked:
                return flax.serialization.msgpack_restore(file.read(self.size))
            count = math.prod(self.shape)
            return np.fromfile(file, jnp.dtype(self.dtype), count).reshape(self.shape)


def _items(path: pathlib.Path) -> Iterator[_Item]:
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            at = 0
            while at < size:
                item, at = _item(file, at)
                if at > size:
                    raise ValueError(f"ends within {item.name}")
                yield item
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise InputError(
            f"{path}: not an EasyLM streaming checkpoint, or cut short ({error}); fetch it again"
        ) from error


def _item(file: BinaryIO, at: int) -> tuple[_Item, int]:
    """Parses the head of an item; returns it and the place where the next one begins."""
    head = _Head(file, at)
    if head.array() != 2:
        raise ValueError("an item is no pair")
    name = "/".join(str(part) for part in head.value())
    value_size = head.length(_BIN)
    start = head.at
    end = start + value_size
    if not head.is_extension():
        # flax cuts arrays of over 1 GiB to chunks; these are rare enough to be read whole.
        file.seek(start)
        whole = flax.serialization.msgpack_restore(file.read(value_size))
        if not isinstance(whole, np.ndarray):
            raise ValueError(f"{name} is no array")
        return _Item(name, whole.shape, whole.dtype.name, start, value_size, chunked=True), end
    head.extension()
    if head.array() != 3:
        raise ValueError(f"{name} is no array")
    shape, dtype = tuple(head.value()), head.value()
    size = head.length(_BIN)
    if head.at + size != end or size != math.prod(shape) * jnp.dtype(dtype).itemsize:
        raise ValueError(f"{name}: its size doesn't fit its shape")
    return _Item(name, shape, dtype, head.at, size), end


class _Head:
    """Reads msgpack's heads of nested items one after the other, never their contents."""

    def __init__(self, file: BinaryIO, at: int):
        file.seek(at)
        self._bytes = file.read(_HEAD_BYTES)
        self._start, self._offset = at, 0

    @property
    def at(self) -> int:
        """Place in the file."""
        return self._start + self._offset

    def array(self) -> int:
        """Returns the length of the array that begins here."""
        return self._unpack("read_array_header")

    def value(self):
        """Returns the small value that stands here."""
        return self._unpack("unpack")

    def _unpack(self, method: str):
        unpacker = msgpack.Unpacker()
        unpacker.feed(self._bytes[self._offset :])
        value = getattr(unpacker, method)()
        self._offset += unpacker.tell()
        return value

    def length(self, kinds: Mapping[int, int]) -> int:
        """Returns the length of the string or extension that begins here."""
        width = kinds.get(self._bytes[self._offset])
        if width is None:
            raise ValueError("no byte string where one is due")
        begin = self._offset + 1
        self._offset = begin + width
        return int.from_bytes(self._bytes[begin : self._offset], "big")

    def is_extension(self) -> bool:
        """Returns whether an extension begins here."""
        return self._bytes[self._offset] in {**_EXT, **_FIXED_EXT}

    def extension(self) -> None:
        """Passes the head of flax's extension for arrays."""
        if self._bytes[self._offset] in _FIXED_EXT:
            self._offset += 1
        else:
            self.length(_EXT)
        kind = self._bytes[self._offset]
        self._offset += 1
        if kind != _ARRAY_TYPE:
            raise ValueError(f"an extension of type {kind}, which is no array")


@contextlib.contextmanager
def write(
    dst: pathlib.Path, shapes: Mapping[str, tuple[int, ...]], header: Header
) -> Iterator[Put]:
    """Writes a directory with `streaming_params`, which EasyLM loads as params::FILE.

    The configuration and the tokenizer lie beside it.

    Args:
      dst: the directory; exists.
      shapes: of the tensors by name, as RULES has them.
      header: see Header.

    Raises:
      InputError: the model has biases or tied embeddings, or a tensor is too large for msgpack.
    """
    config = header.config
    if config.attention_bias or config.mlp_bias or config.tied_embeddings:
        raise InputError("EasyLM's LLaMA has neither biases nor tied embeddings; use another --to")
    model_files.write(dst, config, None)
    for name, content in header.files.items():
        (dst / name).write_bytes(content)
    with (dst / _FILE).open("wb") as file:

        def put(name: str, tensor: np.ndarray) -> None:
            size = tensor.size * arrays.DTYPES[header.dtype].itemsize
            if size > _MAX_BYTES:
                raise InputError(f"{name}: too large for msgpack; use --dtype bfloat16")
            file.write(_heads(name, tensor.shape, header.dtype, size))
            for piece in arrays.rows(tensor, header.dtype, name):
                file.write(piece.reshape(-1).view(np.uint8))

        yield put


def _heads(name: str, shape: tuple[int, ...], dtype: str, size: int) -> bytes:
    """Returns what stands before a tensor's bytes."""
    packer = msgpack.Packer()
    inner = packer.pack_array_header(3) + packer.pack(shape) + packer.pack(dtype)
    inner += b"\xc6" + size.to_bytes(4, "big")
    extension = b"\xc9" + (len(inner) + size).to_bytes(4, "big") + bytes([_ARRAY_TYPE])
    value = b"\xc6" + (len(extension) + len(inner) + size).to_bytes(4, "big")
    key = packer.pack_array_header(2) + packer.pack(name.split("/"))
    return key + value + extension + inner
