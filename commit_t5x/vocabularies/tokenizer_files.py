"""The files that make a tokenizer: where they lie, and what of them goes beside a checkpoint."""

import json
import pathlib

from commit_t5x.vocabularies import hugging_face

# SentencePiece first: where both lie, tokenizer.json is a conversion of the model, and slower here.
_NAMES = ("tokenizer.model", "tokenizer.json")


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
      InputError: see `HuggingFaceTokenizer`.

    Example:
      >>> sorted(read("SmolLM2-135M/tokenizer.json"))
      ['tokenizer.json', 'tokenizer_config.json']
    """
    path = pathlib.Path(path)
    if path.suffix != ".json":
        return {"tokenizer.model": path.read_bytes()}
    tokenizer = hugging_face.HuggingFaceTokenizer(path)
    config = json.dumps(tokenizer.config(), indent=2, ensure_ascii=False) + "\n"
    return {"tokenizer.json": path.read_bytes(), hugging_face.CONFIG: config.encode()}
