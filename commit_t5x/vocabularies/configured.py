"""The tokenizer that `TOKENIZER` names."""

import functools
import pathlib

import gin

from commit_t5x import resources
from commit_t5x.errors import InputError
from commit_t5x.vocabularies import tokenizer_files
from commit_t5x.vocabularies.hugging_face import HuggingFaceTokenizer
from commit_t5x.vocabularies.sentencepiece import SentencePieceTokenizer
from commit_t5x.vocabularies.tokenizer import Tokenizer


@functools.lru_cache(maxsize=4)
def load(path: str | pathlib.Path) -> Tokenizer:
    """Loads a tokenizer: a SentencePiece model, or a Hugging Face tokenizer.json.

    Args:
      path: see `tokenizer_files.find`.

    Raises:
      InputError: there is none, it is neither, or it has no BOS or EOS.
    """
    file = tokenizer_files.find(path)
    if file is None:
        raise InputError(
            f"{path}: no such tokenizer; set TOKENIZER to a SentencePiece .model file, a "
            "tokenizer.json, or a model directory with either"
        )
    return HuggingFaceTokenizer(file) if file.suffix == ".json" else SentencePieceTokenizer(file)


@gin.configurable
def get_vocabulary(tokenizer: str = gin.REQUIRED) -> Tokenizer:
    """Returns the tokenizer that `TOKENIZER` names: what `load` takes, or "samples"."""
    if tokenizer == "samples":
        return load(resources.path("samples") / "tokenizer.model")
    return load(tokenizer)
