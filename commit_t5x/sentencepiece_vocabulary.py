"""SentencePiece models as seqio vocabularies, with the place of each token in the text."""

import functools
import pathlib
import re

import seqio
import tensorflow as tf
from sentencepiece import sentencepiece_model_pb2

_SPACE = "\u2581"  # SentencePiece's sign for a space


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
