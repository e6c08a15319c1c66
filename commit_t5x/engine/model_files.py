"""The files beside the checkpoints that say what network they are of, and its tokenizer."""

import json
import os
import pathlib
from typing import Any

from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig
from commit_t5x.vocabularies import tokenizer_files

CONFIG_FILE = "model_config.json"
# A network may be run on longer or shorter rows than its weights were made for.
_MAY_DIFFER = ("max_length",)


def write(model_dir: pathlib.Path, config: Any, tokenizer_path: str | pathlib.Path | None) -> None:
    """Writes the configuration and copies the tokenizer, each in one step.

    Args:
      model_dir: made if missing.
      config: of the network, with a `to_json`; None for none.
      tokenizer_path: a SentencePiece .model or a Hugging Face tokenizer.json; None for none.
    """
    model_dir.mkdir(parents=True, exist_ok=True)
    if config is not None:
        text = json.dumps(config.to_json(), indent=2) + "\n"
        _replace(model_dir / CONFIG_FILE, text.encode())
    if tokenizer_path is not None:
        for name, content in tokenizer_files.read(tokenizer_path).items():
            _replace(model_dir / name, content)


def _replace(path: pathlib.Path, content: bytes) -> None:
    aside = path.with_name(f"{path.name}.tmp")
    aside.write_bytes(content)
    os.replace(aside, path)


def read_config(model_dir: pathlib.Path) -> LlamaConfig:
    """Reads the network's configuration.

    Raises:
      InputError: the file is missing or broken.
    """
    path = model_dir / CONFIG_FILE
    return LlamaConfig.from_json(_read_json(path))


def _read_json(path: pathlib.Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: missing; copy it from the run that wrote the weights") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: {error.msg}") from error


def check_config(model_dir: pathlib.Path, config: Any) -> None:
    """Raises InputError if the weights in a directory are of another network than `config`.

    Equal shapes aren't enough: with another rope_theta or norm_eps the same weights compute
    something else.
    """
    path = model_dir / CONFIG_FILE
    if config is None or not path.is_file():
        return
    saved = _read_json(path)
    for name, value in json.loads(json.dumps(config.to_json())).items():
        if name not in _MAY_DIFFER and name in saved and saved[name] != value:
            raise InputError(
                f"{path}: {name} is {saved[name]} in the checkpoint and {value} in the network; "
                "choose the gin file of the checkpoint's model, or another checkpoint"
            )


def tokenizer(model_dir: pathlib.Path) -> pathlib.Path | None:
    """Returns the tokenizer file in a model directory, or None."""
    return tokenizer_files.find(model_dir)
