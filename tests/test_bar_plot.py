import io
import math

import pytest

pytest.importorskip("matplotlib", reason="the extra plot")
from matplotlib import image

from commit_t5x import bar_plot


def drawn(series, **options):
    groups = {"a": "first", "b": "$second$"}
    bars = {("a", name): (50.0, 40.0, 55.0) for name in series}
    bars["b", series[0]] = (10.0, math.nan, math.nan)
    return bar_plot.png("plot", groups, series, {"EM": bars, "F1": bars}, **options)


@pytest.mark.parametrize("length, count", [(3, 2), (12, 3), (25, 7)])
def test_a_legend_stands_within_the_picture(length, count):
    content = drawn([f"{n}".ljust(length, "w") for n in range(count)])
    pixels = image.imread(io.BytesIO(content))[..., :3]
    assert pixels[:, 0].min() == pixels[:, -1].min() == 1.0  # white at both sides


def test_the_same_bars_are_the_same_bits():
    hatched = drawn(["one", "two"], hatched={("a", "two")}, note="hatched: another thing")
    assert hatched == drawn(["one", "two"], hatched={("a", "two")}, note="hatched: another thing")
    assert hatched != drawn(["one", "two"])
