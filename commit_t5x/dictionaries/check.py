"""What a dictionary file holds, as a table."""

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import tabulate

from commit_t5x.errors import InputError
from commit_t5x.mixing import characters, dictionary_files, hit_rate, text_rows

_LISTED_ODD_LINES = 5  # of each file
_NAMED_WORDS = 15  # of each file
# Of all letters of the translations: a script with fewer isn't the language's own.
_OWN_SCRIPT_SHARE = 0.1
_LABEL_WIDTH, _COLUMN_WIDTH = 32, 13
_NEVER_FOUND = (
    "* They begin or end with white space or punctuation, which words lose before lookup."
)


@dataclasses.dataclass(frozen=True)
class Summary(dictionary_files.LoadReport):
    """A report, with what matters to looking words up.

    Attributes:
      upper_case: source words with upper-case letters.
      never_found: source words that begin or end with white space or punctuation, both of which a
        text's words lose before they are looked up.
      single_letter: source words of one letter, among which many are abbreviations.
      other_script: pairs whose target has letters, but none of a script that the targets are mostly
        written in.
      hit_rate: share of the words of a text that are source words; None without a text.
      reverse_hit_rate: share that are among the translations.
      missing_function_words: stop words (stopwordsiso's) of the text that aren't source words, the
        most frequent first; None without a text.
      listed: pairs with a word of the word list on a side; None without a list.
      warning: what the hit rates say of the dictionary, if anything.
    """

    upper_case: int
    never_found: int
    single_letter: int
    other_script: int
    hit_rate: float | None
    reverse_hit_rate: float | None
    missing_function_words: tuple[str, ...] | None
    listed: tuple[tuple[str, str], ...] | None
    warning: str | None


_ROWS: tuple[tuple[str, Callable[[Summary], str]], ...] = (
    ("entries (source words)", lambda summary: f"{summary.entries:,}"),
    ("pairs", lambda summary: f"{summary.pairs:,}"),
    ("identity pairs (source = target)", lambda summary: f"{summary.identity:,}"),
    (
        "share of identity pairs",
        lambda summary: f"{100 * summary.identity / summary.pairs:.1f} %",
    ),
    ("words with several translations", lambda summary: f"{summary.multi_translation:,}"),
    ("translations a word", lambda summary: f"{summary.pairs / summary.entries:.2f}"),
    ("words with weights", lambda summary: f"{summary.weighted:,}"),
    ("targets in another script", lambda summary: f"{summary.other_script:,}"),
    ("single-letter sources", lambda summary: f"{summary.single_letter:,}"),
    ("multi-word sources", lambda summary: f"{summary.multi_word:,}"),
    ("repeated pairs", lambda summary: f"{summary.duplicates:,}"),
    ("sources with capital letters", lambda summary: f"{summary.upper_case:,}"),
    ("sources that are never found*", lambda summary: f"{summary.never_found:,}"),
    ("words of the text it knows", lambda summary: _percent(summary.hit_rate)),
    ("words among its translations", lambda summary: _percent(summary.reverse_hit_rate)),
    ("function words it lacks", lambda summary: _length(summary.missing_function_words)),
    ("pairs with a listed word", lambda summary: _length(summary.listed)),
    ("odd lines", lambda summary: f"{summary.odd:,}"),
)


def summarise(
    path: str | pathlib.Path, text: str | None = None, word_list: Collection[str] | None = None
) -> Summary:
    """Reads a dictionary and returns what it holds.

    Args:
      path: the dictionary, whose name begins as `en-hi.` does if its hit rate is to be known.
      text: a file in its source language, of a kind that `records.read_records` knows; by default
        the shipped text in that language, if there is one.
      word_list: of words that aren't wanted, as `read_word_list` returns it.

    Raises:
      InputError: a file can't be read or holds nothing; lines that aren't pairs are only counted.
    """
    entries, report, *_ = dictionary_files.load(path, skip_malformed=True)
    edges = frozenset(characters.edge_characters())
    source, _, target = pathlib.Path(path).name.partition(".")[0].partition("-")
    texts = hit_rate.sample(source) if text is None else _texts(text)
    rates = hit_rate.measure(entries, source, texts) if target and texts else None
    warning = None
    if rates and rates.wrong_way_round:
        warning = (
            f"{path}: knows {rates.sources:.1%} of the words of "
            f"{text or f'the sample text in {source!r}'}, and {rates.targets:.1%} are among its "
            f"translations: it may be the wrong way round; name it {target}-{source}"
        )
    return Summary(
        **vars(report),
        upper_case=sum(source != source.lower() for source in entries),
        never_found=sum(source[0] in edges or source[-1] in edges for source in entries),
        single_letter=sum(len(source) == 1 and source.isalpha() for source in entries),
        other_script=_in_other_scripts(entries),
        hit_rate=rates and round(rates.sources, 4),
        reverse_hit_rate=rates and round(rates.targets, 4),
        missing_function_words=rates and _missing_function_words(entries, source, texts),
        listed=None if word_list is None else tuple(_listed(entries, word_list)),
        warning=warning,
    )


