"""What the terminal and the page say in the same words."""

from collections.abc import Iterator
from typing import NamedTuple

from commit_t5x.inspection.examples import Example
from commit_t5x.inspection.inspect import Inspection, TaskInspection
from commit_t5x.inspection.layout import visible
from commit_t5x.inspection.report import MixReport


class Line(NamedTuple):
    """A line of the mix report."""

    name: str
    value: str
    remark: str


def heading(inspection: Inspection) -> str:
    """Says what the examples are of, and how they were drawn."""
    parts = [
        f"split {inspection.split}",
        f"epoch {inspection.epoch}",
        f"seed {inspection.seed}",
    ]
    if inspection.row_length:
        parts.append(f"rows of {inspection.row_length:,} tokens")
    if inspection.shuffled:
        parts.append("in the data's order, which the run shuffles")
    return " · ".join(parts)


def report_title(task: TaskInspection) -> str:
    """Says what a report is about."""
    share = "" if task.share == 1 else f" ({_percent(task.share)} of the mixture)"
    return f"{task.name}{share}: mix report on {task.report.examples:,} examples"


def summary(example: Example, row_length: int | None) -> str:
    """Says in a line what became of an example."""
    tokens = [token for token in example.tokens if token.row is not None]
    words = example.text.words
    parts = [f"{len(example.tokens):,} tokens", f"{sum(t.loss for t in tokens):,} bear loss"]
    if example.is_mixed:
        parts.append(f"{sum(w.replaced for w in words):,} of {len(words):,} words replaced")
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


def lines(report: MixReport) -> Iterator[Line]:
    """Yields the lines of a mix report."""
    r = report
    if r.is_mixed:
        yield Line("words", f"{r.words:,}", "of the texts that can be mixed")
        yield Line("hit rate", _percent(r.hit_rate), f"{r.hits:,} words that the lexicon knows")
        same = f", {r.unchanged:,} of them by themselves" if r.unchanged else ""
        yield Line(
            "effective ratio", _percent(r.effective_ratio), f"{r.replaced:,} words replaced{same}"
        )
        yield Line(
            "code-mixing index",
            f"{r.code_mixing_index:.1f}",
            "0: one language; 50: two in equal shares",
        )
        per_100 = f"{r.switch_points_per_100_words:.1f} for each 100 words"
        yield Line("switch points", f"{r.switch_points:,}", per_100)
        fertility = f"{r.tokens_per_word_before:.2f} → {r.tokens_per_word_after:.2f}"
        yield Line("tokens per word", fertility, "before and after mixing")
    else:
        yield Line("words", f"{r.words:,}", "between white space; nothing is mixed")
        yield Line("tokens per word", f"{r.tokens_per_word_before:.2f}", "")
    yield Line("tokens", f"{r.tokens:,}", f"{_percent(r.loss_share)} bear loss")
    lengths = f"95 % have up to {r.length_p95:,}, the longest {r.length_longest:,}"
    yield Line("tokens per example", f"{r.length_median:,.0f}", f"median; {lengths}")
    if r.row_length:
        fates = {"cut": r.cut, "dropped": r.dropped, "split": r.split}
        rest = r.over - sum(fates.values())
        if rest > 0:
            fates["going on in the next row"] = rest
        remark = ", ".join(f"{count:,} {fate}" for fate, count in fates.items() if count)
        yield Line(f"over {r.row_length:,} tokens", f"{r.over:,}", remark)
    if r.examples_per_row:
        yield Line(
            "examples per row", f"{r.examples_per_row:.2f}", f"rows are {_percent(r.row_fill)} full"
        )
        remark = f"at {r.batch_size:,} rows; for EXAMPLES_PER_STEP"
        yield Line("examples per step", f"{r.examples_per_step:.1f}", remark)
    for number, (source, target, count) in enumerate(r.top_replacements):
        name = "most replaced" if not number else ""
        yield Line(name, f"{count:,}", f"{visible(source)} → {visible(target)}")
    for number, (word, count) in enumerate(r.top_unknown if r.is_mixed else ()):
        yield Line("most without an entry" if not number else "", f"{count:,}", visible(word))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
