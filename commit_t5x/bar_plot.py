"""Grouped bars as PNG."""

import io
from collections.abc import Collection, Mapping, Sequence

from commit_t5x.errors import InputError

_INCHES_A_LETTER, _INCHES_A_KEY = 0.1, 0.6  # of a legend's entry

Bars = Mapping[tuple[str, str], tuple[float, float, float]]


def png(
    who: str,
    groups: Mapping[str, str],
    series: Sequence[str],
    panels: Mapping[str, Bars],
    hatched: Collection[tuple[str, str]] = (),
    note: str = "",
) -> bytes:
    """Returns a plot: panels one below the other, in each a group of bars, one for each series.

    Args:
      who: wants it, for the message.
      groups: group -> what stands below it.
      series: their names.
      panels: what the vertical axis shows -> (group, series) -> the bar's height, and the bounds of
        its interval, NaN for none; there may be no bar.
      hatched: (group, series) of bars that are.
      note: below.

    Raises:
      InputError: matplotlib isn't installed.
    """
    try:
        from matplotlib import figure
    except ImportError as error:
        raise InputError(f"{who}: needs matplotlib; pip install 'commit-t5x[plot]'") from error
    entry = _INCHES_A_KEY + _INCHES_A_LETTER * max(map(len, series))
    width = max(4.0, entry, 1.0 + len(groups) * max(0.9, 0.3 * len(series)))
    columns = max(1, min(len(series), int(width / entry)))
    height = 2.6 * len(panels) + 0.4 + 0.2 * -(-len(series) // columns)
    fig = figure.Figure(figsize=(width, height), layout="constrained")
    axes = fig.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    bar = 0.8 / len(series)
    for panel, (label, bars) in zip(axes, panels.items(), strict=True):
        for place, name in enumerate(series):
            offset = (place - (len(series) - 1) / 2) * bar
            keys = [(group, name) for group in groups]
            found = [(i, *bars[key]) for i, key in enumerate(keys) if key in bars]
            panel.bar(
                [i + offset for i, *_ in found],
                [value for _, value, *_ in found],
                0.9 * bar,
                yerr=[
                    [value - low for _, value, low, _ in found],
                    [high - value for _, value, _, high in found],
                ],
                capsize=2,
                error_kw={"linewidth": 0.8},
                color=f"C{place}",  # matplotlib gives no colour to a series without bars
                label=_plain(name),
                hatch=["//" if keys[i] in hatched else "" for i, *_ in found],
            )
        panel.set_ylabel(label)
        panel.set_ylim(0, max(1.0, panel.get_ylim()[1]))  # all may be 0
        panel.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xticks(range(len(groups)), list(map(_plain, groups.values())))
    if note:
        fig.supxlabel(_plain(note), fontsize="x-small")
    handles = axes[0].get_legend_handles_labels()
    fig.legend(*handles, loc="outside upper center", ncols=columns, frameon=False)
    content = io.BytesIO()
    fig.savefig(content, format="png", dpi=150, metadata={"Software": None})
    return content.getvalue()


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # which would begin a formula
