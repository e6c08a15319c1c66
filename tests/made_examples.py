"""Examples for tests of how inspection shows them, made by hand."""

from commit_t5x.inspection import aligned
from commit_t5x.inspection.aligned import AlignedText, whole
from commit_t5x.inspection.examples import Example, Token
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.mixing.segmenters import WhitespaceSegmenter

WORDS = Lexicon({"tea": ("चाय",), "water": ("น้ำ",), "the": ("the",), "tag": ("<b>&",)})


def make(text, tokens, rows=1, roles=None, index=0):
    """An example with these words replaced, of which tokens are (start, end, loss, row)."""
    mixer = CodeMixer(WORDS, ratio=1.0, segmenter=WhitespaceSegmenter())
    piece = aligned.mix(mixer, text, roles or whole(text, "text"), (0, 0), 1.0)
    tokens = tuple(Token(number + 3, *token) for number, token in enumerate(tokens))
    return Example(index, AlignedText([piece]), tokens, rows, True, len(text), len(piece.text))
