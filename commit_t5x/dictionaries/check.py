"""What a dictionary file holds, as a table."""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import rich.box
import rich.console
import rich.table
import rich.text

from commit_t5x.mixing import dictionary_files
from commit_t5x.mixing.segmenters import edge_characters

_LISTED_ODD_LINES = 5  # of each file
_LABEL_WIDTH, _COLUMN_WIDTH = 35, 11
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
    ("  share of all pairs", lambda summary: f"{100 * summary.identity / summary.pairs:.1f} %"),
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
    edges = frozenset(edge_characters())
    return Summary(
        **vars(report),
        upper_case=sum(source != source.lower() for source in entries),
        never_found=sum(source[0] in edges or source[-1] in edges for source in entries),
    )


def show(summaries: Sequence[Summary], console: rich.console.Console) -> None:
    """Prints summaries side by side, as many as fit, and the first odd lines of each file."""
    room = (console.width - _LABEL_WIDTH) // _COLUMN_WIDTH
    per_table = max(1, room) if console.is_terminal else len(summaries)
    for start in range(0, len(summaries), per_table):
        console.print(_table(summaries[start : start + per_table], framed=console.is_terminal))
    if any(summary.never_found for summary in summaries):
        _print(console, _NEVER_FOUND)
    for summary in summaries:
        for number, reason in summary.odd_lines[:_LISTED_ODD_LINES]:
            _print(console, f"{summary.path}:{number}: {reason}", style="red")
        more = summary.odd - _LISTED_ODD_LINES
        if more > 0:
            _print(console, f"{summary.path}: {more:,} more of them", style="red")


def _table(summaries: Sequence[Summary], *, framed: bool) -> rich.table.Table:
    table = rich.table.Table(
        box=rich.box.SIMPLE_HEAD if framed else None,
        padding=(0, 1) if framed else (0, 2, 0, 0),
        pad_edge=framed,
        header_style="bold",
    )
    table.add_column("", no_wrap=True)
    names = [pathlib.Path(summary.path).name for summary in summaries]
    unique = len(set(names)) == len(names)
    for name, summary in zip(names, summaries, strict=True):
        header = rich.text.Text(name if unique else summary.path)
        table.add_column(header, justify="right", overflow="fold")
    for label, value in _ROWS:
        values = [value(summary) for summary in summaries]
        style = "red" if label == "odd lines" and any(summary.odd for summary in summaries) else ""
        table.add_row(label, *values, style=style)
    return table


def _print(console: rich.console.Console, line: str, style: str = "") -> None:
    console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)
