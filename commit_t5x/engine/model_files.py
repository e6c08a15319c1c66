"""The files beside the checkpoints that say what network they are of, and its tokenizer."""

import json
import pathlib
from typing import Any

from commit_t5x import disk
from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig
from commit_t5x.vocabularies import tokenizer_files

CONFIG_FILE = "model_config.json"
_REMEDY = "copy it from the run that wrote the weights"
# A network may be run on longer or shorter rows than its weights were made for.
_MAY_DIFFER = ("max_length",)


def write(model_dir: pathlib.Path, config: Any, tokenizer_path: str | pathlib.Path | None) -> None:
    """Writes the configuration and copies the tokenizer, each in one step.

    Args:
      model_dir: made if missing.
      config: of the network, with a `to_json`; None for none.
      tokenizer_path: a SentencePiece .model or a Hugging Face tokenizer.json; None for none.
    """
    if config is not None:
        disk.write(model_dir / CONFIG_FILE, json.dumps(config.to_json(), indent=2) + "\n")
    if tokenizer_path is not None:
        for name, content in tokenizer_files.read(tokenizer_path).items():
            disk.write(model_dir / name, content)


def read_config(model_dir: pathlib.Path) -> LlamaConfig:
    """Reads the network's configuration.

    Raises:
      InputError: the file is missing or broken.
    """
    return LlamaConfig.from_json(disk.read_json(model_dir / CONFIG_FILE, _REMEDY))


def check_config(model_dir: pathlib.Path, config: Any) -> None:
    """Raises InputError if the weights in a directory are of another network than `config`.

    Equal shapes aren't enough: with another rope_theta or norm_eps the same weights compute
    something else.
    """
    path = model_dir / CONFIG_FILE
    if config is None or not path.is_file():
        return
    saved = disk.read_json(path, _REMEDY)
    for name, value in json.loads(json.dumps(config.to_json())).items():
        if name not in _MAY_DIFFER and name in saved and saved[name] != value:
            raise InputError(
                f"{path}: {name} is {saved[name]} in the checkpoint and {value} in the network; "
                "choose the gin file of the checkpoint's model, or another checkpoint"
            )


def tokenizer(model_dir: pathlib.Path) -> pathlib.Path | None:
    """Returns the tokenizer file in a model directory, or None."""
    return tokenizer_files.find(model_dir)
