"""EasyLM's streaming checkpoints: a file of msgpack items, one a tensor.

An item is [key, value]: the path as a list of names, and the array as flax serialises it.
"""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import flax.serialization
import msgpack
import numpy as np

from commit_t5x.conversion.formats import Source
from commit_t5x.conversion.rules import Rule
from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig
from commit_t5x.vocabularies import configured

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
_PREFIX = "params::"
_HEAD_BYTES = 4096  # more than a key takes
_LENGTH_BYTES = {0xC4: 1, 0xC5: 2, 0xC6: 4}  # of a byte string's length, by msgpack's mark for it


def recognises(path: pathlib.Path) -> bool:
    """Returns whether `path` says params::, or is a file that begins with an item."""
    if str(path).startswith(_PREFIX):
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(1) == b"\x92"  # an array of two


def read(path: pathlib.Path, config: LlamaConfig | None = None) -> Source:
    """Opens a streaming checkpoint of parameters; reads it once to find its tensors.

    Args:
      path: the file, with or without EasyLM's prefix params::.
      config: of the model, which the file doesn't say.

    Raises:
      InputError: the file isn't such a checkpoint, or `config` is None.
    """
    path = pathlib.Path(str(path).removeprefix(_PREFIX))
    if config is None:
        raise InputError(
            f"{path}: EasyLM's files don't say what model they hold; pass --config with a preset "
            "(7b, llama3_8b, ...) or a config.json"
        )
    try:
        items = dict(_items(path))
    except (LookupError, ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise InputError(
            f"{path}: not an EasyLM streaming checkpoint, or cut short ({error}); fetch it again"
        ) from error
    return Source(
        name=str(path),
        config=config,
        rules=RULES,
        shapes={name: item.shape for name, item in items.items()},
        get=lambda name: items[name].read(path),
        dtypes={name: item.dtype for name, item in items.items()},
        find_tokenizer=lambda: configured.find(path.parent),
    )


class _Item(NamedTuple):
    """Where a tensor lies in the file."""

    shape: tuple[int, ...]
    dtype: str
    start: int
    size: int

    def read(self, path: pathlib.Path) -> np.ndarray:
        with path.open("rb") as file:
            file.seek(self.start)
            return flax.serialization.msgpack_restore(file.read(self.size))


def _items(path: pathlib.Path) -> Iterator[tuple[str, _Item]]:
    """Yields the tensors' places; msgpack itself would hold several copies of each."""
    with path.open("rb") as file:
        while head := file.read(_HEAD_BYTES):
            unpacker = msgpack.Unpacker()
            unpacker.feed(head)
            if unpacker.read_array_header() != 2:
                raise ValueError("an item is no pair")
            key, at = unpacker.unpack(), unpacker.tell()
            width = _LENGTH_BYTES[head[at]]
            size = int.from_bytes(head[at + 1 : at + 1 + width], "big")
            start = file.tell() - len(head) + at + 1 + width
            file.seek(start)
            array = flax.serialization.msgpack_restore(file.read(size))
            item = _Item(array.shape, array.dtype.name, start, size)
            del array  # before the next one is read
            yield "/".join(key), item
