"""The share of a text's words that a dictionary knows, and whether it is the wrong way round."""

import itertools
from collections.abc import Iterable
from typing import NamedTuple

from commit_t5x.mixing.characters import lookup_key
from commit_t5x.mixing.dictionary_files import Entries
from commit_t5x.mixing.segmenters import get_segmenter

# Names and loan words stand on both sides of a dictionary, so that some words are always found.
_FAR_MORE = 2


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


def _share(words: Iterable[str], language: str, texts: Iterable[str]) -> float:
    known = frozenset(map(lookup_key, words))
    segmenter = get_segmenter("language", language, lambda: known)
    keys = [lookup_key(word) for text in texts for word in segmenter.segment(text)[::2] if word]
    return sum(key in known or key.lower() in known for key in keys) / max(len(keys), 1)
