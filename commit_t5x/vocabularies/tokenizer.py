"""What every tokenizer offers, whatever its file: text to ids, their places in it, and back."""

import abc
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np


class Tokenizer(abc.ABC):
    """A tokenizer in plain Python; `seqio_vocabulary` makes a SeqIO vocabulary of it.

    Neither BOS nor EOS is ever added, and text that looks like a special token is text.

    Attributes:
      path: the file, which checkpoints and exports carry along.
      bos_id, eos_id: of the tokens that begin and end a sequence.
      unk_id: None where every text has tokens.
      vocab_size: rows of an embedding that has one for each token.
      digest: equal for equal tokenizers, which compare and hash by it.
    """

    path: pathlib.Path
    bos_id: int
    eos_id: int
    unk_id: int | None
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
        """Returns the text of ids up to the first EOS, special tokens left out."""
        ids = [int(id_) for id_ in ids]
        return self._decode(ids[: ids.index(self.eos_id)] if self.eos_id in ids else ids)

    @abc.abstractmethod
    def _decode(self, ids: list[int]) -> str:
        """Returns the text of ids, none of them EOS."""

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[type, tuple[pathlib.Path]]:
        return type(self), (self.path,)
