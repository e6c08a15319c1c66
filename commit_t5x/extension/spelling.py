"""What tokens stand for in a text, of tokenizers of either kind."""

import functools
import json
import re

from tokenizers import pre_tokenizers

from commit_t5x.vocabularies.hugging_face import HuggingFaceTokenizer
from commit_t5x.vocabularies.sentencepiece import SPACE
from commit_t5x.vocabularies.tokenizer import Tokenizer

BYTE = re.compile(r"<0x([0-9A-F]{2})>")


def is_byte_level(tokenizer: Tokenizer) -> bool:
    """Returns whether tokens are spelt in ByteLevel's alphabet, and not in characters."""
    if not isinstance(tokenizer, HuggingFaceTokenizer):
        return False
    pre_tokenizer = json.loads(tokenizer.files["tokenizer.json"]).get("pre_tokenizer")
    return any(step["type"] == "ByteLevel" for step in steps(pre_tokenizer, "pretokenizers"))


def steps(part: dict | None, name: str) -> list[dict]:
    """Returns the steps of a part of a tokenizer.json; `name` is what it calls several."""
    if part is None:
        return []
    return list(part[name]) if part["type"] == "Sequence" else [part]


def bytes_of(token: str, byte_level: bool) -> bytes:
    """Returns the bytes of a text that a token stands for.

    Example:
      >>> bytes_of("Ġtea", True), bytes_of("▁tea", False), bytes_of("<0xE0>", False)
      (b' tea', b' tea', b'\\xe0')
    """
    if byte_level:
        values = byte_values()
        known = all(character in values for character in token)
        return bytes(map(values.__getitem__, token)) if known else token.encode()
    if byte := BYTE.fullmatch(token):
        return bytes([int(byte[1], 16)])
    return token.replace(SPACE, " ").encode()


def decoded(content: bytes) -> str:
    """Returns the text of bytes; empty where they aren't whole characters."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return ""


def space_before(tokenizer: Tokenizer) -> str:
    """Returns what goes before a word for its tokens within a text: a space, or nothing.

    A SentencePiece model of LLaMA's kind puts one there by itself.
    """
    first = tokenizer.encode("a")[0]
    return "" if tokenizer.tokens()[first].startswith(SPACE) else " "


@functools.cache
def byte_values() -> dict[str, int]:
    """Returns the byte that each character of ByteLevel's alphabet stands for."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    # Those that can be seen stand for themselves, and the others for the rest, in order.
    values = {character: ord(character) for character in alphabet if ord(character) < 256}
    rest = sorted({*range(256)} - {*values.values()})
    return values | dict(zip(alphabet[len(values) :], rest, strict=True))
