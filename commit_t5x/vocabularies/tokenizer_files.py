"""The files that make a tokenizer: where they lie, and what they say of BOS and EOS.

Plain Python, so that checkpoints can be converted without TensorFlow.
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import tokenizers

from commit_t5x import disk
from commit_t5x.errors import InputError

# SentencePiece first: where both lie, tokenizer.json is a conversion of the model, and slower here.
_NAMES = ("tokenizer.model", "tokenizer.json")
_CONFIG, _MAP = "tokenizer_config.json", "special_tokens_map.json"
_MODEL_CONFIGS = ("generation_config.json", "config.json")
_CHAT_TEMPLATE = "chat_template.jinja"
# What BOS and EOS are called where no file beside the tokenizer says.
_WELL_KNOWN = {
    "bos": ("<|begin_of_text|>", "<s>", "<|endoftext|>"),
    "eos": ("<|end_of_text|>", "</s>", "<|endoftext|>"),
}


def find(path: str | pathlib.Path) -> pathlib.Path | None:
    """Returns the tokenizer's file that `path` stands for, None if there is none.

    Args:
      path: a SentencePiece .model or Hugging Face tokenizer.json file, or a model directory (ours
        or Hugging Face's) with one of the two, of which a SentencePiece model goes first.
    """
    path = pathlib.Path(path).expanduser()
    candidates = [path / name for name in _NAMES] if path.is_dir() else [path]
    return next((file for file in candidates if file.is_file()), None)


def read(path: str | pathlib.Path) -> dict[str, bytes]:
    """Returns what goes beside a checkpoint, by file name; `find` finds the tokenizer there.

    Args:
      path: a tokenizer's file.

    Raises:
      InputError: see `HuggingFaceTokenizer.read`.

    Example:
      >>> sorted(read("SmolLM2-135M/tokenizer.json"))
      ['tokenizer.json', 'tokenizer_config.json']
    """
    path = pathlib.Path(path)
    if path.suffix != ".json":
        return {"tokenizer.model": path.read_bytes()}
    tokenizer = HuggingFaceTokenizer.read(path)
    config = json.dumps(tokenizer.config(), indent=2, ensure_ascii=False) + "\n"
    return {"tokenizer.json": path.read_bytes(), _CONFIG: config.encode()}


@dataclasses.dataclass(frozen=True)
class HuggingFaceTokenizer:
    """A tokenizer.json, and what the files beside it say.

    Attributes:
      path: of the tokenizer.json.
      backend: encodes plain text: neither BOS nor EOS is added, and what looks like a special
        token is the text that it is.
      bos_id, eos_id: as tokenizer_config.json, special_tokens_map.json, generation_config.json or
        config.json says, in this order; else of the tokens usually called so.
      unk_id: None where every text has tokens.
      pad_id: None where nothing names it. Here nothing depends on it.
      digest: of the file and the ids; equal for equal tokenizers.
    """

    path: pathlib.Path
    backend: tokenizers.Tokenizer
    bos_id: int
    eos_id: int
    unk_id: int | None
    pad_id: int | None
    digest: str

    @classmethod
    def read(cls, path: str | pathlib.Path) -> "HuggingFaceTokenizer":
        """Reads a tokenizer.json.

        Raises:
          InputError: it is none, or nothing says which tokens are BOS and EOS.
        """
        path = pathlib.Path(path)
        content = path.read_bytes()
        try:
            model = json.loads(content)["model"]
            backend = tokenizers.Tokenizer.from_buffer(content)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a tokenizer.json; set TOKENIZER to one") from error
        backend.no_truncation()
        backend.no_padding()
        backend.post_processor = None  # it would add BOS, and take spaces out of the offsets
        backend.encode_special_tokens = True
        bos_id, eos_id = (_required_id(path, backend, name) for name in _WELL_KNOWN)
        unk_id = model.get("unk_id")
        if unk_id is None and model.get("unk_token") is not None:
            unk_id = backend.token_to_id(model["unk_token"])
        digest = hashlib.sha256(content + f"{bos_id} {eos_id}".encode()).hexdigest()
        pad_id = _named_id(path, backend, "pad")
        return cls(path, backend, bos_id, eos_id, unk_id, pad_id, digest)

    @property
    def size(self) -> int:
        """Rows of an embedding that has one for each token."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    def config(self) -> dict[str, Any]:
        """Returns a tokenizer_config.json that needs no other file to name BOS and EOS."""
        config = _read_json(self.path.with_name(_CONFIG))
        config.setdefault("tokenizer_class", "PreTrainedTokenizerFast")
        for name, id_ in (("bos_token", self.bos_id), ("eos_token", self.eos_id)):
            if config.get(name) is None:
                config[name] = self.backend.id_to_token(id_)
        template = self.path.with_name(_CHAT_TEMPLATE)
        if template.is_file():
            config.setdefault("chat_template", template.read_text(encoding="utf-8"))
        return config


def _required_id(path: pathlib.Path, backend: tokenizers.Tokenizer, name: str) -> int:
    """Returns the id of "bos" or "eos"."""
    usual = (backend.token_to_id(token) for token in _WELL_KNOWN[name])
    for id_ in (_named_id(path, backend, name), *usual):
        if id_ is not None:
            return id_
    raise InputError(
        f"{path}: nothing says which token is {name}; put a {_CONFIG} with a {name}_token beside it"
    )


def _named_id(path: pathlib.Path, backend: tokenizers.Tokenizer, name: str) -> int | None:
    """Returns the id of a special token as the files beside a tokenizer give it."""
    for file in (path.with_name(_CONFIG), path.with_name(_MAP)):
        token = _read_json(file).get(f"{name}_token")
        # Written as text, or with its properties.
        token = token.get("content") if isinstance(token, Mapping) else token
        if token is not None:
            if (id_ := backend.token_to_id(token)) is None:
                raise InputError(f"{file}: {name}_token {token!r} is not in {path.name}; mend it")
            return id_
    for file in (path.with_name(config) for config in _MODEL_CONFIGS):
        id_ = _read_json(file).get(f"{name}_token_id")
        if id_ is not None:
            return id_[0] if isinstance(id_, list) else id_
    return None


def _read_json(path: pathlib.Path) -> dict[str, Any]:
    """Returns what the file holds, nothing if there is no such file."""
    return disk.read_json(path) if path.is_file() else {}
