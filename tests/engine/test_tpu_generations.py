import pytest

from commit_t5x.engine.tpu_generations import GENERATIONS


def test_clock_and_matrix_units_make_the_peak():
    # Each generation finishes a whole number of 128 x 128 products of one row in a cycle.
    for generation in GENERATIONS.values():
        units = generation.flops / (2 * 128 * 128 * generation.clock)
        assert units == pytest.approx(round(units), rel=5e-3)
