"""Rotary positions against a plain NumPy statement of their formula."""

import numpy as np
import pytest
from small_llama import normal

from commit_t5x.model import rotary
from commit_t5x.model.llama_config import RopeScaling


def test_rotary_turns_half_split_pairs():
    x, dim = normal(1, 5, 2, 8), 8
    frequencies = rotary.frequencies(dim, 10000.0, None)
    positions = np.array([[0, 1, 2, 7, 3]])
    actual = rotary.rotate(x, rotary.table(positions, frequencies))
    for token, position in enumerate(positions[0]):
        for pair in range(dim // 2):
            angle = position * 10000.0 ** (-2 * pair / dim)
            first, second = x[0, token, :, pair], x[0, token, :, pair + dim // 2]
            turned = first * np.cos(angle) - second * np.sin(angle)
            np.testing.assert_allclose(actual[0, token, :, pair], turned, rtol=1e-4, atol=1e-5)


def test_rotary_scores_depend_on_distance_only():
    query, key = normal(1, 1, 1, 16), normal(1, 1, 1, 16)
    frequencies = rotary.frequencies(16, 10000.0, None)

    def score(query_position, key_position):
        turned = [
            rotary.rotate(x, rotary.table(np.array([[position]]), frequencies))
            for x, position in ((query, query_position), (key, key_position))
        ]
        return float(np.vdot(*turned))

    assert score(9, 4) == pytest.approx(score(105, 100), abs=1e-4)
    assert score(9, 4) != pytest.approx(score(9, 5), abs=1e-4)


def test_scaled_frequencies():
    plain = rotary.frequencies(64, 500000.0, None)
    linear = rotary.frequencies(64, 500000.0, RopeScaling("linear", 4.0))
    np.testing.assert_allclose(linear, plain / 4, rtol=1e-6)
    llama3 = rotary.frequencies(64, 500000.0, RopeScaling("llama3", 8.0))
    wavelengths = 2 * np.pi / plain
    short, long = wavelengths < 8192 / 4, wavelengths > 8192
    np.testing.assert_allclose(llama3[short], plain[short], rtol=1e-6)
    np.testing.assert_allclose(llama3[long], plain[long] / 8, rtol=1e-6)
    between = llama3[~short & ~long]
    assert between.size > 0
    assert np.all(between < plain[~short & ~long])
    assert np.all(between > plain[~short & ~long] / 8)
