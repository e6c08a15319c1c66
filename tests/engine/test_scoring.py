import jax
import jax.numpy as jnp
import numpy as np
import pytest

from commit_t5x.engine import scoring
from commit_t5x.errors import InputError
from commit_t5x.model import llama

LENGTH = 64


@pytest.fixture(scope="module")
def log_softmax(tiny_model):
    """Returns a function from tokens to the log-probabilities [length, vocab] behind each."""
    module = llama.Llama(tiny_model.config)

    @jax.jit
    def forward(tokens):
        logits = module.apply({"params": tiny_model.params}, tokens, tokens, enable_dropout=False)
        return jax.nn.log_softmax(logits[0])

    def call(tokens):
        padded = jnp.zeros((1, LENGTH), jnp.int32).at[0, : len(tokens)].set(jnp.array(tokens))
        return np.asarray(forward(padded))[: len(tokens)]

    return call


def expected_score(log_softmax, context, targets):
    """The definition, token by token."""
    logprobs = log_softmax([*context, *targets])[len(context) - 1 : -1]
    total = sum(row[target] for row, target in zip(logprobs, targets, strict=True))
    greedy = all(row.argmax() == target for row, target in zip(logprobs, targets, strict=True))
    return total, greedy


def score(tiny_model, rows, batch_size, max_length=256, **options):
    return scoring.score_targets(
        llama.Llama(tiny_model.config),
        **{"params": tiny_model.params, "rows": rows, **options},
        batch_size=batch_size,
        max_length=max_length,
    )


def check_scores(tiny_model, log_softmax, rows, batch_size, **options):
    scores = score(tiny_model, rows, batch_size, **options)
    for (context, targets), found in zip(rows, scores, strict=True):
        logprob, is_greedy = expected_score(log_softmax, context, targets)
        assert found.logprob == pytest.approx(logprob, abs=1e-3)
        assert found.is_greedy == is_greedy


@pytest.mark.parametrize("batch_size", [1, 7])
def test_scores_do_not_depend_on_batch_or_padding(tiny_model, log_softmax, batch_size):
    rows = [([1, 40, 50], [60, 70]), ([1], [300]), (list(range(20, 70)), [5, 6, 7]), ([9], [13])]
    check_scores(tiny_model, log_softmax, rows, batch_size)


@pytest.mark.parametrize(
    "batch_size, expected",
    [
        (8, [(1, 48), (8, 16)]),
        (4, [(1, 48), (4, 16), (4, 16)]),
        (1, [(1, 48)] + 7 * [(1, 16)]),
    ],
)
def test_answers_to_choose_from_share_their_question(
    tiny_model, log_softmax, batch_size, expected, passes
):
    question = list(range(20, 60))
    rows = [(question, [answer]) for answer in (5, 6, 7, 8)]
    rows += [(question, [5, 9]), (question, [5, 11, 3]), (question, [6, 7]), (question, [9] * 6)]
    check_scores(tiny_model, log_softmax, rows, batch_size)
    assert passes == expected


@pytest.mark.parametrize("tokens, expected", [(160, [(3, 48)] * 2), (16, [(1, 48)] * 6)])
def test_long_rows_go_in_parts_on_a_cpu(
    tiny_model, log_softmax, monkeypatch, passes, tokens, expected
):
    # All parts are of one size, so that one program serves.
    monkeypatch.setattr(scoring, "_TOKENS_IN_CACHE", tokens)
    rows = [([1, 40 + start], list(range(start, start + 40))) for start in range(0, 60, 10)]
    check_scores(tiny_model, log_softmax, rows, 6)
    assert passes == expected


def test_greedy_continuation_is_recognised(tiny_model, log_softmax):
    tokens = [1, 40, 50]
    for _ in range(3):
        tokens.append(int(log_softmax(tokens)[-1].argmax()))
    rows = [(tokens[:3], tokens[3:]), (tokens[:3], [*tokens[3:-1], tokens[-1] + 1])]
    scores = score(tiny_model, rows, 7)
    assert [found.is_greedy for found in scores] == [True, False]
    assert scores[0].logprob > scores[1].logprob


def test_a_context_that_is_too_long_loses_its_start(tiny_model, log_softmax):
    context, targets = list(range(100, 150)), [7, 8]
    [found] = score(tiny_model, [(context, targets)], 1, max_length=16)
    # 17 tokens are one more than the model reads: the last is predicted only.
    expected, _ = expected_score(log_softmax, context[-15:], targets)
    assert found.logprob == pytest.approx(expected, abs=1e-3)


def test_targets_fill_the_network_and_no_more(tiny_model, log_softmax):
    targets = list(range(20, 34))
    rows = [([1], targets), ([1], targets[:1])]
    check_scores(tiny_model, log_softmax, rows, 1, max_length=14)
    # In 16 slots there would be room for it, behind padding.
    with pytest.raises(InputError, match="14 tokens: longer than the model's 13"):
        score(tiny_model, rows, 1, max_length=13)


def test_batches_are_reported(tiny_model):
    done = []
    score(tiny_model, [([1], [2])] * 5, 2, on_batch=done.append)
    assert done == [2, 2, 1]


def test_weights_that_are_not_finite(tiny_model):
    params = jax.tree.map(lambda leaf: np.full_like(leaf, np.inf), tiny_model.params)
    with pytest.raises(InputError, match="logits are not finite"):
        score(tiny_model, [([1], [300])], 1, params=params)
