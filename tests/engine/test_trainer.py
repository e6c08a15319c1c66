import functools

import jax
import numpy as np
import optax
import pytest
import tiny
from trees import assert_close

from commit_t5x.engine import losses, train_state, trainer
from commit_t5x.errors import InputError
from commit_t5x.model import optim

# Plain descent shows gradients as they are; Adam would blow up rounding errors of those near 0.
DESCENT = optax.sgd(0.5)
NOTHING_LEARNT = optax.sgd(0.0)


@functools.cache
def _setup(num_microbatches=None, **options):
    model, partitioner = tiny.model(**options), tiny.partitioner()
    initializer = train_state.TrainStateInitializer(model, partitioner)
    steps = trainer.Trainer(model, partitioner, initializer.train_state, num_microbatches)
    return steps, jax.device_get(initializer.from_scratch(jax.random.PRNGKey(0)))


def _run(steps, state, num_steps=3):
    metrics = []
    for step in range(num_steps):
        state, sums = steps.train_step(state, tiny.batch(seed=step))
        metrics.append(jax.device_get(sums))
    return jax.device_get(state), metrics


@pytest.mark.parametrize(
    ("factor", "num_microbatches"),
    [
        pytest.param(losses.AVERAGE_PER_SEQUENCE, 2, marks=pytest.mark.slow),
        (losses.AVERAGE_PER_SEQUENCE, 8),
        (losses.NUM_REAL_TARGET_TOKENS, 4),
    ],
)
def test_microbatches_give_the_whole_batchs_loss_and_gradients(factor, num_microbatches):
    options = {"loss_normalizing_factor": factor, "optimizer_def": DESCENT}
    whole, whole_metrics = _run(*_setup(**options))
    parts, parts_metrics = _run(*_setup(num_microbatches, **options))
    assert_close(whole.params, parts.params, rtol=1e-4, atol=1e-6)
    for a, b in zip(whole_metrics, parts_metrics, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-5, err_msg=name)


def test_step_is_the_optimizers():
    steps, state = _setup(optimizer_def=optim.adamw(0.1))
    model, batch = tiny.model(), tiny.batch()
    grads = jax.jit(jax.grad(lambda params: model.loss_fn(params, batch)[0]))(state.params)
    reference = optim.adamw(0.1)
    moments = reference.init(state.params)
    updates, _ = jax.jit(reference.update)(grads, moments, state.params)
    after, metrics = steps.train_step(state, batch)
    expected = optax.apply_updates(state.params, updates)
    assert_close(after.params, expected, rtol=1e-4, atol=1e-5)
    assert after.step == 1
    np.testing.assert_allclose(metrics["grad_norm"], optax.tree.norm(grads), rtol=1e-5)
    np.testing.assert_allclose(metrics["param_norm"], optax.tree.norm(after.params), rtol=1e-5)
    np.testing.assert_allclose(metrics["learning_rate"], 0.1)


def test_dropout_differs_by_step_and_microbatch_and_repeats_by_seed():
    network = tiny.TinyNetwork(dropout_rate=0.5)

    def losses_of(num_microbatches):
        setup = _setup(num_microbatches, network=network, optimizer_def=NOTHING_LEARNT)
        steps, state = setup
        found = []
        for _ in range(2):
            state, metrics = steps.train_step(state, tiny.batch())
            found.append(float(metrics["loss"]))
        return found

    first, second = losses_of(1)
    assert first != second
    assert losses_of(1) == [first, second]
    assert losses_of(2)[0] != first


def test_batch_that_microbatches_do_not_divide_is_an_error():
    steps, _ = _setup(3)
    with pytest.raises(InputError, match="BATCH_SIZE: 8 is not a multiple of NUM_MICROBATCHES, 3"):
        steps.check_batch_size(8)


def test_eval_step_sums_to_the_loss_over_all_rows():
    model, partitioner = tiny.model(), tiny.partitioner()
    eval_step = trainer.make_eval_step(model, partitioner)
    params = jax.jit(model.get_initial_variables)(jax.random.PRNGKey(0))["params"]
    batch = tiny.batch()
    filled = {name: np.pad(feature, [(0, 2), (0, 0)]) for name, feature in batch.items()}
    sums = eval_step(params, filled, 8)
    expected, metrics = jax.jit(model.loss_fn)(params, batch)
    np.testing.assert_allclose(sums["loss"] / sums["denominator"], expected, rtol=1e-6)
    assert sums["loss_tokens"] == metrics["loss_tokens"]


def test_key_is_one_of_the_configured_generator():
    with jax.default_prng_impl("rbg"):
        state = train_state.TrainStateInitializer(tiny.model(), tiny.partitioner()).train_state
        assert state.rng.shape == jax.random.PRNGKey(0).shape == (4,)