def read_word_list(path: str | pathlib.Path) -> frozenset[str]:
    """Reads a list of words or phrases, one a line, that are compared without regard to case.

    Raises:
      InputError: the file can't be read, is empty, or is a web page, XML or JSON.
    """
    words = [_folded(line.strip()) for _, line in text_rows.read_lines(pathlib.Path(path))]
    if not (found := list(filter(None, words))):
        raise InputError(f"{path}: no words in it; expected one a line")
    if found[0].startswith((*dictionary_files.MARKUP, '["')) or found[0] in ("[", "{"):
        raise InputError(f"{path}: a web page, XML or JSON; expected a word a line")
    return frozenset(found)


def _folded(text: str) -> str:
    return characters.lookup_key(text).casefold()


def _listed(
    entries: dictionary_files.Entries, word_list: Collection[str]
) -> Iterator[tuple[str, str]]:
    """Yields the pairs of which a side, or a word of it, is in the list."""

    @functools.cache
    def holds(text: str) -> bool:
        text = _folded(text)
        return text in word_list or any(word in word_list for word in text.split())

    for source, targets in entries.items():
        for target in dict.fromkeys(targets):
            if holds(source) or holds(target):
                yield source, target


def _missing_function_words(
    entries: dictionary_files.Entries, language: str, texts: Iterable[str]
) -> tuple[str, ...]:
    import stopwordsiso  # here: it takes a while to load

    known = frozenset(map(characters.lookup_key, entries))
    counts = collections.Counter(map(str.lower, hit_rate.keys_of(texts, language, known)))
    missing = stopwordsiso.stopwords(language) - known
    return tuple(word for word, _ in counts.most_common() if word in missing)


def _in_other_scripts(entries: dictionary_files.Entries) -> int:
    letters = collections.Counter(
        letter for targets in entries.values() for target in targets for letter in target
    )
    scripts = collections.Counter()
    for letter, count in letters.items():
        scripts[characters.script(letter)] += count
    del scripts[""]
    own = {name for name, n in scripts.items() if n >= _OWN_SCRIPT_SHARE * scripts.total()}
    own_letters = {letter for letter in letters if characters.script(letter) in own}
    return sum(
        own_letters.isdisjoint(target) and any(map(characters.script, target))
        for targets in entries.values()
        for target in targets
    )


def _texts(path: str) -> list[str]:
    from commit_t5x.data import records  # here: it takes a while to load

    found = [value for _, record in records.read_records(path) for value in record.values()]
    texts = [value for value in found if isinstance(value, str) and value]
    if not texts:
        raise InputError(f"{path}: no text in it; expected text, or records with fields of text")
    return texts


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _length(found: Sequence | None) -> str:
    return "-" if found is None else f"{len(found):,}"


def _some(found: Sequence[str]) -> str:
    return ", ".join(found[:_NAMED_WORDS]) + ", ..." * (len(found) > _NAMED_WORDS)


def show(summaries: Sequence[Summary], width: int | None) -> None:
    """Prints summaries side by side, and the first odd lines of each file.

    Args:
      summaries: of the files.
      width: of the terminal, in characters: as many stand side by side as fit. None: all do.
    """
    count = len(summaries) if width is None else max(1, (width - _LABEL_WIDTH) // _COLUMN_WIDTH)
    for start in range(0, len(summaries), count):
        group = summaries[start : start + count]
        names = [pathlib.Path(summary.path).name for summary in group]
        headers = names if len(set(names)) == len(names) else [summary.path for summary in group]
        rows = [[label, *(value(summary) for summary in group)] for label, value in _ROWS]
        sides = ["left", *("right" for _ in group)]
        print(
            tabulate.tabulate(rows, ["", *headers], "plain", disable_numparse=True, colalign=sides)
        )
    if any(summary.never_found for summary in summaries):
        print(_NEVER_FOUND)
    for summary in summaries:
        if missing := summary.missing_function_words:
            print(f"{summary.path}: lacks {_some(missing)}")
        if listed := summary.listed:
            print(f"{summary.path}: listed {_some([' = '.join(pair) for pair in listed])}")
        licences = sorted(licence or "not stated" for licence in summary.licences)
        print(f"{summary.path}: licence {', '.join(licences)}")
        for number, reason in summary.odd_lines[:_LISTED_ODD_LINES]:
            print(f"{summary.path}:{number}: {reason}")
        more = summary.odd - _LISTED_ODD_LINES
        if more > 0:
            print(f"{summary.path}: {more:,} more of them")
