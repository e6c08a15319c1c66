import numpy as np
import pytest

from commit_t5x.evaluation import bootstrap


def test_interval_is_that_of_the_normal_distribution_for_many_samples():
    samples = np.random.default_rng(1).normal(50.0, 10.0, 1000)
    low, high = bootstrap.interval(samples)
    margin = 1.96 * samples.std(ddof=1) / np.sqrt(1000)
    assert low == pytest.approx(samples.mean() - margin, abs=0.05)
    assert high == pytest.approx(samples.mean() + margin, abs=0.05)
    assert bootstrap.interval(samples) == (low, high)


def test_interval_of_equal_scores_has_no_width():
    assert bootstrap.interval([100.0] * 7) == (100.0, 100.0)


def test_interval_stays_within_the_scale():
    low, high = bootstrap.interval([0.0] * 99 + [100.0])
    assert low == 0.0 < high < 10.0


def test_intervals_over_seeds_are_wider():
    random = np.random.default_rng(2)
    seeds = random.normal(0.0, 5.0, (40, 1))  # how good each seed's model is
    questions = random.normal(50.0, 10.0, (1, 400))
    low, high = bootstrap.interval(seeds + questions)
    variance = seeds.var() / 40 + questions.var() / 400
    margin = 1.96 * np.sqrt(variance)
    assert (high - low) / 2 == pytest.approx(margin, rel=0.05)
    assert margin > 1.5 * 1.96 * questions.std() / 20


def test_runs_are_drawn_on_the_same_questions():
    first = np.random.default_rng(3).normal(50.0, 10.0, 100)
    ours, theirs = bootstrap.means(first, first + 2.0)
    assert theirs - ours == pytest.approx(np.full(10_000, 2.0))
