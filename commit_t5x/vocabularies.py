"""Tokenizers as seqio vocabularies; the pad, bos and eos ids live here."""

import functools
import pathlib
import re
from collections.abc import Iterable, Sequence

import gin
import numpy as np
import seqio
import tensorflow as tf
from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2, sentencepiece_pb2

from commit_t5x import resources
from commit_t5x.errors import InputError

_SPACE = "\u2581"  # SentencePiece's sign for a space
_SPACE_UTF8 = _SPACE.encode()

# Words whose tokens are kept, some 200 bytes each, and the longest of them in bytes.
_MAX_KNOWN_WORDS = 1_000_000
_LONGEST_KNOWN_WORD = 100


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
            return self._encode_by_words_tf(texts)
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

    def _encode_by_words_tf(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """`encode_with_offsets_tf` by way of words, most of which have been met before."""
        # SentencePiece puts a space before a text. Words are cut off before their spaces; ahead of
        # the first there is nothing, or a text of spaces.
        spaced = tf.strings.join([" ", texts])
        cut = tf.strings.regex_replace(spaced, f"[ {_SPACE}]+[^ {_SPACE}]", b"\xff\\0")
        words = tf.strings.split(cut, b"\xff")
        flat = words.flat_values
        outputs = tf.numpy_function(self._encode_words, [flat], [tf.int32, tf.int32, tf.int64])
        ids, starts, lengths = (tf.ensure_shape(output, [None]) for output in outputs)
        # Where each word begins in its text, which the space before it isn't part of.
        begins = tf.cumsum(tf.strings.length(flat), exclusive=True)
        begins -= tf.repeat(tf.gather(begins, words.row_starts()), words.row_lengths()) + 1
        starts = tf.cast(tf.nn.relu(starts + tf.repeat(begins, lengths)), tf.int64)
        splits = tf.gather(tf.concat([[0], tf.cumsum(lengths)], axis=0), words.row_splits)
        return (
            tf.RaggedTensor.from_row_splits(ids, splits, validate=False),
            tf.RaggedTensor.from_row_splits(starts, splits, validate=False),
        )

    def _encode_words(self, words: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns all words' ids and starts, int32 [tokens] each, and lengths, int64 [words]."""
        known = self._known_words
        if len(known) > _MAX_KNOWN_WORDS:
            known.clear()
        rows = [known.get(word) or self._encode_word(word) for word in words.tolist()]
        ids, starts = (b"".join([row[part] for row in rows]) for part in (0, 1))
        lengths = np.array([len(row[0]) for row in rows], np.int64) // 4
        return np.frombuffer(ids, np.int32), np.frombuffer(starts, np.int32), lengths

    def _encode_word(self, word: bytes) -> tuple[bytes, bytes]:
        """Returns the ids and starts of a word's tokens as the bytes of int32 arrays."""
        # Without its first space, as SentencePiece puts one there.
        bare = word.removeprefix(b" ") if word.startswith(b" ") else word.removeprefix(_SPACE_UTF8)
        encoded = self.tokenizer.encode(bare, out_type="serialized_proto")
        pieces = sentencepiece_pb2.SentencePieceText.FromString(encoded).pieces
        starts = [piece.begin + len(word) - len(bare) for piece in pieces]
        starts[:1] = [0] * len(starts[:1])  # the first token begins at the space
        ids = [piece.id for piece in pieces]
        row = np.array(ids, np.int32).tobytes(), np.array(starts, np.int32).tobytes()
        if len(word) <= _LONGEST_KNOWN_WORD:
            self._known_words[word] = row
        return row

    @functools.cached_property
    def _known_words(self) -> dict[bytes, tuple[bytes, bytes]]:
        return {}


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
