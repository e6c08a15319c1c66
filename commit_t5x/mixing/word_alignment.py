"""Phrases of word-aligned sentence pairs: a second source of translations, beside dictionaries.

A sentence pair and its links (source word, target word), counted from 0, give the phrases that
translate each other. The files are those of fast_align, GIZA++ and SimAlign: a sentence a line,
words between spaces, links as `0-0 1-2` (the Pharaoh format).
"""

import collections
import itertools
import pathlib
import re
from collections.abc import Iterable, Iterator, Sequence

import gin

from commit_t5x import fingerprints, ranges
from commit_t5x.errors import InputError
from commit_t5x.mixing import text_rows

_LINK = re.compile("([0-9]{1,9})-([0-9]{1,9})")

Links = Sequence[tuple[int, int]]
Sentence = tuple[list[str], list[str], Links]  # source words, target words, links


def read_aligned(
    source_path: str | pathlib.Path,
    target_path: str | pathlib.Path,
    alignment_path: str | pathlib.Path,
) -> Iterator[Sentence]:
    """Yields the sentence pairs of three parallel text files, plain or .gz.

    Raises:
      InputError: a file is missing or not UTF-8, one ends before the others, or a link is malformed
        or points past a sentence.

    Example, of the lines `cold water`, `ठंडा पानी` and `0-0 1-1`:
      >>> next(read_aligned("en-hi.en", "en-hi.hi", "en-hi.align"))
      (['cold', 'water'], ['ठंडा', 'पानी'], [(0, 0), (1, 1)])
    """
    for number, (source, target, links) in text_rows.read_parallel(
        source_path, target_path, alignment_path
    ):
        source, target = _words(source), _words(target)
        place = f"{alignment_path}:{number}"
        yield source, target, _links(place, links, len(source), len(target))


def read_aligned_bitext(
    bitext_path: str | pathlib.Path, alignment_path: str | pathlib.Path
) -> Iterator[Sentence]:
    """The same for fast_align's input, one file with lines of `source ||| target`."""
    for number, (line, links) in text_rows.read_parallel(bitext_path, alignment_path):
        sides = line.split("|||")
        if len(sides) != 2:
            raise InputError(
                f"{bitext_path}:{number}: expected `source ||| target`, found {len(sides)} parts; "
                "mend the line"
            )
        source, target = map(_words, sides)
        place = f"{alignment_path}:{number}"
        yield source, target, _links(place, links, len(source), len(target))


def extract_phrases(
    source: Sequence[str], target: Sequence[str], links: Links, max_length: int = 3
) -> Iterator[tuple[str, str]]:
    """Yields the phrase pairs of a sentence pair, from left to right, words joined by spaces.

    Phrases are those of phrase-based translation: a run of source words and a run of target words,
    linked with each other at least once and with nothing outside. They are tight: their first and
    last words are linked, so that a source run has at most one target run.

    Args:
      source: words.
      target: words.
      links: (place in source, place in target) pairs.
      max_length: source words of a phrase, at most.

    Example (`drink` isn't linked, so it only stands inside a phrase, never at its edge):
      >>> list(extract_phrases("I drink water".split(), "मैं पानी".split(), [(0, 0), (2, 1)]))
      [('I', 'मैं'), ('I drink water', 'मैं पानी'), ('water', 'पानी')]
    """
    to_target = collections.defaultdict(list)
    to_source = collections.defaultdict(list)
    for i, j in links:
        to_target[i].append(j)
        to_source[j].append(i)
    for first in sorted(to_target):
        reached = []  # target places linked with the source run
        for last in range(first, min(first + max_length, len(source))):
            if last not in to_target:
                continue
            reached += to_target[last]
            start, end = min(reached), max(reached) + 1
            back = (i for j in range(start, end) for i in to_source.get(j, ()))
            if all(first <= i <= last for i in back):
                yield " ".join(source[first : last + 1]), " ".join(target[start:end])


