"""Tokenizers as seqio vocabularies; the pad, bos and eos ids live here."""

import functools
import pathlib
import re
from collections.abc import Iterable, Sequence

import gin
import seqio
import tensorflow as tf
from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2

from commit_t5x import resources
from commit_t5x.errors import InputError

_SPACE = "\u2581"  # SentencePiece's sign for a space


class SentencePieceVocabulary(seqio.SentencePieceVocabulary):
    """A LLaMA-style SentencePiece model: unk 0 (also the padding), bos 1, eos 2.

    Example:
      >>> vocabulary = load("tokenizer.model")
      >>> vocabulary.bos_id, vocabulary.eos_id, vocabulary.pad_id
      (1, 2, 0)
    """

    @property
    def path(self) -> pathlib.Path:
        """The model's file, which checkpoints and exports carry along."""
        return pathlib.Path(self.sentencepiece_model_file)

    def encode_with_offsets_tf(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Tokenizes a batch and says where each token begins.

        Args:
          texts: string [n], UTF-8.

        Returns:
          ids: int32 ragged [n, (tokens)], without bos and eos.
          starts: int64 ragged [n, (tokens)], the byte of the text at which each token begins. The
            byte tokens of one character all begin where it begins.
        """
        if self._words_are_independent:
            return self._encode_distinct_words_tf(texts)
        ids, starts, _ = self.tf_tokenizer.tokenize_with_offsets(texts)
        return ids, starts

    @functools.cached_property
    def _words_are_independent(self) -> bool:
        """Whether tokens never depend on what stands before the space before them.

        That is so for LLaMA's kind of model: byte-pair encoding without normalisation, in which no
        piece holds a space after another character.
        """
        model = sentencepiece_model_pb2.ModelProto.FromString(self.path.read_bytes())
        normalizer, trainer = model.normalizer_spec, model.trainer_spec
        return (
            trainer.model_type == trainer.BPE
            and not trainer.treat_whitespace_as_suffix
            and normalizer.add_dummy_prefix
            and normalizer.escape_whitespaces
            and not normalizer.remove_extra_whitespaces
            and not normalizer.precompiled_charsmap
            and not any(re.search(f"[^{_SPACE}]{_SPACE}", piece.piece) for piece in model.pieces)
        )

    def _encode_distinct_words_tf(
        self, texts: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """`encode_with_offsets_tf`, tokenizing each distinct word of the batch once."""
        # SentencePiece puts a space before a text. Words are cut off before their spaces, and lose
        # the first one, as it is put there again. The run ahead of the first word, which is empty
        # but for a text of spaces, has no tokens or is one word.
        spaced = tf.strings.join([" ", texts])
        cut = tf.strings.regex_replace(spaced, f"[ {_SPACE}]+[^ {_SPACE}]", b"\xff\\0")
        words = tf.strings.split(cut, b"\xff")
        distinct, which = tf.unique(words.flat_values, tf.int64)
        bare = tf.strings.regex_replace(distinct, f"^[ {_SPACE}]", "")
        ids, starts, _ = self.tf_tokenizer.tokenize_with_offsets(bare)
        # Where each token begins in its word: the first at the space, the others after it.
        space = tf.cast(tf.strings.length(distinct) - tf.strings.length(bare), starts.dtype)
        rows = ids.value_rowids()
        places = tf.range(tf.size(rows, tf.int64))
        is_first = places == tf.gather(ids.row_starts(), rows)
        starts = starts.flat_values + tf.gather(space, rows)
        starts = tf.where(is_first, tf.zeros_like(starts), starts)

        tokens = tf.gather(ids.with_flat_values(places), which)  # [words, (tokens)]
        lengths = tf.strings.length(words.flat_values)
        begins = tf.cumsum(tf.cast(lengths, starts.dtype), exclusive=True)
        begins -= tf.gather(begins, tf.repeat(words.row_starts(), words.row_lengths()))
        starts = tf.gather(starts, tokens.flat_values) + tf.gather(begins, tokens.value_rowids())
        splits = tf.gather(tokens.row_splits, words.row_splits)
        return (
            tf.RaggedTensor.from_row_splits(
                tf.gather(ids.flat_values, tokens.flat_values), splits, validate=False
            ),
            # The space before the text isn't part of it.
            tf.RaggedTensor.from_row_splits(tf.nn.relu(starts - 1), splits, validate=False),
        )


@functools.lru_cache(maxsize=4)
def load(path: str | pathlib.Path) -> SentencePieceVocabulary:
    """Loads a SentencePiece model.

    Raises:
      InputError: the file is missing, isn't a SentencePiece model, or lacks bos or eos.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"{path}: no such tokenizer; set TOKENIZER to a SentencePiece .model file")
    vocabulary = SentencePieceVocabulary(str(path))
    try:
        special = (vocabulary.bos_id, vocabulary.eos_id)
    except (DecodeError, RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{path}: not a SentencePiece model; set TOKENIZER to one") from error
    if min(special) < 0:
        raise InputError(f"{path}: the model defines no bos or eos id; use one trained with both")
    return vocabulary


@gin.configurable
def get_vocabulary(tokenizer: str = gin.REQUIRED) -> SentencePieceVocabulary:
    """Returns the vocabulary that `TOKENIZER` names: a path, or "samples" for the shipped one."""
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
    def unk_id(self) -> int:
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
