"""Intervals of means over questions and seeds, by resampling (Efron, 1979)."""

from collections.abc import Sequence

import numpy as np

_RESAMPLES = 10_000


def interval(samples: Sequence) -> tuple[float, float]:
    """Returns the bounds of the 95 % percentile bootstrap interval of the mean.

    Args:
      samples: [questions] or, over both, [seeds, questions].

    Example:
      >>> interval([0.0, 100.0] * 50)
      (40.0, 60.0)
    """
    low, high = np.percentile(means(samples), (2.5, 97.5))
    return float(low), float(high)


def means(*runs: Sequence) -> np.ndarray:
    """Returns the means of resamples, float64 [runs, resamples]; the same at each call.

    Each takes as many questions as there are, the same ones of every run, and of each run as many
    seeds as it has.

    Args:
      *runs: [questions] or [seeds, questions], on the same questions.
    """
    # scipy.stats.bootstrap gives the same, but importing it takes longer than all of `report`.
    values = [np.atleast_2d(np.asarray(run, np.float64)) for run in runs]
    random = np.random.default_rng(0)
    found = []
    for _ in range(_RESAMPLES // 100):  # a hundred at a time: the draws of all would take gigabytes
        size = values[0].shape[1]
        questions = random.integers(0, size, (100, 1, size))
        # With a single seed nothing is drawn.
        seeds = [
            random.integers(0, len(run), (100, len(run), 1)) if len(run) > 1 else 0
            for run in values
        ]
        drawn = zip(values, seeds, strict=True)
        found.append([run[which, questions].mean(axis=(1, 2)) for run, which in drawn])
    return np.concatenate(found, axis=1)
