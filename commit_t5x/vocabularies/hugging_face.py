"""Hugging Face's `tokenizer.json`, and what the files beside it say of BOS and EOS."""

import hashlib
import itertools
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from commit_t5x.errors import InputError
from commit_t5x.vocabularies import special_tokens
from commit_t5x.vocabularies.tokenizer import Tokenizer

# What BOS and EOS are called where no file beside the tokenizer says.
_WELL_KNOWN = {
    "bos": ("<|begin_of_text|>", "<s>", "<|endoftext|>"),
    "eos": ("<|end_of_text|>", "</s>", "<|endoftext|>"),
}


class HuggingFaceTokenizer(Tokenizer):
    """A `tokenizer.json`: byte-level BPE (LLaMA 3, SmolLM2), or a converted SentencePiece model.

    A user's "<|endoftext|>" becomes the tokens that spell it.

    Args:
      path: the tokenizer.json. BOS and EOS are what tokenizer_config.json, special_tokens_map.json,
        generation_config.json or config.json beside it says, in this order; else the tokens usually
        called so.

    Attributes:
      backend: encodes plain text.

    Raises:
      InputError: it is none, or nothing says which tokens are BOS and EOS.

    Example:
      >>> tokenizer = HuggingFaceTokenizer("SmolLM2-135M/tokenizer.json")
      >>> tokenizer.decode(tokenizer.encode("two cups of tea"))
      'two cups of tea'
    """

    def __init__(self, path: str | pathlib.Path):
        import tokenizers  # here: most models' tokenizer is of one kind or the other

        self.path = path = pathlib.Path(path)
        content = path.read_bytes()
        try:
            model = json.loads(content)["model"]
            self.backend = backend = tokenizers.Tokenizer.from_buffer(content)
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a tokenizer.json; set TOKENIZER to one") from error
        backend.no_truncation()
        backend.no_padding()
        backend.post_processor = None  # it would add BOS, and take spaces out of the offsets
        backend.encode_special_tokens = True
        self.vocab_size = max(backend.get_vocab(with_added_tokens=True).values()) + 1
        self.bos_id, self.eos_id = (_required_id(self, name) for name in _WELL_KNOWN)
        self.unk_id = model.get("unk_id")
        if self.unk_id is None and model.get("unk_token") is not None:
            self.unk_id = backend.token_to_id(model["unk_token"])
        self.pad_id = _named_id(self, "pad")
        self.eos_ids = special_tokens.eos_ids(path, self.eos_id, self.vocab_size)
        self.special_tokens = {
            token.content: id_
            for id_, token in backend.get_added_tokens_decoder().items()
            if token.special
        }
        tokens = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": backend.id_to_token(self.bos_id),
            "eos_token": backend.id_to_token(self.eos_id),
        }
        beside = special_tokens.carried(path, tokens, self.eos_ids)
        self.files = {"tokenizer.json": content, **beside}
        self.digest = hashlib.sha256(content + f"{self.bos_id} {self.eos_id}".encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        return self.backend.encode(text, add_special_tokens=False).ids

    def _decode(self, ids: list[int]) -> str:
        return self.backend.decode(ids, skip_special_tokens=True)

    def tokens(self) -> list[str]:
        return [self.backend.id_to_token(id_) or "" for id_ in range(self.vocab_size)]

    def encode_batch(self, texts: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        decoded = [text.decode() for text in texts]
        encodings = self.backend.encode_batch(decoded, add_special_tokens=False)
        lengths = np.array([len(encoding) for encoding in encodings], np.int64)
        ids = np.fromiter(itertools.chain(*(e.ids for e in encodings)), np.int32)
        # In characters of each text; then in characters and in bytes of all of them.
        starts = np.fromiter((start for e in encodings for start, _ in e.offsets), np.int64)
        rows = np.repeat(np.arange(len(texts)), lengths)
        starts += _begins(decoded)[rows]
        buffer = np.frombuffer(b"".join(texts) + b"\0", np.uint8)
        starts = np.flatnonzero((buffer & 0xC0) != 0x80)[starts]  # first bytes of characters
        return ids, starts - _begins(texts)[rows], lengths


def _begins(texts: Sequence) -> np.ndarray:
    """Returns where each text begins in all of them joined."""
    return np.cumsum([0, *map(len, texts)], dtype=np.int64)[:-1]


def _required_id(tokenizer: HuggingFaceTokenizer, name: str) -> int:
    """Returns the id of "bos" or "eos"."""
    usual = map(tokenizer.backend.token_to_id, _WELL_KNOWN[name])
    for id_ in (_named_id(tokenizer, name), *usual):
        if id_ is not None:
            return id_
    raise InputError(
        f"{tokenizer.path}: nothing says which token is {name}; put a {special_tokens.CONFIG} with "
        f"a {name}_token beside it"
    )


def _named_id(tokenizer: HuggingFaceTokenizer, name: str) -> int | None:
    """Returns the id of a special token as the files beside a tokenizer give it."""
    path = tokenizer.path
    if found := special_tokens.named(path, name):
        file, token = found
        if (id_ := tokenizer.backend.token_to_id(token)) is None:
            raise InputError(f"{file}: {name}_token {token!r} is not in {path.name}; mend it")
        return id_
    return next(iter(special_tokens.listed(path, name, tokenizer.vocab_size)), None)
