"""What every tokenizer offers, whatever its file: text to ids, their places in it, and back."""

import abc
import itertools
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from commit_t5x.errors import InputError


class Tokenizer(abc.ABC):
    """A tokenizer in plain Python; `seqio_vocabulary` makes a SeqIO vocabulary of it.

    Neither BOS nor EOS is ever added, and text that looks like a special token is text.

    Attributes:
      path: the file.
      files: by name, what checkpoints and exports carry along, generation_config.json included.
      bos_id, eos_id: of the tokens that begin and end a sequence.
      eos_ids: of all tokens that end an answer, e.g. a chat model's end of turn; `eos_id` is one.
      unk_id: None where every text has tokens.
      pad_id: None where nothing names it. Here nothing depends on it.
      special_tokens: by text, the ids of tokens that are never text.
      vocab_size: rows of an embedding that has one for each token.
      digest: equal for equal tokenizers, which compare and hash by it.
    """

    path: pathlib.Path
    files: Mapping[str, bytes]
    bos_id: int
    eos_id: int
    eos_ids: Sequence[int]
    unk_id: int | None
    pad_id: int | None
    special_tokens: Mapping[str, int]
    vocab_size: int
    digest: str

    @abc.abstractmethod
    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text."""

    @abc.abstractmethod
    def encode_batch(self, texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Tokenizes texts, and says where each token begins.

        Args:
          texts: n of them, in UTF-8.

        Returns:
          ids: int32 [tokens], of all texts, one after another.
          starts: int64 [tokens], the byte of its text at which each token begins; of a token that
            begins inside a character, the byte at which the character does.
          lengths: int64 [n], tokens of each text.
        """

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of ids up to the first of `eos_ids`, special tokens left out."""
        until_eos = itertools.takewhile(lambda id_: id_ not in self.eos_ids, map(int, ids))
        return self._decode(list(until_eos))

    @abc.abstractmethod
    def _decode(self, ids: list[int]) -> str:
        """Returns the text of ids, none of them EOS."""

    @abc.abstractmethod
    def tokens(self) -> list[str]:
        """Returns each token as its file spells it, by id."""

    def check_exportable(self) -> None:  # noqa: B027, a tokenizer.json has nothing to check
        """Raises InputError where no tokenizer.json, and so no export, can hold the tokenizer."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[type, tuple[pathlib.Path]]:
        return type(self), (self.path,)


def check_fits(vocabulary: Any, rows: int) -> None:
    """Raises InputError if a tokenizer, ours or SeqIO's, has more tokens than a network rows."""
    if vocabulary.vocab_size > rows:
        path = getattr(vocabulary, "path", "TOKENIZER")
        raise InputError(
            f"{path}: the tokenizer has {vocabulary.vocab_size:,} tokens, the network {rows:,} "
            "rows; use the tokenizer that the network was trained with, or a wider network"
        )
