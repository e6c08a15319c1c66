r"""Exact match and F1 of extractive question answering, as their authors' scripts count them.

XQuAD is scored like SQuAD v1.1 (Rajpurkar et al., 2016) whatever the language: with the English
normaliser. MLQA (Lewis et al., 2020) normalises by language. A score is a percentage, the best one
over the accepted answers.

Both share what follows from SQuAD's script: two texts that normalise to nothing match exactly, yet
have an F1 of 0. Tokens are split at whitespace, so on Thai F1 is nearly exact match.
"""

import collections
import functools
import re
import string
import unicodedata
from collections.abc import Callable, Mapping, Sequence

from commit_t5x import errors

_ASCII_PUNCTUATION = dict.fromkeys(map(ord, string.punctuation))

# Languages of MLQA, each with the pattern of what its script takes for an article. Hindi and
# Chinese have none. The Arabic one has no anchor: every alef-lam goes, also in mid-word.
_MLQA_ARTICLES: Mapping[str, re.Pattern[str] | None] = {
    "ar": re.compile(r"ال"),
    "de": re.compile(r"\b(?:ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b"),
    "en": re.compile(r"\b(?:a|an|the)\b"),
    "es": re.compile(r"\b(?:un|una|unos|unas|el|la|los|las)\b"),
    "hi": None,
    "vi": re.compile(r"\b(?:của|là|cái|chiếc|những)\b"),
    "zh": None,
}
# Han characters that the mixed segmentation of Chinese takes one by one.
_HAN = re.compile(r"([\u4e00-\u9fa5])")


def normalize_squad(text: str) -> str:
    """Lower-cases, drops ASCII punctuation and English articles, and joins words by one space.

    Punctuation of other scripts stays: SQuAD's script knows ASCII's only.

    Examples:
      >>> normalize_squad("The Golden-Age, an era")
      'goldenage era'
      >>> normalize_squad("नई दिल्ली।")
      'नई दिल्ली।'
    """
    text = text.lower().translate(_ASCII_PUNCTUATION)
    return " ".join(_MLQA_ARTICLES["en"].sub(" ", text).split())


def normalize_mlqa(text: str, language: str) -> str:
    """Lower-cases, drops all punctuation and the language's articles, and splits into words.

    Words are split at whitespace; in Chinese every Han character is a word of its own as well.

    Args:
      text: a prediction or an accepted answer.
      language: the language of the answers: ar, de, en, es, hi, vi or zh.

    Returns:
      The words, joined by one space.

    Raises:
      InputError: MLQA has no such language.

    Examples:
      >>> normalize_mlqa("Die Stadt »Köln«", "de")
      'stadt köln'
      >>> normalize_mlqa("在2019年, iPhone 11。", "zh")
      '在 2019 年 iphone 11'
    """
    if language not in _MLQA_ARTICLES:
        raise errors.InputError(
            f"MLQA language {language!r}: no such language; use one of {', '.join(_MLQA_ARTICLES)}"
        )
    text = drop_punctuation(text.lower())
    articles = _MLQA_ARTICLES[language]
    if articles is not None:
        text = articles.sub(" ", text)
    if language == "zh":
        text = _HAN.sub(r" \1 ", text)
    return " ".join(text.split())


def squad_scores(prediction: str, answers: Sequence[str]) -> dict[str, float]:
    """Returns SQuAD v1.1's scores of one prediction.

    Args:
      prediction: the model's answer.
      answers: the accepted answers, at least one.

    Returns:
      `exact_match` and `f1`, each from 0 to 100, each the best over the answers.

    Example:
      >>> squad_scores("in Delhi", ["Delhi", "the city of Delhi"])
      {'exact_match': 0.0, 'f1': 66.66666666666666}
    """
    return best_scores(prediction, answers, normalize_squad)


def mlqa_scores(prediction: str, answers: Sequence[str], language: str) -> dict[str, float]:
    """Returns MLQA's scores of one prediction; `language` is that of the answers.

    Args, returns: as for `squad_scores`.

    Example:
      >>> mlqa_scores("北京市", ["北京"], "zh")
      {'exact_match': 0.0, 'f1': 80.0}
    """
    return best_scores(prediction, answers, functools.partial(normalize_mlqa, language=language))


def drop_punctuation(text: str) -> str:
    """Drops ASCII's punctuation and symbols, and all of Unicode's punctuation."""
    text = text.translate(_ASCII_PUNCTUATION)
    return "".join(c for c in text if not unicodedata.category(c).startswith("P"))


def best_scores(
    prediction: str, answers: Sequence[str], normalize: Callable[[str], str]
) -> dict[str, float]:
    """Returns `squad_scores` under another normaliser, which parts words by spaces."""
    predicted = normalize(prediction)
    accepted = [normalize(answer) for answer in answers]
    return {
        "exact_match": 100.0 * (predicted in accepted),
        "f1": 100.0 * max(_f1(predicted.split(), answer.split()) for answer in accepted),
    }


def _f1(predicted: Sequence[str], answer: Sequence[str]) -> float:
    """Harmonic mean of precision and recall over the two bags of words, from 0 to 1."""
    shared = (collections.Counter(predicted) & collections.Counter(answer)).total()
    if not shared:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(answer)
    return 2 * precision * recall / (precision + recall)
