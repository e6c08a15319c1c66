"""Examples and mix reports in the terminal."""

import unicodedata
from collections.abc import Iterator

import rich.cells
import rich.console
import rich.rule
import rich.text

from commit_t5x.inspection import layout, wording
from commit_t5x.inspection.examples import Example
from commit_t5x.inspection.inspect import Inspection
from commit_t5x.inspection.report import MixReport

# Weight tells them apart where there is no colour.
_REPLACED = "bold magenta"
_SOURCE = "italic cyan"
_CUT = "strike red"
_ROW = "reverse"
# Where there is no style at all.
_PLAIN_LOSS = ("⟦", "⟧")
_PLAIN_CUT = ("⟪cut: ", "⟫")


def show(inspection: Inspection, note: str | None = None, width: int | None = None) -> None:
    """Prints examples and reports; in a pipe, marks stand for what has no style there.

    Args:
      inspection: what to print.
      note: a line to begin with.
      width: columns; None for the terminal's.
    """
    console = rich.console.Console(width=width, highlight=False, markup=False, emoji=False)
    plain = console.color_system is None
    if note:
        console.print(note, style="dim")
    console.print(inspection.name, style="bold")
    console.print(wording.heading(inspection))
    console.print(_legend(plain))
    for task in inspection.tasks:
        for example in task.examples:
            title = f"{task.name}, example {example.index:,}"
            console.print()
            console.print(rich.rule.Rule(title, align="left", style="dim"))
            console.print(wording.summary(example, inspection.row_length), style="dim")
            console.print()
            console.print(_wrapped(_text(example, plain), console.width), soft_wrap=True)
        if task.report:
            console.print()
            console.print(rich.rule.Rule(wording.report_title(task), align="left", style="dim"))
            console.print(_report(task.report), soft_wrap=True)


def _legend(plain: bool) -> rich.text.Text:
    parts = [("replaced", _REPLACED), ("⟨what it was⟩", _SOURCE), "  "]
    if plain:
        parts += ["bears loss".join(_PLAIN_LOSS), "  ", "to fit the row".join(_PLAIN_CUT)]
    else:
        parts = [("template", "dim"), "  ", *parts, ("bears loss", "underline"), "  "]
        parts.append(("cut to fit the row", _CUT))
    return rich.text.Text.assemble(*parts)


def _text(example: Example, plain: bool) -> rich.text.Text:
    text, row, marks = rich.text.Text(), 0, (False, False)
    for run in layout.runs(example, layout.LIMIT):
        for stretch in run.stretches:
            if plain:
                text.append(_marks(marks, (stretch.loss, stretch.cut)))
                marks = (stretch.loss, stretch.cut)
            if stretch.row is not None and stretch.row != row:
                row = stretch.row
                text.append(f"[row {row + 1}]", _ROW)
            styles = {
                _REPLACED: run.source is not None,
                "dim": stretch.is_template,
                "underline": stretch.loss,
                _CUT: stretch.cut,
            }
            text.append(stretch.text, " ".join(style for style, holds in styles.items() if holds))
        if run.source is not None:
            text.append(f"⟨{run.source}⟩", _SOURCE)
    text.append(_marks(marks, (False, False)))
    if (rest := len(example.text.text) - layout.LIMIT) > 0:
        text.append(f" ... {rest:,} more characters", "dim")
    return text


def _marks(before: tuple[bool, bool], after: tuple[bool, bool]) -> str:
    """Returns what ends and what begins between (loss, cut) and (loss, cut)."""
    changes = list(zip((_PLAIN_LOSS, _PLAIN_CUT), before, after, strict=True))
    ends = [end for (_, end), was, is_now in changes if was and not is_now]
    begins = [begin for (begin, _), was, is_now in changes if is_now and not was]
    return "".join(ends + begins)


def _wrapped(text: rich.text.Text, width: int) -> rich.text.Text:
    """Breaks lines where no terminal will have to break them.

    Terminals don't agree on the width of vowel signs: some count the spacing ones, Rich doesn't.
    """
    text.expand_tabs()
    lines = text.divide(_breaks(text.plain, width))
    for line in lines[:-1]:
        line.rstrip()
    return rich.text.Text("\n").join(lines)


def _breaks(text: str, width: int) -> Iterator[int]:
    begin = word = place = column = 0
    while place < len(text):
        character = text[place]
        spacing_sign = unicodedata.category(character) == "Mc"
        column += max(rich.cells.get_character_cell_size(character), spacing_sign)
        if character == "\n":
            column, begin, word = 0, place + 1, place + 1
        elif character == " ":
            word = place + 1
        elif column > width and place > begin:
            if word == begin:  # a word longer than the line
                word = place
                while word > begin + 1 and not layout.begins_cluster(text, word):
                    word -= 1
            yield word
            place, begin, column = word, word, 0
            continue
        place += 1


def _report(report: MixReport) -> rich.text.Text:
    lines = list(wording.lines(report))
    names, values = (max(len(line[column]) for line in lines) for column in (0, 1))
    text = rich.text.Text(no_wrap=True, overflow="ignore")
    for line in lines:
        text.append(f"{line.name:{names}}  {line.value:>{values}}")
        text.append(f"  {line.remark}".rstrip() + "\n", "dim")
    text.rstrip()
    return text
