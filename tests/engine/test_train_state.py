"""The abstract state of a run."""

import jax
import tiny
from small_llama import CONFIG

from commit_t5x.engine import models, train_state
from commit_t5x.model import llama, optim


def test_key_is_one_of_the_configured_generator():
    model = models.DecoderOnlyModel(llama.Llama(CONFIG), None, optim.adamw(1e-2))
    with jax.default_prng_impl("rbg"):
        state = train_state.TrainStateInitializer(model, tiny.partitioner()).train_state
        assert state.rng.shape == jax.random.PRNGKey(0).shape == (4,)
