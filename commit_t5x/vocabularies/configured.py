"""The tokenizer that `TOKENIZER` names, or that lies with a model."""

import functools
import hashlib
import json
import logging
import pathlib

import gin

from commit_t5x import ranges, resources
from commit_t5x.errors import InputError
from commit_t5x.vocabularies.hugging_face import HuggingFaceTokenizer
from commit_t5x.vocabularies.sentencepiece import SentencePieceTokenizer
from commit_t5x.vocabularies.tokenizer import Tokenizer

_LOGGER = logging.getLogger(__name__)
# In several scripts, each of which tokenizers cut in ways of their own.
_PROBE = "It's 1,024 words:\nzwölf Wörter, δύο λέξεις, два слова, كلمتان, दो शब्द, สองคำ, 两个词"
_SPACES = "  two  \t\n\n  spaces  "  # which conversions treat in different ways


def find(path: str | pathlib.Path) -> Tokenizer | None:
    """Returns the tokenizer that a path stands for, None if none lies there.

    Args:
      path: a SentencePiece .model or Hugging Face tokenizer.json file; or a model directory, ours
        (or a checkpoint_N in it) or Hugging Face's, with one of the two. Where both lie there and
        are one tokenizer, it is the SentencePiece model, which is faster; else the tokenizer.json,
        as in transformers, and a line says so.

    Raises:
      InputError: it is neither, or has no BOS or EOS; see `HuggingFaceTokenizer` and
        `SentencePieceTokenizer`.
    """
    path = pathlib.Path(path).expanduser()
    if path.is_file():
        return (HuggingFaceTokenizer if path.suffix == ".json" else SentencePieceTokenizer)(path)
    model, converted = path / "tokenizer.model", path / "tokenizer.json"
    if converted.is_file():
        tokenizer = HuggingFaceTokenizer(converted)
        if not model.is_file():
            return tokenizer
        try:
            original = SentencePieceTokenizer(model)
        except InputError:  # LLaMA 3's is of another kind; or tokens have been added
            original = None
        if original is not None and agree(original, tokenizer, wholly=True):
            return original
        _LOGGER.warning(
            "%s: tokenizer.model and tokenizer.json differ; tokenizer.json is the one used", path
        )
        return tokenizer
    if model.is_file():
        return SentencePieceTokenizer(model)
    return find(path.parent) if path.name.startswith("checkpoint_") else None


def agree(first: Tokenizer, second: Tokenizer, wholly: bool = False) -> bool:
    """Returns whether two tokenizers, maybe from files of two kinds, give texts the same ids.

    Args:
      first, second: the two.
      wholly: also on runs of spaces, and with the same token for each id.
    """
    if first == second:
        return True
    probes = [_PROBE, _only_in(first, second), _only_in(second, first)]
    probes += [_SPACES] if wholly else []
    return (
        (first.bos_id, first.eos_id) == (second.bos_id, second.eos_id)
        and all(first.encode(text) == second.encode(text) for text in probes)
        and (not wholly or first.tokens() == second.tokens())
    )


def _only_in(tokenizer: Tokenizer, other: Tokenizer) -> str:
    """Returns the text of the tokens that the other one lacks, such as those of an extension."""
    known = set(other.tokens())
    lacking = [id_ for id_, token in enumerate(tokenizer.tokens()) if token not in known]
    return " ".join(tokenizer.decode([id_]) for id_ in lacking)


def name(tokenizer: Tokenizer) -> str:
    """Returns a short name, the same for tokenizers with the same tokens that cut texts alike.

    Example:
      >>> name(load("samples"))
      '3,000 tokens 9f2c41d0a7be'
    """
    ends = [tokenizer.bos_id, *sorted(tokenizer.eos_ids)]
    told = json.dumps([*ends, *tokenizer.encode(_PROBE), *tokenizer.tokens()])
    return f"{tokenizer.vocab_size:,} tokens {hashlib.sha256(told.encode()).hexdigest()[:12]}"


@functools.lru_cache(maxsize=4)
def load(path: str | pathlib.Path) -> Tokenizer:
    """Loads a tokenizer.

    Args:
      path: see `find`.

    Raises:
      InputError: there is none, or see `find`.
    """
    tokenizer = find(path)
    if tokenizer is None:
        raise InputError(
            f"{path}: no such tokenizer; set TOKENIZER to a SentencePiece .model file, a "
            "tokenizer.json, or a model directory with either"
        )
    return tokenizer


@gin.configurable
def get_vocabulary(tokenizer: ranges.Location | None = gin.REQUIRED) -> Tokenizer:
    """Returns the tokenizer that `TOKENIZER` names: what `find` takes, or "samples"."""
    if tokenizer is None:
        raise InputError("TOKENIZER: not set; name a tokenizer's file or a model directory")
    if tokenizer == "samples":
        tokenizer = resources.path("samples") / "tokenizer.model"
    return load(tokenizer)
