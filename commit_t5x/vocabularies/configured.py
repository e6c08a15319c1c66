"""Tokenizers as seqio vocabularies; the pad, bos and eos ids live here."""

import functools
import pathlib
from collections.abc import Iterable, Sequence

import gin
import seqio
import tensorflow as tf
from google.protobuf.message import DecodeError

from commit_t5x import resources
from commit_t5x.errors import InputError
from commit_t5x.vocabularies import tokenizer_files
from commit_t5x.vocabularies.hugging_face import HuggingFaceVocabulary
from commit_t5x.vocabularies.sentencepiece import SentencePieceVocabulary

Vocabulary = SentencePieceVocabulary | HuggingFaceVocabulary


@functools.lru_cache(maxsize=4)
def load(path: str | pathlib.Path) -> Vocabulary:
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
    if file.suffix == ".json":
        return HuggingFaceVocabulary(file)
    vocabulary = SentencePieceVocabulary(str(file))
    try:
        special = (vocabulary.bos_id, vocabulary.eos_id)
    except (DecodeError, RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"{file}: not a SentencePiece model; set TOKENIZER to one, or to a tokenizer.json"
        ) from error
    if min(special) < 0:
        raise InputError(f"{file}: the model defines no bos or eos id; use one trained with both")
    return vocabulary


@gin.configurable
def get_vocabulary(tokenizer: str = gin.REQUIRED) -> Vocabulary:
    """Returns the vocabulary that `TOKENIZER` names: what `load` takes, or "samples"."""
    if tokenizer == "samples":
        return load(resources.path("samples") / "tokenizer.model")
    return load(tokenizer)


class ConfiguredVocabulary(seqio.Vocabulary):
    """The vocabulary that `get_vocabulary` is configured to give, looked up at each use.

    Tasks are registered at import, before gin has said where the tokenizer lies.
    """

    @property
    def bos_id(self) -> int:
        return get_vocabulary().bos_id

    @property
    def eos_id(self) -> int:
        return get_vocabulary().eos_id

    @property
    def unk_id(self) -> int | None:
        return get_vocabulary().unk_id

    @property
    def _base_vocab_size(self) -> int:
        return get_vocabulary().vocab_size

    def _encode(self, s: str) -> Sequence[int]:
        return get_vocabulary().encode(s)

    def _decode(self, ids: Iterable[int]) -> str:
        return get_vocabulary().decode(ids)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        return get_vocabulary().encode_tf(s)

    def _decode_tf(self, ids: tf.Tensor) -> tf.Tensor:
        return get_vocabulary().decode_tf(ids)

    def encode_with_offsets_tf(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """As `SentencePieceVocabulary.encode_with_offsets_tf`."""
        return get_vocabulary().encode_with_offsets_tf(texts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConfiguredVocabulary)

    __hash__ = None
