"""The files beside the checkpoints that say what network they are of, and its tokenizer."""

import json
import pathlib
from typing import Any

from commit_t5x import disk
from commit_t5x.errors import InputError
from commit_t5x.model import config_files
from commit_t5x.model.llama_config import LlamaConfig
from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.tokenizer import Tokenizer

_REMEDY = "copy it from the run that wrote the weights"
# A network may be run on longer or shorter rows than its weights were made for.
_MAY_DIFFER = ("max_length",)


def write(model_dir: pathlib.Path, config: Any, vocabulary: Any) -> None:
    """Writes the configuration and the tokenizer's files, each in one step.

    Args:
      model_dir: made if missing.
      config: of the network, with a `to_json`; None for none.
      vocabulary: a tokenizer, or any other vocabulary, None included, which has no files.
    """
    if config is not None:
        disk.write(model_dir / config_files.NATIVE, json.dumps(config.to_json(), indent=2) + "\n")
    for name, content in getattr(vocabulary, "files", {}).items():
        disk.write(model_dir / name, content)


def read_config(model_dir: pathlib.Path) -> LlamaConfig:
    """Reads the network's configuration.

    Raises:
      InputError: the file is missing or broken.
    """
    path = model_dir / config_files.NATIVE
    if not path.is_file():
        raise InputError(f"{path}: no such file; {_REMEDY}")
    return config_files.load(path)


def check_config(model_dir: pathlib.Path, config: Any) -> None:
    """Raises InputError if the weights in a directory are of another network than `config`.

    Equal shapes aren't enough: with another rope_theta or norm_eps the same weights compute
    something else.
    """
    path = model_dir / config_files.NATIVE
    if config is None or not path.is_file():
        return
    saved = disk.read_json(path, _REMEDY)
    for name, value in json.loads(json.dumps(config.to_json())).items():
        if name not in _MAY_DIFFER and name in saved and saved[name] != value:
            raise InputError(
                f"{path}: {name} is {saved[name]} in the checkpoint and {value} in the network; "
                "choose the gin file of the checkpoint's model, or another checkpoint"
            )


def tokenizer(model_dir: pathlib.Path) -> Tokenizer | None:
    """Returns the tokenizer in a model directory, or None."""
    return configured.find(model_dir)
