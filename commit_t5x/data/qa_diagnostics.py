"""What answers are like, beside their official scores: measures of our own, each from 0 to 100.

| measure | of an answer |
|---|---|
| `word_exact_match`, `word_f1` | Thai, over PyThaiNLP's words |
| `character_exact_match`, `character_f1` | Chinese, over characters, as MLQA counts |
| `grapheme_exact_match`, `grapheme_f1` | Thai without PyThaiNLP; others written without spaces |
| `target_script` | most of its letters are of the language's script |
| `latin_script` | most are Latin; not for languages in that script |
| `empty` | nothing was said |
| `context_span` | it stands in the context, letter by letter |

An answer without letters, such as a year, is of no script.
"""

import collections
import functools
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import regex

from commit_t5x.data import qa_metrics
from commit_t5x.errors import InputError
from commit_t5x.mixing import segmenters

_UNITS = ("word", "character", "grapheme")
MEASURES = (
    *(f"{unit}_{score}" for unit in _UNITS for score in ("exact_match", "f1")),
    *("target_script", "latin_script", "empty", "context_span"),
)

_RARE = 0.1  # of a text's letters: scripts below are those of names and quotations


def diagnostics(
    prediction: str, answers: Sequence[str], context: str, language: str, scripts: Sequence[str]
) -> dict[str, float]:
    """Returns those of `MEASURES` that the language has, of one prediction.

    Args:
      prediction: the model's answer.
      answers: the accepted answers, at least one.
      context: what the question is about.
      language: of the answers.
      scripts: what `main_scripts` finds in the language's contexts.

    Example:
      >>> diagnostics("Delhi", ["दिल्ली"], "दिल्ली में", "hi", ["DEVANAGARI"])
      {'target_script': 0.0, 'latin_script': 100.0, 'empty': 0.0, 'context_span': 0.0}
    """
    said = prediction.strip()
    found = {"target_script": _most_letters_in(said, scripts)}
    if "LATIN" not in scripts:
        found["latin_script"] = _most_letters_in(said, ["LATIN"])
    found |= {"empty": not said, "context_span": bool(said) and said in context}
    measures = {name: 100.0 * holds for name, holds in found.items()}
    if language.partition("_")[0] in segmenters.UNSPACED:
        unit, segment = _segmentation(language.partition("_")[0])
        scores = qa_metrics.best_scores(said, answers, lambda text: " ".join(segment(text)))
        measures |= {f"{unit}_{name}": score for name, score in scores.items()}
    return measures


def main_scripts(texts: Iterable[str]) -> list[str]:
    """Returns the scripts that a language's texts are written in, by the names of their letters.

    Latin letters count where no other script has more.

    Example:
      >>> main_scripts(["東京タワーは333メートル", "NHKの本社がある"])
      ['CJK', 'HIRAGANA', 'KATAKANA']
    """
    counts = collections.Counter()
    for text in texts:
        counts.update(_letters(text))
    enough = {script for script, count in counts.items() if count >= _RARE * counts.total()}
    if counts and counts.most_common(1)[0][0] != "LATIN":
        enough.discard("LATIN")
    return sorted(enough)


def _letters(text: str) -> collections.Counter[str]:
    """Counts a text's letters and vowel signs by script, with which their names begin."""
    scripts: collections.Counter[str] = collections.Counter()
    for character, count in collections.Counter(text).items():
        if unicodedata.category(character)[0] in "LM":
            scripts[unicodedata.name(character, "").split(" ")[0].split("-")[0]] += count
    del scripts["COMBINING"]  # marks of any script
    return scripts


def _most_letters_in(text: str, scripts: Sequence[str]) -> bool:
    letters = _letters(text)
    return 2 * sum(letters[script] for script in scripts) > letters.total()


@functools.cache
def _segmentation(language: str) -> tuple[str, Callable[[str], Iterable[str]]]:
    """Returns the unit that a language without spaces is cut into, and what cuts it."""
    if language == "zh":
        return "character", lambda text: [qa_metrics.normalize_mlqa(text, "zh")]
    if language == "th":
        try:
            segmenter = segmenters.PyThaiNLPSegmenter()
        except InputError:  # not installed
            pass
        else:
            return "word", lambda text: filter(None, segmenter.segment(text.lower())[::2])
    return "grapheme", _graphemes


def _graphemes(text: str) -> list[str]:
    """Returns what readers take for characters, as Unicode's annex 29 has them."""
    return regex.findall(r"\X", "".join(qa_metrics.drop_punctuation(text.lower()).split()))
