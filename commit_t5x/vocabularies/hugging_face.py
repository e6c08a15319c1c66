"""Hugging Face's `tokenizer.json` as seqio vocabularies, with the place of each token."""

import itertools
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
import seqio
import tensorflow as tf

from commit_t5x.vocabularies.tokenizer_files import HuggingFaceTokenizer


class HuggingFaceVocabulary(seqio.Vocabulary):
    """A `tokenizer.json`: byte-level BPE (LLaMA 3, SmolLM2), or a converted SentencePiece model.

    Neither BOS nor EOS is ever added, and text that looks like a special token is text: a user's
    "<|endoftext|>" becomes the tokens that spell it.

    SeqIO pads with 0, so `pad_id` is 0 whatever token that is ("!" in LLaMA 3). Loss weights and
    segment ids tell padding from text, never the id.

    Args:
      path: the `tokenizer.json`; tokenizer_config.json and the like beside it name BOS and EOS.

    Raises:
      InputError: see `HuggingFaceTokenizer.read`.

    Example:
      >>> vocabulary = HuggingFaceVocabulary("SmolLM2-135M/tokenizer.json")
      >>> vocabulary.decode(vocabulary.encode("two cups of tea"))
      'two cups of tea'
    """

    def __init__(self, path: str | pathlib.Path):
        super().__init__()
        self._tokenizer = HuggingFaceTokenizer.read(path)
        self._size = self._tokenizer.size

    @property
    def path(self) -> pathlib.Path:
        """The file, which checkpoints and exports carry along."""
        return self._tokenizer.path

    @property
    def bos_id(self) -> int:
        return self._tokenizer.bos_id

    @property
    def eos_id(self) -> int:
        return self._tokenizer.eos_id

    @property
    def unk_id(self) -> int | None:
        return self._tokenizer.unk_id

    @property
    def _base_vocab_size(self) -> int:
        return self._size

    def _encode(self, s: str) -> Sequence[int]:
        return self._tokenizer.backend.encode(s, add_special_tokens=False).ids

    def _decode(self, ids: Iterable[int]) -> str:
        return self._tokenizer.backend.decode([int(i) for i in ids], skip_special_tokens=True)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor:
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
        return np.array([self.decode(row.tolist()).encode() for row in rows], object)

    def encode_with_offsets_tf(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Tokenizes a batch and says where each token begins.

        Args:
          texts: string [n], UTF-8.

        Returns:
          ids: int32 ragged [n, (tokens)], without bos and eos.
          starts: int64 ragged [n, (tokens)], the byte of the text at which each token begins. A
            token that begins inside a character has the place where the character begins.
        """
        texts = tf.convert_to_tensor(texts)
        ids, starts, lengths = tf.numpy_function(
            self._encode_batch, [texts], (tf.int32, tf.int64, tf.int64), stateful=False
        )
        for tensor, shape in ((ids, [None]), (starts, [None]), (lengths, texts.shape)):
            tensor.set_shape(shape)
        ids, starts = (
            tf.RaggedTensor.from_row_lengths(values, lengths, validate=False)
            for values in (ids, starts)
        )
        return ids, starts

    def _encode_batch(self, texts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns ids and starts of all texts, one after another, and the tokens of each."""
        decoded = [text.decode() for text in texts]
        encodings = self._tokenizer.backend.encode_batch(decoded, add_special_tokens=False)
        lengths = np.array([len(encoding) for encoding in encodings], np.int64)
        ids = np.fromiter(itertools.chain(*(e.ids for e in encodings)), np.int32)
        # In characters of each text; then in characters and in bytes of all of them.
        starts = np.fromiter((start for e in encodings for start, _ in e.offsets), np.int64)
        rows = np.repeat(np.arange(len(texts)), lengths)
        starts += _begins(decoded)[rows]
        buffer = np.frombuffer(b"".join(texts) + b"\0", np.uint8)
        starts = np.flatnonzero((buffer & 0xC0) != 0x80)[starts]  # first bytes of characters
        return ids, starts - _begins(texts)[rows], lengths

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, HuggingFaceVocabulary):
            return False
        return self._tokenizer.digest == other._tokenizer.digest

    def __hash__(self) -> int:
        return hash(self._tokenizer.digest)

    def __reduce__(self):
        return HuggingFaceVocabulary, (self.path,)


def _begins(texts: Sequence) -> np.ndarray:
    """Returns where each text begins in all of them joined."""
    return np.cumsum([0, *map(len, texts)], dtype=np.int64)[:-1]
