import collections

import gin
import pytest
import seqio

from commit_t5x.errors import InputError
from commit_t5x.tasks import mixtures, names

RATES = {"alpaca_en": 1, "alpaca_codemix_hi": 2, "wikipedia_hi": 0.5}


def test_the_name_says_what_is_in_it():
    name = mixtures.mixture(RATES)
    assert name == "mix_alpaca_codemix_hi_2_alpaca_en_1_wikipedia_hi_0.5"
    backwards = dict(reversed({**RATES, "alpaca_en": 1.0}.items()))
    assert mixtures.mixture(backwards) == name
    assert mixtures.mixture({**RATES, "wikipedia_hi": 1e-07}).endswith("_wikipedia_hi_1e_07")
    assert seqio.get_mixture_or_task(name).rate_per_task_name == RATES


def test_the_language_is_filled_in():
    rates = {"alpaca_en": 1, "alpaca_codemix_{lang}": 2, "wikipedia_{lang}": 0.5}
    assert mixtures.mixture(rates, "hi") == mixtures.mixture(RATES)
    # Of any language, which is registered if need be.
    name = mixtures.mixture({"commit_mix_{lang}": 1, "wikipedia_{lang}": 1}, "ht_Test")
    tasks = {task.name for task in seqio.get_mixture_or_task(name).tasks}
    assert tasks == {"alpaca_en", "alpaca_codemix_ht_Test", "wikipedia_ht_Test"}


def test_gin_configures_it(bind):
    gin.parse_config(
        """
        from __gin__ import dynamic_registration
        from commit_t5x.tasks import mixtures
        from commit_t5x.tasks import names
        LANGUAGE = "hi"
        NAME = @mixtures.mixture()
        mixtures.mixture.rates = {"alpaca_en": 1, "alpaca_codemix_{lang}": 3}
        mixtures.mixture.language = %LANGUAGE
        names.task_name.family = %NAME
        """
    )
    assert gin.get_bindings(names.task_name)["family"] == "mix_alpaca_codemix_hi_3_alpaca_en_1"


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"alpaca_enn": 1}, "no task or mixture 'alpaca_enn'; did you mean alpaca_en"),
        ({"nothing like it": 1}, "no task or mixture 'nothing like it'; check the name"),
        ({"alpaca_codemix_{lang}": 1}, "no task or mixture 'alpaca_codemix_{lang}'; did you mean"),
        ({"alpaca_en": 1, "xquad_hi": 1}, "alpaca_en and xquad_hi have no split in common"),
    ],
)
def test_what_is_wrong_is_named(rates, message):
    with pytest.raises(InputError) as caught:
        mixtures.mixture(rates)
    assert str(caught.value).startswith(f"mixtures.mixture.rates: {message}")


@pytest.mark.parametrize("rate", [0, -1.5, float("nan"), float("inf"), "1", True, None])
def test_rates_are_positive_numbers(rate):
    with pytest.raises(InputError, match="rates: .* doesn't fit; it takes .* a number above 0"):
        mixtures.mixture({"alpaca_en": rate} if rate is not None else {})


def test_features_must_be_the_same():
    known = seqio.TaskRegistry.get("alpaca_en")
    features = {"targets": known.output_features["targets"]}
    seqio.TaskRegistry.add("only_targets", known.source, features, known.preprocessors)
    try:
        with pytest.raises(
            InputError, match="have different features, inputs, targets and targets"
        ):
            mixtures.mixture({"alpaca_en": 1, "only_targets": 1})
    finally:
        seqio.TaskRegistry.remove("only_targets")


def test_a_task_has_one_rate():
    with pytest.raises(InputError, match="alpaca_codemix_hi has two rates"):
        mixtures.mixture({"alpaca_codemix_{lang}": 1, "alpaca_codemix_hi": 2}, "hi")


def rows(name, count, seed=0):
    ds = seqio.get_mixture_or_task(name).get_dataset(None, split="train", shuffle=False, seed=seed)
    return [row["targets"].tobytes() for row in ds.take(count).as_numpy_iterator()]


def test_examples_are_drawn_at_the_rates(samples):
    # Plain tasks, so that each row tells the task that it is of.
    name = mixtures.mixture({"alpaca_en": 3, "wikipedia_hi": 1})
    task_of = {}
    for task in ("alpaca_en", "wikipedia_hi"):
        ds = seqio.get_mixture_or_task(task).get_dataset(None, split="train", shuffle=False)
        task_of |= {row["targets"].tobytes(): task for row in ds.as_numpy_iterator()}
    count = 1600
    drawn = collections.Counter(task_of[row] for row in rows(name, count))
    assert drawn.total() == count
    assert drawn["alpaca_en"] / count == pytest.approx(0.75, abs=0.04)  # 3.7 standard deviations


@pytest.mark.slow
def test_draws_follow_the_seed(samples):
    name = "commit_mix_hi"
    first = rows(name, 40, seed=1)
    assert first == rows(name, 40, seed=1)
    assert first != rows(name, 40, seed=2)
    assert set(seqio.get_mixture_or_task(name).rate_per_task_name.values()) == {1.0}
