"""The share of a text's words that a dictionary knows: what it should be, and what it is."""

import dataclasses
import functools
import itertools
import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from commit_t5x import resources
from commit_t5x.mixing.characters import lookup_key
from commit_t5x.mixing.dictionary_files import Entries
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.mixing.segmenters import get_segmenter

# Names and loan words stand on both sides of a dictionary, so that some words are always found.
_FAR_MORE = 2
# Texts differ: of XQuAD MUSE's dictionaries know 0.7 to 1 of what they know of the samples.
_FAR_LESS = 0.5
# Of a language without a sample text. A dictionary of the right pair knows 40 to 80 %.
_LOW = 0.1


class HitRates(NamedTuple):
    """Shares of a text's words, 0 to 1.

    Attributes:
      sources: that are source words of the dictionary, capitals or not.
      targets: that are among its translations.
    """

    sources: float
    targets: float

    @property
    def wrong_way_round(self) -> bool:
        """Whether the text rather looks like the language of the translations."""
        return self.targets > _FAR_MORE * self.sources


def measure(entries: Entries, language: str, texts: Iterable[str]) -> HitRates:
    """Looks up the words of texts as recipes do, but for phrases and inflected forms.

    Args:
      entries: source word -> its translations.
      language: of the source words, which the texts should be in.
      texts: a few hundred words give the figure to some percent.

    Example:
      >>> measure({"चाय": ("tea",)}, "en", ["Tea is hot"])
      HitRates(sources=0.0, targets=0.3333333333333333)
    """
    texts = list(texts)
    return HitRates(
        _share(entries, language, texts),
        _share(itertools.chain.from_iterable(entries.values()), language, texts),
    )


def sample(language: str) -> list[str]:
    """Returns the paragraphs of the shipped text in a language; [] where there is none."""
    path = resources.path("samples") / f"xquad.{language}.json"
    if not path.is_file():
        return []
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    return [paragraph["context"] for article in articles for paragraph in article["paragraphs"]]


@dataclasses.dataclass
class Known:
    """What a mixer has known so far of the texts that it was given.

    Attributes:
      mixer: whose dictionary, look-up and language count.
      words: of the texts.
      hits: those that the mixer knows.

    Example:
      >>> print(Known(mixer, words=1000, hits=45))
      of the first 1,000 words the dictionary knows 45 (4.5%), of the sample text in 'en' 65.2%
    """

    mixer: CodeMixer
    words: int = 0
    hits: int = 0

    @functools.cached_property
    def expected(self) -> float | None:
        """The share of the sample text's words; None where there is no text in the language."""
        texts = sample(self.mixer.source_language or "")
        mixed = [self.mixer.mix_with_replacements(text, (0, 0)) for text in texts]
        return sum(one.hits for one in mixed) / sum(one.words for one in mixed) if mixed else None

    @property
    def is_low(self) -> bool:
        """Whether far less is known than was to be expected."""
        share = self.hits / self.words
        return share < _LOW or (self.expected is not None and share < _FAR_LESS * self.expected)

    def __str__(self) -> str:
        found = f"of the first {self.words:,} words the dictionary knows {self.hits:,}"
        found += f" ({self.hits / self.words:.1%})"
        if self.expected is None:
            return found
        return f"{found}, of the sample text in {self.mixer.source_language!r} {self.expected:.1%}"


def _share(words: Iterable[str], language: str, texts: Iterable[str]) -> float:
    known = frozenset(map(lookup_key, words))
    keys = list(keys_of(texts, language, known))
    return sum(key in known or key.lower() in known for key in keys) / max(len(keys), 1)


def keys_of(texts: Iterable[str], language: str, known: frozenset[str]) -> Iterator[str]:
    """Yields what the words of texts are looked up by.

    Args:
      texts: the texts.
      language: theirs.
      known: words of it, to cut a script without spaces by.
    """
    segmenter = get_segmenter("language", language, lambda: known)
    return (lookup_key(word) for text in texts for word in segmenter.segment(text)[::2] if word)