def alignment_pairs(
    sentences: Iterable[Sentence],
    *,
    max_length: int = 3,
    lower_case: bool = False,
    min_count: int = 1,
    top_k: int | None = None,
) -> Iterator[tuple[str, str]]:
    """Yields the phrase pairs of a text, each as often as it occurs.

    Thus a uniform draw from a phrase's translations takes each by its frequency.

    Args:
      sentences: what `read_aligned` yields.
      max_length: source words of a phrase, at most.
      lower_case: write source phrases in lower case, as MUSE does.
      min_count: leave out pairs that occur less often.
      top_k: keep only so many translations of a source phrase, the most frequent ones; of equally
        frequent ones those met first.

    Raises:
      InputError: `max_length`, `min_count` or `top_k` is below 1.

    Example:
      >>> water = (["water"], ["पानी"], [(0, 0)])
      >>> list(alignment_pairs([water, (["Water"], ["जल"], [(0, 0)]), water], lower_case=True))
      [('water', 'पानी'), ('water', 'पानी'), ('water', 'जल')]
    """
    limits = {"max_length": max_length, "min_count": min_count, "top_k": top_k}
    for name, value in limits.items():
        if value is not None and value < 1:
            raise InputError(f"{name} of the alignment's phrases is {value}: must be 1 or more")
    counts = collections.defaultdict(collections.Counter)
    for source, target, links in sentences:
        if lower_case:
            source = [word.lower() for word in source]
        for source_phrase, target_phrase in extract_phrases(source, target, links, max_length):
            counts[source_phrase][target_phrase] += 1
    for source_phrase, targets in counts.items():
        for target_phrase, count in targets.most_common(top_k):
            if count >= min_count:
                yield from itertools.repeat((source_phrase, target_phrase), count)


@gin.configurable
def load_alignment_pairs(
    source_language: str,
    target_language: str,
    directory: ranges.Path | None = None,
    *,
    max_length: ranges.Positive = 3,
    lower_case: bool = False,
    min_count: ranges.Positive = 1,
    top_k: ranges.Positive | None = None,
) -> Iterator[tuple[str, str]]:
    """Returns the phrase pairs of a folder of word-aligned texts; see `alignment_pairs`.

    For English and Hindi the folder holds `en-hi.en`, `en-hi.hi` and `en-hi.align`, or
    fast_align's `en-hi.bitext` (`source ||| target`) and `en-hi.align`. Files named `hi-en` serve
    as well: their links are read the other way round.

    Raises:
      InputError: no folder is given, or it holds no such files; when the pairs are drawn, as
        `read_aligned`.
    """
    if directory is None:
        raise InputError(
            "ALIGNMENT_DIR: not set; name the folder of the word-aligned text "
            f"{source_language}-{target_language}"
        )
    folder = pathlib.Path(directory).expanduser()
    options = {
        "max_length": max_length,
        "lower_case": lower_case,
        "min_count": min_count,
        "top_k": top_k,
    }
    languages = source_language, target_language
    for first, second in (languages, languages[::-1]):
        stem = folder / f"{first}-{second}"
        texts = [pathlib.Path(f"{stem}.{language}") for language in (first, second)]
        bitext, alignment = pathlib.Path(f"{stem}.bitext"), pathlib.Path(f"{stem}.align")
        if not alignment.is_file():
            continue
        fingerprints.record(f"alignment {stem.name}", alignment)
        if all(text.is_file() for text in texts):
            sentences = read_aligned(*texts, alignment)
        elif bitext.is_file():
            sentences = read_aligned_bitext(bitext, alignment)
        else:
            continue
        if first != source_language:
            sentences = map(_swapped, sentences)
        return alignment_pairs(sentences, **options)
    stem = "-".join(languages)
    raise InputError(
        f"{folder / stem}.align: no word-aligned text there; put {stem}.{source_language}, "
        f"{stem}.{target_language} and {stem}.align into that folder"
    )


def _words(line: str) -> list[str]:
    # Only at spaces and tabs, as alignment tools do: a word may hold a no-break space.
    return [word for word in line.strip("\r\n").replace("\t", " ").split(" ") if word]


def _links(place: str, line: str, source_length: int, target_length: int) -> Links:
    links = []
    for link in _words(line):
        if not (ends := _LINK.fullmatch(link)):
            raise InputError(f"{place}: {link!r} is no link; expected pairs like 0-0 1-2")
        i, j = map(int, ends.groups())
        for end, length, side in ((i, source_length, "source"), (j, target_length, "target")):
            if end >= length:
                raise InputError(
                    f"{place}: link {link} points past the {side}'s {length} words; align the same "
                    "tokenised text anew"
                )
        links.append((i, j))
    return links


def _swapped(sentence: Sentence) -> Sentence:
    source, target, links = sentence
    return target, source, [(j, i) for i, j in links]
