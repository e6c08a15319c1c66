import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from commit_t5x.errors import InputError
from commit_t5x.model import optim


def test_schedule_of_the_paper():
    schedule = optim.warmup_cosine(peak=2e-5, end=1e-7, warmup_steps=36, total_steps=1210)
    assert schedule(0) == 0.0
    np.testing.assert_allclose(schedule(18), 1e-5, rtol=1e-6)
    np.testing.assert_allclose(schedule(36), 2e-5, rtol=1e-6)
    # Half-way through the cosine, which is as long as the run without its warm-up.
    np.testing.assert_allclose(schedule(36 + (1210 - 36) // 2), (2e-5 + 1e-7) / 2, rtol=1e-5)
    np.testing.assert_allclose(schedule(1210), 1e-7, rtol=1e-5)
    np.testing.assert_allclose(schedule(2000), 1e-7, rtol=1e-5)


def test_schedule_without_warmup_starts_at_the_peak():
    schedule = optim.warmup_cosine(peak=1e-3, end=0.0, warmup_steps=0, total_steps=10)
    np.testing.assert_allclose(schedule(0), 1e-3, rtol=1e-6)


@pytest.mark.parametrize("warmup_steps", [10, 11])
def test_warmup_must_leave_steps_to_decay_in(warmup_steps):
    with pytest.raises(InputError, match=f"WARMUP_STEPS: {warmup_steps} is not below TRAIN_STEPS"):
        optim.warmup_cosine(warmup_steps=warmup_steps, total_steps=10)


def _adamw_by_hand(param, grads, rate, b1, b2, eps, decay, clip):
    mean, square = 0.0, 0.0
    for count, grad in enumerate(grads, start=1):
        norm = np.sqrt(np.sum(np.square(grad)))
        grad = grad * min(1.0, clip / norm)
        mean = b1 * mean + (1 - b1) * grad
        square = b2 * square + (1 - b2) * np.square(grad)
        update = mean / (1 - b1**count) / (np.sqrt(square / (1 - b2**count)) + eps)
        param = param - rate(count - 1) * (update + decay * param)
    return param


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adamw_by_hand(decay):
    rng = np.random.default_rng(0)
    grads = rng.normal(0, 2, (5, 3)).astype(np.float32)  # norms above and below the clip
    rate = optim.warmup_cosine(peak=0.1, end=0.01, warmup_steps=2, total_steps=5)
    optimizer = optim.adamw(
        rate, b1=0.9, b2=0.99, eps=1e-8, weight_decay=decay, clip_norm=2.0, mu_dtype=None
    )
    param = jnp.array([1.0, -2.0, 0.5])
    state = optimizer.init(param)
    for grad in grads:
        updates, state = optimizer.update(grad, state, param)
        param = optax.apply_updates(param, updates)
    expected = _adamw_by_hand(
        np.array([1.0, -2.0, 0.5]), grads, lambda step: float(rate(step)), 0.9, 0.99, 1e-8, decay, 2
    )
    np.testing.assert_allclose(param, expected, rtol=1e-5)


def test_first_moment_is_bf16_and_second_fp32():
    state = optim.adamw(1e-3).init({"kernel": jnp.ones((2, 2))})
    moments = optax.tree.get(state, "mu"), optax.tree.get(state, "nu")
    assert [moment["kernel"].dtype for moment in moments] == [jnp.bfloat16, jnp.float32]


def test_optimizer_stands_in_for_an_optax_transformation():
    chained = optax.chain(optim.adamw(0.5, clip_norm=None), optax.scale(2.0))
    updates, _ = jax.jit(chained.update)(jnp.ones(2), chained.init(jnp.ones(2)), jnp.ones(2))
    np.testing.assert_allclose(updates, -1.0, rtol=1e-2)


def test_optimizer_tells_its_learning_rate():
    assert optim.adamw(0.25).learning_rate(7) == 0.25
    schedule = optim.warmup_cosine()
    assert optim.adamw(schedule).learning_rate(36) == schedule(36)


def test_adafactor_keeps_next_to_nothing_and_steps_as_far_as_adam():
    rng = np.random.default_rng(0)
    params = {"kernel": jnp.zeros((3, 256, 128)), "scale": jnp.zeros(4)}
    grads = jax.tree.map(lambda p: jnp.asarray(rng.normal(0, 3, p.shape), jnp.float32), params)
    optimizer = optim.adafactor(optim.warmup_cosine(peak=0.1, end=0.0, warmup_steps=0))
    state = optimizer.init(params)
    size = sum(leaf.size for leaf in jax.tree.leaves(state))
    assert size < 0.02 * params["kernel"].size
    updates, _ = optimizer.update(grads, state, params)
    # The first step divides by the very gradients: Adam's would be of the learning rate everywhere.
    np.testing.assert_allclose(updates["scale"], -0.1 * np.sign(grads["scale"]), rtol=1e-3)
    assert np.sqrt(np.mean(np.square(updates["kernel"]))) == pytest.approx(0.1, rel=1e-3)
    assert np.mean(np.sign(updates["kernel"]) == -np.sign(grads["kernel"])) == 1.0


def test_adafactor_of_a_matrix_by_hand():
    rng = np.random.default_rng(1)
    grad = rng.normal(size=(128, 256)).astype(np.float32)
    optimizer = optim.adafactor(0.1, clip_norm=None)
    param = jnp.zeros_like(grad)
    state = optimizer.init(param)
    for step in range(2):
        updates, state = optimizer.update(jnp.asarray(grad * (step + 1)), state, param)
    # Means of squares, decayed by 1 - 2^-0.8 at the second step.
    decay = 1 - 2**-0.8
    squares = decay * np.square(grad) + (1 - decay) * np.square(2 * grad)
    rows, columns = squares.mean(1, keepdims=True), squares.mean(0, keepdims=True)
    expected = 2 * grad / np.sqrt(rows * columns / rows.mean())
    expected /= max(1.0, np.sqrt(np.mean(np.square(expected))))
    np.testing.assert_allclose(updates, -0.1 * expected, rtol=1e-4)
