"""What a dictionary file holds, as a table."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import tabulate

from commit_t5x.mixing import characters, dictionary_files

_LISTED_ODD_LINES = 5  # of each file
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
    """

    upper_case: int
    never_found: int


_ROWS: tuple[tuple[str, Callable[[Summary], str]], ...] = (
    ("entries (source words)", lambda summary: f"{summary.entries:,}"),
    ("pairs", lambda summary: f"{summary.pairs:,}"),
    ("identity pairs (source = target)", lambda summary: f"{summary.identity:,}"),
    (
        "share of identity pairs",
        lambda summary: f"{100 * summary.identity / summary.pairs:.1f} %",
    ),
    ("words with several translations", lambda summary: f"{summary.multi_translation:,}"),
    ("multi-word sources", lambda summary: f"{summary.multi_word:,}"),
    ("repeated pairs", lambda summary: f"{summary.duplicates:,}"),
    ("sources with capital letters", lambda summary: f"{summary.upper_case:,}"),
    ("sources that are never found*", lambda summary: f"{summary.never_found:,}"),
    ("odd lines", lambda summary: f"{summary.odd:,}"),
)


def summarise(path: str | pathlib.Path) -> Summary:
    """Reads a dictionary and returns what it holds.

    Raises:
      InputError: it can't be read or holds no pair; lines that aren't pairs are only counted.
    """
    entries, report = dictionary_files.load(path, skip_malformed=True)
    edges = frozenset(characters.edge_characters())
    return Summary(
        **vars(report),
        upper_case=sum(source != source.lower() for source in entries),
        never_found=sum(source[0] in edges or source[-1] in edges for source in entries),
    )


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
        for number, reason in summary.odd_lines[:_LISTED_ODD_LINES]:
            print(f"{summary.path}:{number}: {reason}")
        more = summary.odd - _LISTED_ODD_LINES
        if more > 0:
            print(f"{summary.path}: {more:,} more of them")
