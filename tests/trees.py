"""Trees of arrays: compared leaf by leaf, and as checkpoints hold them."""

import jax
import numpy as np
from flax import traverse_util

from commit_t5x.engine import checkpoints


def assert_close(actual, expected, **tolerances):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerances), actual, expected)


def read(path):
    """Returns the weights in a native checkpoint, which may be factors without their base."""
    _, stores = checkpoints.open_params(path)
    leaves = {name: store.read().result() for name, store in stores.items()}
    return traverse_util.unflatten_dict(leaves, sep="/")
