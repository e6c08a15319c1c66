"""SentencePiece models as seqio vocabularies, with the place of each token in the text."""

import array
import functools
import pathlib
import re
from collections.abc import Callable

import numpy as np
import seqio
import tensorflow as tf
from sentencepiece import SentencePieceProcessor, sentencepiece_model_pb2

_SPACE = "\u2581"  # SentencePiece's sign for a space

# Words whose tokens are kept, some 300 bytes each, and the longest of them in bytes.
_MAX_KNOWN_WORDS = 200_000
_LONGEST_KNOWN_WORD = 60


class SentencePieceVocabulary(seqio.SentencePieceVocabulary):
    """A LLaMA-style SentencePiece model: unk 0 (also the padding), bos 1, eos 2.

    Example:
      >>> vocabulary = SentencePieceVocabulary("tokenizer.model")
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
            return self._encode_words_tf(texts)
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

    def _encode_words_tf(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """`encode_with_offsets_tf` by way of words, most of which have been met before."""
        # SentencePiece puts a space before a text. Words are cut off before their spaces. The run
        # ahead of the first word, which is empty but for a text of spaces, has no tokens or is one.
        spaced = tf.strings.join([" ", texts])
        cut = tf.strings.regex_replace(spaced, f"[ {_SPACE}]+[^ {_SPACE}]", b"\xff\\0")
        words = tf.strings.split(cut, b"\xff")
        distinct, which = tf.unique(words.flat_values, tf.int64)
        widths = tf.strings.length(words.flat_values)
        ids, starts, splits = (
            tf.ensure_shape(output, [None])
            for output in tf.numpy_function(
                self._encode_words,
                [distinct, which, widths, words.row_splits],
                [tf.int32, tf.int64, tf.int64],
                stateful=False,
            )
        )
        return (
            tf.RaggedTensor.from_row_splits(ids, splits, validate=False),
            tf.RaggedTensor.from_row_splits(starts, splits, validate=False),
        )

    def _encode_words(
        self, distinct: np.ndarray, which: np.ndarray, widths: np.ndarray, splits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokenizes texts that are given as words.

        Args:
          distinct: bytes [distinct words].
          which: int64 [words], the distinct word that each word is.
          widths: int32 [words], bytes of each word.
          splits: int64 [n + 1], where the words of each text begin, and the number of all.

        Returns:
          ids: int32 [tokens], of all texts.
          starts: int64 [tokens], the byte of its text at which each begins.
          splits: int64 [n + 1], where the tokens of each text begin, and the number of all.
        """
        encode = _word_encoder(self.tokenizer)
        rows = [encode(word) for word in distinct.tolist()]
        counts = np.fromiter(map(len, rows), np.int64, len(rows)) // _TOKEN_BYTES
        firsts = (np.cumsum(counts) - counts)[which]
        counts = counts[which]
        ends = np.concatenate([[0], np.cumsum(counts)])
        places = np.arange(ends[-1]) + np.repeat(firsts - ends[:-1], counts)
        tokens = np.frombuffer(b"".join(rows), np.int64)[places]
        # Where each word begins in its text, which the space before it isn't part of.
        begins = np.cumsum(widths, dtype=np.int64) - widths
        begins -= np.repeat(begins[splits[:-1]] + 1, np.diff(splits))
        starts = (tokens >> 32) + np.repeat(begins, counts)
        return tokens.astype(np.int32), np.maximum(starts, 0), ends[splits]


_TOKEN_BYTES = 8


@functools.lru_cache(maxsize=4)
def _word_encoder(tokenizer: SentencePieceProcessor) -> Callable[[bytes], bytes]:
    """Returns a function from a word to its tokens, as the bytes of an int64 array.

    The high half of each is the byte of the word at which the token begins, the low half its id.
    """

    def encode(word: bytes) -> bytes:
        # Without its first space, as SentencePiece puts one there.
        bare = word.removeprefix(b" ")
        if bare == word:
            bare = word.removeprefix(_SPACE.encode())
        encoded = tokenizer.encode(bare, out_type="offset_mapping")
        starts = [begin + len(word) - len(bare) for begin, _ in encoded["offsets"]]
        starts[:1] = [0] * len(starts[:1])  # the first token begins at the space
        pairs = zip(starts, encoded["ids"], strict=True)
        return array.array("q", [start << 32 | id_ for start, id_ in pairs]).tobytes()

    keep = functools.lru_cache(_MAX_KNOWN_WORDS)(encode)
    return lambda word: (keep if len(word) <= _LONGEST_KNOWN_WORD else encode)(word)
