"""T5X's checkpoints from before Orbax: a msgpack file with a zarr directory for each large array.

T5X still reads them, but writes Orbax, which is our own format; so this one is only read.
"""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import flax.serialization
import msgpack
import numpy as np
import tensorstore as ts
from flax import traverse_util

from commit_t5x.conversion import companions, native_names
from commit_t5x.conversion.formats import Source
from commit_t5x.conversion.stored_leaves import LayerReader, StoredLeaf
from commit_t5x.engine import model_files
from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig

RULES = native_names.RULES
_INDEX = "checkpoint"  # the msgpack file


def recognises(path: pathlib.Path) -> bool:
    """Returns whether `path` is a checkpoint_N folder with T5X's msgpack file, or holds one."""
    return _find(path) is not None


def read(path: pathlib.Path, config: LlamaConfig | None = None) -> Source:
    """Opens a checkpoint_N folder, or a model directory for its latest one.

    Args:
      path: of the folder.
      config: of the model; by default what model_config.json beside the checkpoint says.

    Raises:
      InputError: it is no such checkpoint or broken, or nothing says what model it is of.
    """
    folder = _find(path)
    if folder is None:
        raise InputError(f"{path}: holds no file '{_INDEX}'; name T5X's checkpoint_N folder")
    if config is None and not (folder.parent / model_files.CONFIG_FILE).is_file():
        raise InputError(
            f"{folder}: T5X's checkpoints don't say what model they hold; pass --config with a "
            "preset (7b, llama3_8b, ...) or a config.json"
        )
    try:
        content = flax.serialization.msgpack_restore((folder / _INDEX).read_bytes())
        target = content["optimizer"]["target"]
        leaves = traverse_util.flatten_dict(target, is_leaf=lambda _, leaf: _is_spec(leaf), sep="/")
        leaves = {name: _open(folder, leaf) for name, leaf in leaves.items()}
    except (ValueError, KeyError, TypeError, msgpack.UnpackException) as error:
        problem = str(error).partition("\n")[0]
        raise InputError(
            f"{folder}: not a readable checkpoint ({problem}); copy it again"
        ) from error
    reader = LayerReader(str(folder))
    return native_names.source(
        name=str(folder),
        leaves=leaves,
        config=config or model_files.read_config(folder.parent),
        files=companions.read(folder.parent),
        read=lambda leaf, index: (
            reader(leaf, index)
            if isinstance(leaf, StoredLeaf)
            else leaf
            if index is None
            else leaf[index]
        ),
    )


def _find(path: pathlib.Path) -> pathlib.Path | None:
    if (path / _INDEX).is_file():
        return path
    folders = {
        int(match[1]): folder
        for folder in path.glob("checkpoint_*")
        if (match := re.fullmatch(r"checkpoint_(\d+)", folder.name)) and (folder / _INDEX).is_file()
    }
    return folders[max(folders)] if folders else None


def _is_spec(leaf: Any) -> bool:
    return isinstance(leaf, Mapping) and {"driver", "kvstore"} <= set(leaf)


def _open(folder: pathlib.Path, leaf: Any) -> StoredLeaf | np.ndarray:
    if not _is_spec(leaf):
        return np.asarray(leaf)  # small arrays stand in the msgpack file itself
    # A spec may come from a checkpoint in the cloud, and older ones keep the path outside.
    name = leaf["kvstore"].get("path") or leaf["path"]
    kvstore = {"driver": "file", "path": f"{(folder / name).absolute()}/"}
    return StoredLeaf(ts.open({"driver": leaf["driver"], "kvstore": kvstore}).result())
