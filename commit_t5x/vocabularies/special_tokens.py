"""What the files beside a tokenizer's say of its special tokens, and what of them travels along."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from commit_t5x import disk
from commit_t5x.errors import InputError

CONFIG = "tokenizer_config.json"
GENERATION = "generation_config.json"
_MAP = "special_tokens_map.json"
_MODEL_CONFIGS = (GENERATION, "config.json")
_CHAT_TEMPLATE = "chat_template.jinja"
_ADDED = "added_tokens.json"
FILES = (CONFIG, _MAP, *_MODEL_CONFIGS, _CHAT_TEMPLATE, _ADDED)  # all that are read


def named(path: pathlib.Path, name: str) -> tuple[pathlib.Path, str] | None:
    """Returns the file that names a special token, and the token's text.

    Args:
      path: the tokenizer's file.
      name: "bos", "eos" or "pad".
    """
    for file in (path.with_name(CONFIG), path.with_name(_MAP)):
        token = _read(file).get(f"{name}_token")
        # Written as text, or with its properties. LLaMA's first conversions leave it empty.
        token = token.get("content") if isinstance(token, Mapping) else token
        if token:
            return file, token
    return None


def listed(path: pathlib.Path, name: str, vocab_size: int) -> tuple[int, ...]:
    """Returns the ids that generation_config.json, or else config.json, gives a special token.

    Raises:
      InputError: they aren't ids of the tokenizer.
    """
    for file in map(path.with_name, _MODEL_CONFIGS):
        given = _read(file).get(f"{name}_token_id")
        if given is not None:
            ids = given if isinstance(given, list) else [given]
            fits = all(type(id_) is int and id_ < vocab_size for id_ in ids)
            if not fits and name == "pad":  # nothing depends on it
                return ()
            if not fits:
                raise InputError(
                    f"{file}: {name}_token_id {given!r}: {path.name} has the ids below "
                    f"{vocab_size}; mend it"
                )
            return tuple(id_ for id_ in ids if id_ >= 0)  # -1 is an old word for none
    return ()


def eos_ids(path: pathlib.Path, eos_id: int, vocab_size: int) -> tuple[int, ...]:
    """Returns all tokens that end an answer: the tokenizer's own, and those that `listed` finds."""
    ids = listed(path, "eos", vocab_size)
    return ids if eos_id in ids else (eos_id, *ids)


def carried(
    path: pathlib.Path, tokens: Mapping[str, str], eos_ids: Sequence[int]
) -> dict[str, bytes]:
    """Returns what goes beside a tokenizer's file, by name, and needs no other file.

    Args:
      path: the tokenizer's file.
      tokens: e.g. {"eos_token": "</s>"}, where tokenizer_config.json names none.
      eos_ids: that end an answer.
    """
    config = _read(path.with_name(CONFIG))
    config |= {name: text for name, text in tokens.items() if not config.get(name)}
    template = path.with_name(_CHAT_TEMPLATE)
    if template.is_file():  # it wins, as in transformers
        config["chat_template"] = template.read_text(encoding="utf-8")
    generation = _read(path.with_name(GENERATION))
    if generation or len(eos_ids) > 1:
        generation["eos_token_id"] = list(eos_ids) if len(eos_ids) > 1 else eos_ids[0]
    files = {CONFIG: config, GENERATION: generation}
    return {name: to_json(content) for name, content in files.items() if content}


def added(path: pathlib.Path) -> set[str]:
    """Returns the tokens that files beside a tokenizer's list, pieces of a model or not."""
    listed = (_read(path.with_name(CONFIG)).get("added_tokens_decoder") or {}).values()
    return {token["content"] for token in listed} | {*_read(path.with_name(_ADDED))}


def to_json(content: Mapping[str, Any]) -> bytes:
    """Returns a JSON file as people read it."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _read(path: pathlib.Path) -> dict[str, Any]:
    """Returns what the file holds, nothing if there is no such file."""
    return disk.read_json(path) if path.is_file() else {}
