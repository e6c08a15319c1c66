"""Examples and mix reports for the eye: in the terminal, and the same as a page."""

import io
import itertools
import unicodedata
from collections.abc import Iterator, Sequence

import rich.console
import rich.rule
import rich.text

from commit_t5x.inspection.examples import Example
from commit_t5x.inspection.report import MixReport
from commit_t5x.inspection.runs import Inspection

_LIMIT = 4000  # characters of an example that are shown
_PAGE_WIDTH = 88  # of the rules on a page, in columns

# Weight tells them apart where there is no colour.
_TEMPLATE = "dim"
_REPLACED = "bold magenta"
_SOURCE = "italic cyan"
_LOSS = "underline"
_CUT = "strike red"
# What stands for them where there is no style at all.
_MARKS = {_LOSS: ("⟦", "⟧"), _CUT: ("⟪cut: ", "⟫")}

# Characters that would change how others are shown, or show nothing: controls, and the marks that
# force a direction.
_HIDDEN = dict.fromkeys(
    [*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD
)
_HIDDEN |= {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"}
_WHITE_SPACE = str.maketrans(" \n\t", "·⏎⇥")

# By rich's template.
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>commit-t5x inspect</title>
<style>
body {{ margin: 2rem auto; max-width: 60rem; padding: 0 1rem; }}
pre {{
  font: 1rem/1.6 "DejaVu Sans Mono", Menlo, Consolas, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; text-underline-offset: 0.3em; unicode-bidi: plaintext;
}}
{stylesheet}
</style>
</head>
<body><pre translate="no">{code}</pre></body>
</html>
"""


class _Console(rich.console.Console):
    def on_broken_pipe(self) -> None:
        """Leaves it to the command line, which ends with 0; rich would with 1."""
        raise  # the error that is being handled


def show(inspection: Inspection, note: str | None = None, width: int | None = None) -> None:
    """Prints examples and reports; in a pipe, marks stand for what has no style there.

    Args:
      inspection: what to print.
      note: a line to begin with.
      width: columns; None for the terminal's.
    """
    _print(_Console(width=width), inspection, note)


def page(inspection: Inspection, note: str | None = None) -> str:
    """Returns a page of the same, and of each example's tokens, with nothing outside of it."""
    options = {"force_terminal": True, "color_system": "truecolor", "width": _PAGE_WIDTH}
    console = rich.console.Console(file=io.StringIO(), record=True, **options)
    _print(console, inspection, note, is_page=True)
    return console.export_html(code_format=_PAGE)


def _print(
    console: rich.console.Console, inspection: Inspection, note: str | None, is_page: bool = False
) -> None:
    plain = console.color_system is None

    def write(text: rich.text.Text | str, style: str = "", wrap: bool = True) -> None:
        text = rich.text.Text(text, style) if isinstance(text, str) else text
        # A page's reader breaks its lines.
        console.print(_wrapped(text, console) if wrap and not is_page else text, soft_wrap=True)

    def rule(title: str) -> None:
        console.print()
        console.print(rich.rule.Rule(rich.text.Text(title), align="left", style="dim"))

    if note:
        write(note, "dim")
    write(inspection.name, "bold")
    write(_heading(inspection))
    write(_legend(plain))
    for task in inspection.tasks:
        for example in task.examples:
            rule(f"{task.name}, example {example.index:,}")
            write(_summary(example, inspection.row_length), "dim")
            write("")
            write(_text(example, plain))
            if is_page:
                write("")
                write(_tokens(example))
        if task.report:
            share = "" if task.share == 1 else f" ({_percent(task.share)} of the mixture)"
            rule(f"{task.name}{share}: mix report on {task.report.examples:,} examples")
            write(_table(list(_lines(task.report))), wrap=False)


def _legend(plain: bool) -> rich.text.Text:
    replaced = [("replaced", _REPLACED), ("⟨what it was⟩", _SOURCE), "  "]
    if plain:
        marked = "bears loss".join(_MARKS[_LOSS]), "  ", "to fit the row".join(_MARKS[_CUT])
        return rich.text.Text.assemble(*replaced, *marked)
    template = ("template", _TEMPLATE), "  "
    styled = ("bears loss", _LOSS), "  ", ("cut to fit the row", _CUT)
    return rich.text.Text.assemble(*template, *replaced, *styled)


def _text(example: Example, plain: bool) -> rich.text.Text:
    whole = example.text.text
    shown = _visible(whole[:_LIMIT])
    text = rich.text.Text(shown)
    inserts: list[tuple[int, int, str, str]] = []  # place, order there, text, style

    def style(name: str, start: int, end: int) -> range:
        """Styles what a reader sees as whole characters, and returns where."""
        span = range(*(_edge(shown, place) for place in (start, end)))
        text.stylize(name, span.start, span.stop)
        return span

    place = 0
    for part in example.text.parts:
        end = place + len(part.piece.text)
        if part.piece.replaced and place < len(shown):
            span = style(_REPLACED, place, end)
            inserts.append((span.stop, 0, f"⟨{_visible(part.piece.source)}⟩", _SOURCE))
        elif part.role == "template":
            style(_TEMPLATE, place, end)
        place = end
    for name, of in (
        (_LOSS, lambda token: token.loss),
        (_CUT, lambda token: token.row is None and example.rows > 0),
    ):
        for holds, group in itertools.groupby(example.tokens, key=of):
            tokens = list(group)
            span = style(name, tokens[0].start, tokens[-1].end) if holds else range(0)
            if span and plain:
                begin, end = _MARKS[name]
                inserts += [(span.start, 2, begin, ""), (span.stop, 1, end, "")]
    row = 0
    for token in example.tokens:
        if token.row not in (None, row) and token.start < min(token.end, len(shown)):
            row = token.row
            inserts.append((_edge(shown, token.start), 3, f"[row {row + 1}]", "reverse"))

    inserts.sort()
    result, *rest = text.divide([place for place, *_ in inserts])
    for (*_, inserted, name), following in zip(inserts, rest, strict=True):
        result.append(inserted, name).append_text(following)
    if (more := len(whole) - _LIMIT) > 0:
        result.append(f" ... {more:,} more characters", "dim")
    return result


def _edge(text: str, place: int) -> int:
    """Returns a place, or the next one that isn't between a letter and its marks."""
    while place < len(text) and unicodedata.category(text[place]).startswith("M"):
        place += 1
    return min(place, len(text))


def _tokens(example: Example) -> rich.text.Text:
    """Returns the tokens with their ids; those of one character, its bytes, go together."""
    text = example.text.text
    result = rich.text.Text("tokens")
    shown = enumerate(token for token in example.tokens if token.start < _LIMIT)
    for _, group in itertools.groupby(
        shown, key=lambda pair: pair[1][1:3] if pair[1].start < pair[1].end else pair[0]
    ):
        tokens = [token for _, token in group]
        first = tokens[0]
        what = _visible(text[first.start : first.end]).translate(_WHITE_SPACE)
        what = what or ("EOS" if first.start or not text else "BOS")
        cut = first.row is None and example.rows > 0
        result.append("  ").append(what, _LOSS if first.loss else _CUT if cut else "")
        result.append("\u00a0" + "\u00a0".join(str(token.id) for token in tokens), "dim")
    return result


def _wrapped(text: rich.text.Text, console: rich.console.Console) -> rich.text.Text:
    """Breaks lines where no terminal will have to break them.

    Terminals don't agree on the width of spacing vowel signs: some take them for a cell, rich for
    none. So stand-ins of one cell are wrapped in their place.
    """
    signs = sorted({c for c in text.plain if unicodedata.category(c) == "Mc"})
    stand_ins = {sign: chr(0xF0000 + number) for number, sign in enumerate(signs)}
    back = str.maketrans({stand_in: sign for sign, stand_in in stand_ins.items()})
    text.plain = text.plain.translate(str.maketrans(stand_ins))
    lines = text.wrap(console, console.width)
    for line in lines:
        line.rstrip()
        line.plain = line.plain.translate(back)
    return rich.text.Text("\n").join(lines)


def _visible(text: str) -> str:
    """Makes controls visible, one character for each; newlines and tabs stay."""
    return text.translate(_HIDDEN)


def _heading(inspection: Inspection) -> str:
    """Says what the examples are of, and how they were drawn."""
    parts = [f"split {inspection.split}", f"epoch {inspection.epoch}", f"seed {inspection.seed}"]
    if inspection.row_length:
        parts.append(f"rows of {inspection.row_length:,} tokens")
    if inspection.shuffled:
        parts.append("in the data's order, which the run shuffles")
    return " · ".join(parts)


def _summary(example: Example, row_length: int | None) -> str:
    """Says in a line what became of an example."""
    tokens = [token for token in example.tokens if token.row is not None]
    parts = [f"{len(example.tokens):,} tokens", f"{sum(t.loss for t in tokens):,} bear loss"]
    if example.is_mixed:
        replaced = [p.piece.replaced for p in example.text.parts for _ in p.piece.words]
        parts.append(f"{sum(replaced):,} of {len(replaced):,} words replaced")
    lost = len(example.tokens) - len(tokens)
    match example.fate:
        case "cut":
            parts.append(f"CUT: {lost:,} tokens taken out")
        case "dropped":
            parts.append(f"DROPPED: longer than the row of {row_length:,}")
        case "split":
            parts.append(f"split into {example.rows:,} rows")
        case "whole" if row_length and len(tokens) > row_length:
            parts.append("goes on in the next row")
    return " · ".join(parts)


def _table(lines: Sequence[tuple[str, str, str]]) -> rich.text.Text:
    names, values = (max(len(line[column]) for line in lines) for column in (0, 1))
    text = rich.text.Text(no_wrap=True, overflow="ignore")
    for name, value, remark in lines:
        text.append(f"{name:{names}}  {value:>{values}}")
        text.append(f"  {remark}".rstrip() + "\n", "dim")
    text.rstrip()
    return text


def _lines(r: MixReport) -> Iterator[tuple[str, str, str]]:
    """Yields name, value and remark for each line of a mix report."""
    if r.is_mixed:
        same = f", {r.unchanged:,} of them by themselves" if r.unchanged else ""
        per_100 = f"{r.switch_points_per_100_words:.1f} for each 100 words"
        fertility = f"{r.tokens_per_word_before:.2f} → {r.tokens_per_word_after:.2f}"
        index = f"{r.code_mixing_index:.1f}"
        yield "words", f"{r.words:,}", "of the texts that can be mixed"
        yield "hit rate", _percent(r.hit_rate), f"{r.hits:,} words that the lexicon knows"
        replaced = f"{r.replaced:,} words replaced{same}"
        yield "effective ratio", _percent(r.effective_ratio), replaced
        yield "code-mixing index", index, "0: one language; 50: two in equal shares"
        yield "switch points", f"{r.switch_points:,}", per_100
        yield "tokens per word", fertility, "before and after mixing"
    else:
        yield "words", f"{r.words:,}", "between white space; nothing is mixed"
        yield "tokens per word", f"{r.tokens_per_word_before:.2f}", ""
    yield "tokens", f"{r.tokens:,}", f"{_percent(r.loss_share)} bear loss"
    lengths = f"95 % have up to {r.length_p95:,}, the longest {r.length_longest:,}"
    yield "tokens per example", f"{r.length_median:,.0f}", f"median; {lengths}"
    if r.row_length:
        fates = {"cut": r.cut, "dropped": r.dropped, "split": r.split}
        fates["going on in the next row"] = max(r.over - sum(fates.values()), 0)
        remark = ", ".join(f"{count:,} {fate}" for fate, count in fates.items() if count)
        yield f"over {r.row_length:,} tokens", f"{r.over:,}", remark
    if r.examples_per_row:
        full = f"rows are {_percent(r.row_fill)} full"
        yield "examples per row", f"{r.examples_per_row:.2f}", full
        remark = f"at {r.batch_size:,} rows; CODEMIX_SCHEDULE goes by examples"
        yield "examples per step", f"{r.examples_per_step:.1f}", remark
    if r.copied_otherwise:
        remark = f"of {r.copied:,}: spelt otherwise in the prompt; begin outputs with a space"
        yield "first words", f"{r.copied_otherwise:,}", remark
    for number, (source, target, count) in enumerate(r.top_replacements):
        remark = f"{_visible(source)} → {_visible(target)}"
        yield "" if number else "most replaced", f"{count:,}", remark
    for number, (word, count) in enumerate(r.top_unknown if r.is_mixed else ()):
        yield "" if number else "most without an entry", f"{count:,}", _visible(word)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
