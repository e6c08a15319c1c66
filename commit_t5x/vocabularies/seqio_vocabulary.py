"""Tokenizers as SeqIO vocabularies, with the place of each token in the text."""

import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
import seqio
import tensorflow as tf

from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.sentencepiece import SPACE, SentencePieceTokenizer
from commit_t5x.vocabularies.tokenizer import Tokenizer


class TokenizerVocabulary(seqio.SentencePieceVocabulary):
    """A tokenizer as SeqIO's tasks take it.

    It equals any vocabulary of the same tokenizer, a user's `seqio.SentencePieceVocabulary` too.
    That one's own `==` compares paths; as its subclass, this class is asked first on either side.

    SeqIO pads with 0, so `pad_id` is 0 whatever token that is ("!" in LLaMA 3). Loss weights and
    segment ids tell padding from text, never the id.

    Args:
      tokenizer: does the work, in Python and in the graph.

    Example:
      >>> vocabulary = TokenizerVocabulary(configured.load("SmolLM2-135M"))
      >>> features = {"targets": seqio.Feature(vocabulary, add_eos=False)}
    """

    def __init__(self, tokenizer: Tokenizer):
        super().__init__("")  # SeqIO's own reader stays unused
        self._tokenizer = tokenizer

    def __reduce__(self):
        return type(self), (self._tokenizer,)

    @property
    def tokenizer(self) -> Tokenizer:
        """What does the work."""
        return self._tokenizer

    @property
    def path(self) -> pathlib.Path:
        """The tokenizer's file."""
        return self.tokenizer.path

    @property
    def sp_model(self) -> bytes | None:
        """The SentencePiece model as SeqIO keeps it; None of a tokenizer.json."""
        if not isinstance(self.tokenizer, SentencePieceTokenizer):
            return None
        return self.tokenizer.proto.SerializeToString()

    @property
    def bos_id(self) -> int:
        return self.tokenizer.bos_id

    @property
    def eos_id(self) -> int:
        return self.tokenizer.eos_id

    @property
    def unk_id(self) -> int | None:
        return self.tokenizer.unk_id

    @property
    def _base_vocab_size(self) -> int:
        return self.tokenizer.vocab_size

    def _encode(self, s: str) -> Sequence[int]:
        return self.tokenizer.encode(s)

    def _decode(self, ids: Iterable[int]) -> str:
        return self.tokenizer.decode(ids)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
        s = tf.convert_to_tensor(s)
        if s.shape.rank == 0:
            return self.encode_with_offsets_tf(s[tf.newaxis])[0].flat_values
        return self.encode_with_offsets_tf(s)[0]

    def decode_tf(self, ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        """Returns the text of ids [tokens], or the texts of [n, tokens], up to the first EOS.

        Overrides SeqIO's, which puts tokens of id 0 after EOS: here they may be text.
        """
        return self._decode_tf(ids)

    def _decode_tf(self, ids: tf.Tensor | tf.RaggedTensor) -> tf.Tensor:
        if ids.shape.rank == 1:
            return self._decode_tf(ids[tf.newaxis])[0]
        rows = ids if isinstance(ids, tf.RaggedTensor) else tf.RaggedTensor.from_tensor(ids)
        texts = tf.numpy_function(
            self._decode_batch, [rows.flat_values, rows.row_splits], tf.string, stateful=False
        )
        texts.set_shape([ids.shape[0]])
        return texts

    def _decode_batch(self, ids: np.ndarray, splits: np.ndarray) -> np.ndarray:
        rows = np.split(ids, splits[1:-1]) if len(splits) > 1 else []
        return np.array([self.tokenizer.decode(row.tolist()).encode() for row in rows], object)

    def encode_with_offsets_tf(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Tokenizes a batch and says where each token begins.

        Args:
          texts: string [n], UTF-8.

        Returns:
          ids: int32 ragged [n, (tokens)], without bos and eos.
          starts: int64 ragged [n, (tokens)], the byte of the text at which each token begins; see
            `Tokenizer.encode_batch`.
        """
        texts, tokenizer = tf.convert_to_tensor(texts), self.tokenizer
        if isinstance(tokenizer, SentencePieceTokenizer) and tokenizer.words_are_independent:
            return _encode_words(tokenizer, texts)
        ids, starts, lengths = tf.numpy_function(
            tokenizer.encode_batch, [texts], (tf.int32, tf.int64, tf.int64), stateful=False
        )
        for tensor, shape in ((ids, [None]), (starts, [None]), (lengths, texts.shape)):
            tensor.set_shape(shape)
        ids, starts = (
            tf.RaggedTensor.from_row_lengths(values, lengths, validate=False)
            for values in (ids, starts)
        )
        return ids, starts

    def __eq__(self, other: object) -> bool:
        if isinstance(other, TokenizerVocabulary):
            return self.tokenizer == other.tokenizer
        if not isinstance(other, seqio.SentencePieceVocabulary):
            return NotImplemented
        return self.sp_model == other.sp_model and _special_ids(self) == _special_ids(other)

    __hash__ = None

    def __str__(self) -> str:
        return f"{type(self.tokenizer).__name__}({self.path}, {self.tokenizer.digest})"


class ConfiguredVocabulary(TokenizerVocabulary):
    """The tokenizer that `TOKENIZER` names, looked up at each use.

    Tasks are registered at import, before gin has said where the tokenizer lies.
    """

    def __init__(self):
        super().__init__(None)

    def __reduce__(self):
        return ConfiguredVocabulary, ()

    @property
    def tokenizer(self) -> Tokenizer:
        return configured.get_vocabulary()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ConfiguredVocabulary) or super().__eq__(other)

    __hash__ = None


def _special_ids(vocabulary: seqio.Vocabulary) -> tuple[int | None, ...]:
    return tuple(getattr(vocabulary, f"{name}_id") for name in ("pad", "bos", "eos", "unk"))


def _encode_words(
    tokenizer: SentencePieceTokenizer, texts: tf.Tensor
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """`encode_with_offsets_tf` by way of words, most of which have been met before."""
    # SentencePiece puts a space before a text. Words are cut off before their spaces. The run ahead
    # of the first word, which is empty but for a text of spaces, has no tokens or is one.
    spaced = tf.strings.join([" ", texts])
    cut = tf.strings.regex_replace(spaced, f"[ {SPACE}]+[^ {SPACE}]", b"\xff\\0")
    words = tf.strings.split(cut, b"\xff")
    distinct, which = tf.unique(words.flat_values, tf.int64)
    widths = tf.strings.length(words.flat_values)
    ids, starts, splits = (
        tf.ensure_shape(output, [None])
        for output in tf.numpy_function(
            tokenizer.encode_words,
            [distinct, which, widths, words.row_splits],
            [tf.int32, tf.int64, tf.int64],
            stateful=False,
        )
    )
    return (
        tf.RaggedTensor.from_row_splits(ids, splits, validate=False),
        tf.RaggedTensor.from_row_splits(starts, splits, validate=False),
    )
