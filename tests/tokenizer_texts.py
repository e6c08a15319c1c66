"""Texts on which two tokenizers are compared."""

import random

from commit_t5x import resources

LANGUAGES = ("hi", "el", "th")
TEXTS = [
    "",
    " ",
    "hello world",
    "  two leading spaces, trailing  ",
    "a\nb\n\nc\t tab\r\n",
    "### Response:",
    "सवाल: पृष्ठभूमि।",
    "Ερώτηση: τι;",
    "พื้นหลัง: คำถาม",
    "mixed हिंदी and English, ελληνικά",
    "😀👩‍👩‍👧 e\u0301 \u00a0nbsp ﬁ Ａ \x00",
    "▁ a▁b",
    *(" " * n + "x" for n in range(2, 40)),
]


def random_texts(count, seed=0):
    """Strings of characters from many scripts, most of them unknown to a small tokenizer."""
    rng = random.Random(seed)
    ranges = [(32, 127), (0x900, 0x980), (0x370, 0x400), (0xE00, 0xE5C), (0x4E00, 0x4E20)]
    extra = [" ", " ", "\n", "😀", "e"]

    def character():
        start, end = rng.choice(ranges)
        return rng.choice([chr(rng.randrange(start, end)), rng.choice(extra)])

    return ["".join(character() for _ in range(rng.randrange(60))) for _ in range(count)]


def sample_texts():
    for language in LANGUAGES:
        path = resources.path("samples") / f"wikipedia.{language}.txt"
        yield from path.read_text(encoding="utf-8").splitlines()
