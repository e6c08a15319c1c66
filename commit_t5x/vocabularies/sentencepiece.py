"""SentencePiece models, by the library's own reader."""

import array
import functools
import hashlib
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from commit_t5x.errors import InputError
from commit_t5x.vocabularies import special_tokens
from commit_t5x.vocabularies.tokenizer import Tokenizer

SPACE = "\u2581"  # SentencePiece's sign for a space

# Words whose tokens are kept, some 300 bytes each, and the longest of them in bytes.
_MAX_KNOWN_WORDS = 200_000
_LONGEST_KNOWN_WORD = 60
_TOKEN_BYTES = 8


class SentencePieceTokenizer(Tokenizer):
    """A LLaMA-style SentencePiece model: unk 0 (also the padding), bos 1, eos 2.

    Args:
      path: the .model file. A tokenizer_config.json beside it may name other special tokens, and a
        generation_config.json further ones that end an answer.

    Raises:
      InputError: it is none, defines no bos or eos, or the files beside it add tokens to it.

    Example:
      >>> tokenizer = SentencePieceTokenizer("tokenizer.model")
      >>> tokenizer.bos_id, tokenizer.eos_id, tokenizer.unk_id
      (1, 2, 0)
    """

    def __init__(self, path: str | pathlib.Path):
        from sentencepiece import SentencePieceProcessor  # here, as in hugging_face

        self.path = pathlib.Path(path)
        content = self.path.read_bytes()
        self._processor = SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(content)
        except RuntimeError as error:
            raise InputError(
                f"{path}: not a SentencePiece model; set TOKENIZER to one, or to a tokenizer.json"
            ) from error
        pieces = self._processor
        self.vocab_size = pieces.vocab_size()
        self._check_nothing_is_added()
        self.unk_id = pieces.unk_id()
        self.bos_id = self._named_id("bos", pieces.bos_id())
        self.eos_id = self._named_id("eos", pieces.eos_id())
        self.pad_id = self._named_id("pad", self.unk_id)
        if min(self.bos_id, self.eos_id) < 0:
            raise InputError(
                f"{path}: the model defines no bos or eos id; use one trained with both"
            )
        self.eos_ids = special_tokens.eos_ids(self.path, self.eos_id, self.vocab_size)
        special = (i for i in range(self.vocab_size) if pieces.is_control(i) or i == self.unk_id)
        self.special_tokens = {pieces.id_to_piece(i): i for i in special}
        beside = special_tokens.carried(self.path, {}, self.eos_ids)
        self.files = {"tokenizer.model": content, **beside}
        self.digest = hashlib.sha256(content + f"{self.bos_id} {self.eos_id}".encode()).hexdigest()
        self._encode_known_word = functools.lru_cache(_MAX_KNOWN_WORDS)(self._encode_word)

    def _named_id(self, name: str, default: int) -> int:
        """Returns the id of a special token, as the files beside the model name it."""
        _, token = special_tokens.named(self.path, name) or (None, None)
        return self._processor.piece_to_id(token) if token and self._has(token) else default

    def _has(self, token: str) -> bool:
        return self._processor.id_to_piece(self._processor.piece_to_id(token)) == token

    def _check_nothing_is_added(self) -> None:
        """Raises InputError where the model alone is not the tokenizer."""
        named = (special_tokens.named(self.path, name) for name in ("bos", "eos"))
        tokens = [*(found[1] for found in named if found), *special_tokens.added(self.path)]
        if added := sorted({token for token in tokens if not self._has(token)}):
            raise InputError(
                f"{self.path}: the files beside it add tokens, {', '.join(added[:5])}, which only "
                "a tokenizer.json can hold; name that where there is one, or let transformers make "
                f"it: AutoTokenizer.from_pretrained({str(self.path.parent)!r}).save_pretrained(...)"
            )

    def tokens(self) -> list[str]:
        return self._processor.id_to_piece(list(range(self.vocab_size)))

    @property
    def proto(self) -> Any:
        """The model as SentencePiece's protocol buffer."""
        from sentencepiece import sentencepiece_model_pb2

        return sentencepiece_model_pb2.ModelProto.FromString(self.files["tokenizer.model"])

    def check_exportable(self) -> None:
        spec = self.proto.normalizer_spec
        symbols = [p.piece for p in self.proto.pieces if p.type == p.USER_DEFINED]
        if self.proto.trainer_spec.model_type != self.proto.trainer_spec.BPE:
            problem = "only SentencePiece models of type BPE can be exported; use one"
        elif spec.precompiled_charsmap:
            # The tokenizers package applies such rules to whole grapheme clusters, with other
            # results on combining marks.
            problem = (
                f"its normalisation ({spec.name}) can't be expressed exactly in a tokenizer.json, "
                "which exports need; use a model trained with normalization_rule_name=identity"
            )
        elif symbols:
            problem = (
                f"user-defined symbols {symbols[:5]} can't be expressed in a tokenizer.json, which "
                "exports need; use a model trained without them"
            )
        else:
            return
        raise InputError(f"{self.path}: {problem}")

    def encode(self, text: str) -> list[int]:
        return self._processor.encode(text)

    def _decode(self, ids: list[int]) -> str:
        # The network may have more rows than there are pieces.
        return self._processor.decode_ids([i if i < self.vocab_size else self.unk_id for i in ids])

    def encode_batch(self, texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        encoded = [self._processor.encode(text, out_type="offset_mapping") for text in texts]
        ids = [id_ for row in encoded for id_ in row["ids"]]
        starts = [start for row in encoded for start, _ in row["offsets"]]
        lengths = [len(row["ids"]) for row in encoded]
        return np.array(ids, np.int32), np.array(starts, np.int64), np.array(lengths, np.int64)

    @functools.cached_property
    def words_are_independent(self) -> bool:
        """Whether tokens never depend on what stands before the space before them.

        That is so for LLaMA's kind of model: byte-pair encoding without normalisation, in which no
        piece holds a space after another character.
        """
        model = self.proto
        normalizer, trainer = model.normalizer_spec, model.trainer_spec
        return (
            trainer.model_type == trainer.BPE
            and not trainer.treat_whitespace_as_suffix
            and normalizer.add_dummy_prefix
            and normalizer.escape_whitespaces
            and not normalizer.remove_extra_whitespaces
            and not normalizer.precompiled_charsmap
            and not any(re.search(f"[^{SPACE}]{SPACE}", piece.piece) for piece in model.pieces)
        )

    def encode_words(
        self, distinct: np.ndarray, which: np.ndarray, widths: np.ndarray, splits: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokenizes texts that are given as words, most of which have been met before.

        Only where `words_are_independent`.

        Args:
          distinct: bytes [distinct words], each with the space before it.
          which: int64 [words], the distinct word that each word is.
          widths: int32 [words], bytes of each word.
          splits: int64 [n + 1], where the words of each text begin, and the number of all.

        Returns:
          ids: int32 [tokens], of all texts.
          starts: int64 [tokens], the byte of its text at which each begins.
          splits: int64 [n + 1], where the tokens of each text begin, and the number of all.
        """
        known, anew = self._encode_known_word, self._encode_word
        words = distinct.tolist()
        rows = [(known if len(word) <= _LONGEST_KNOWN_WORD else anew)(word) for word in words]
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

    def _encode_word(self, word: bytes) -> bytes:
        """Returns a word's tokens as the bytes of an int64 array.

        The high half of each is the byte of the word at which the token begins, the low half its
        id.
        """
        # Without its first space, as SentencePiece puts one there.
        bare = word.removeprefix(b" ")
        if bare == word:
            bare = word.removeprefix(SPACE.encode())
        encoded = self._processor.encode(bare, out_type="offset_mapping")
        starts = [begin + len(word) - len(bare) for begin, _ in encoded["offsets"]]
        starts[:1] = [0] * len(starts[:1])  # the first token begins at the space
        pairs = zip(starts, encoded["ids"], strict=True)
        return array.array("q", [start << 32 | id_ for start, id_ in pairs]).tobytes()
