"""Trees of arrays, compared leaf by leaf."""

import jax
import numpy as np


def assert_close(actual, expected, **tolerances):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerances), actual, expected)
