"""What tokenizers make of texts: tokens a word, bytes a token, words a row."""

import collections
import dataclasses
import math
import pathlib
from collections.abc import Sequence

import rich.table

from commit_t5x import bar_plot
from commit_t5x.extension import spelling, words
from commit_t5x.vocabularies.tokenizer import Tokenizer

ROW_LENGTH = 512  # in tokens, the paper's


@dataclasses.dataclass(frozen=True)
class Fertility:
    """What a tokenizer makes of a text.

    Attributes:
      text, tokenizer: as the user names them.
      words: what white space parts.
      tokens: of the text, each of its documents by itself.
      tokens_a_word, tokens_a_character, bytes_a_token: means.
      byte_tokens: share of the tokens that hold parts of characters.
      continued_words: share of the words that are several tokens.
      words_a_row: how many of the words a row of ROW_LENGTH tokens holds.
    """

    text: str
    tokenizer: str
    words: int
    tokens: int
    tokens_a_word: float
    tokens_a_character: float
    bytes_a_token: float
    byte_tokens: float
    continued_words: float
    words_a_row: int


def measure(text: str, name: str, tokenizer: Tokenizer) -> Fertility:
    """Tokenizes a file's documents.

    Args:
      text: a file that `words.texts` reads.
      name: of the tokenizer.
      tokenizer: it.

    Raises:
      InputError: the file can't be read or holds no text.

    Example:
      >>> measure("wikipedia.hi.txt", "smollm2", configured.load("smollm2")).words_a_row
      88
    """
    ids: collections.Counter[int] = collections.Counter()
    found: collections.Counter[str] = collections.Counter()
    characters = size = 0
    for document in words.texts(text):
        ids.update(tokenizer.encode(document))
        found.update(document.split())
        characters += len(document)
        size += len(document.encode())
    byte_level, space = spelling.is_byte_level(tokenizer), spelling.space_before(tokenizer)
    spelt = tokenizer.tokens()
    parts = sum(
        count
        for id_, count in ids.items()
        if not spelling.decoded(spelling.bytes_of(spelt[id_], byte_level))
    )
    continued = sum(n for word, n in found.items() if len(tokenizer.encode(space + word)) > 1)
    tokens, count = ids.total(), found.total()
    return Fertility(
        text=text,
        tokenizer=name,
        words=count,
        tokens=tokens,
        tokens_a_word=tokens / count,
        tokens_a_character=tokens / characters,
        bytes_a_token=size / tokens,
        byte_tokens=parts / tokens,
        continued_words=continued / count,
        words_a_row=ROW_LENGTH * count // tokens,
    )


def table(measured: Sequence[Fertility]) -> rich.table.Table:
    """Returns a line for each text and tokenizer."""
    columns = {
        "tokens / word": lambda line: f"{line.tokens_a_word:.2f}",
        "tokens / char.": lambda line: f"{line.tokens_a_character:.2f}",
        "bytes / token": lambda line: f"{line.bytes_a_token:.2f}",
        "byte tokens": lambda line: f"{line.byte_tokens:.1%}",
        "continued words": lambda line: f"{line.continued_words:.1%}",
        f"words in {ROW_LENGTH}": lambda line: f"{line.words_a_row:,}",
    }
    shown = rich.table.Table("text", "tokenizer")
    for name in columns:
        shown.add_column(name, justify="right")
    last = None
    for line in measured:
        shown.add_section() if last not in (None, line.text) else None
        label = pathlib.Path(line.text).name if line.text != last else ""
        shown.add_row(label, line.tokenizer, *(show(line) for show in columns.values()))
        last = line.text
    return shown


def plot(measured: Sequence[Fertility]) -> bytes:
    """Returns a PNG: tokens a word, a group of bars for each text, a bar for each tokenizer.

    Raises:
      InputError: matplotlib isn't installed.
    """
    heights = {
        (line.text, line.tokenizer): (line.tokens_a_word, math.nan, math.nan) for line in measured
    }
    texts, names = (list(dict.fromkeys(column)) for column in zip(*heights, strict=True))
    groups = {text: pathlib.Path(text).name for text in texts}
    return bar_plot.png("--plot", groups, names, {"tokens / word": heights})
