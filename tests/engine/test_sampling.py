import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformers

from commit_t5x.engine import sampling
from commit_t5x.engine.sampling import Sampling
from commit_t5x.errors import InputError

VOCAB_SIZE = 97
LOGITS = np.random.default_rng(0).normal(0, 3, (8, VOCAB_SIZE)).astype(np.float32)
KEYS = jax.random.split(jax.random.key(0), len(LOGITS))

SAMPLINGS = [
    Sampling(1.0),
    Sampling(0.7),
    Sampling(1.3, top_k=1),
    Sampling(1.0, top_k=5),
    Sampling(1.0, top_k=1000),
    Sampling(0.8, top_p=0.9),
    Sampling(1.0, top_p=0.3),
    Sampling(1.0, top_p=1e-6),
    Sampling(1.5, top_k=20, top_p=0.6),
]


def distribution(logits, options):
    """Probabilities over the vocabulary that our candidates stand for."""
    kept, ids = jax.jit(sampling.candidates, static_argnums=1)(logits, options)
    rows = np.arange(len(logits))[:, None]
    probabilities = np.zeros(logits.shape, np.float32)
    probabilities[rows, ids] = jax.nn.softmax(kept)
    return probabilities


@pytest.mark.parametrize("options", SAMPLINGS, ids=str)
def test_distribution_is_that_of_hugging_face(options):
    warpers = transformers.LogitsProcessorList(
        [transformers.TemperatureLogitsWarper(options.temperature)]
    )
    if options.top_k is not None:
        warpers.append(transformers.TopKLogitsWarper(options.top_k))
    if options.top_p < 1:
        warpers.append(transformers.TopPLogitsWarper(options.top_p))
    expected = torch.softmax(warpers(None, torch.from_numpy(LOGITS)), dim=-1).numpy()
    found = distribution(LOGITS, options)
    np.testing.assert_array_equal(found > 0, expected > 0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_nucleus_of_a_real_vocabulary_is_that_of_a_sort():
    logits = np.random.default_rng(1).normal(0, 2, (3, 32_000)).astype(np.float32)
    found = distribution(logits, Sampling(1.0, top_p=0.9))
    probabilities = np.asarray(jax.nn.softmax(logits), np.float64)
    for row, kept in zip(probabilities, found > 0, strict=True):
        size = 1 + np.searchsorted(np.cumsum(np.sort(row)[::-1]), 0.9)
        assert abs(kept.sum() - size) <= 1  # the border is a matter of rounding
        assert row[kept].min() > row[~kept].max()


def test_equal_tokens_share_their_fate():
    logits = jnp.log(jnp.array([[0.25, 0.25, 0.25, 0.25]]))
    np.testing.assert_allclose(distribution(logits, Sampling(1.0, top_p=0.5)), 0.25)


def test_temperature_0_takes_the_first_of_the_likeliest():
    logits = jnp.array([[0.0, 2.0, 2.0], [-jnp.inf, -5.0, -jnp.inf]])
    tokens = sampling.next_tokens(logits, KEYS[:2], Sampling())
    assert tokens.tolist() == [1, 1]
    assert tokens.dtype == jnp.int32


def test_draws_follow_the_distribution():
    options = Sampling(0.9, top_k=6, top_p=0.9)
    count = 20_000
    keys = jax.random.split(jax.random.key(1), count)
    logits = jnp.broadcast_to(LOGITS[0], (count, VOCAB_SIZE))
    tokens = jax.jit(sampling.next_tokens, static_argnums=2)(logits, keys, options)
    found = np.bincount(tokens, minlength=VOCAB_SIZE) / count
    expected = distribution(LOGITS[:1], options)[0]
    assert 2 <= (expected > 0).sum() < 6
    np.testing.assert_allclose(found, expected, atol=4 * 0.5 / np.sqrt(count))
    assert not found[expected == 0].any()


@pytest.mark.parametrize("options", SAMPLINGS, ids=str)
def test_a_row_draws_by_its_own_key(options):
    draw = jax.jit(sampling.next_tokens, static_argnums=2)
    together = draw(LOGITS, KEYS, options)
    assert [int(draw(LOGITS[i : i + 1], KEYS[i : i + 1], options)[0]) for i in range(8)] == list(
        together
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"temperature": -0.1}, "temperature: -0.1 doesn't fit; it takes a number from 0 on"),
        (
            {"temperature": 1.0, "top_k": 0},
            "top_k: 0 doesn't fit; it takes a whole number",
        ),
        ({"temperature": 1.0, "top_p": 0.0}, "top_p: 0.0 doesn't fit"),
        ({"temperature": 1.0, "top_p": 1.1}, "top_p: 1.1 doesn't fit; .* above 0 and at most 1"),
        ({"top_k": 4}, "without effect at TEMPERATURE 0"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        Sampling(**options)
