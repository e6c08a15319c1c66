"""A small network with grouped queries, and ways to use one, of ours or of transformers'."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from commit_t5x import resources
from commit_t5x.engine import checkpoints
from commit_t5x.model.llama import Llama, LlamaConfig, preset
from commit_t5x.vocabularies import configured

CONFIG = LlamaConfig(
    vocab_size=61, emb_dim=32, mlp_dim=48, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=8
)


_RNG = np.random.default_rng(0)


def normal(*shape):
    return _RNG.normal(size=shape).astype(np.float32)


def random_tokens(seed, batch=2, length=12, vocab_size=CONFIG.vocab_size):
    return jax.random.randint(jax.random.key(seed), (batch, length), 1, vocab_size)


def init(module: Llama, seed=0):
    """Returns weights that are large enough for all parts of the network to matter.

    They are drawn by NumPy, since compiling the network's own initialisation takes seconds.
    """
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        mean = 1.0 if path[-1].key == "scale" else 0.0
        return jnp.asarray(rng.normal(mean, 0.2, leaf.shape), leaf.dtype)

    return jax.tree_util.tree_map_with_path(draw, _shapes(module))


def weights(config=CONFIG, seed=0):
    """Returns `init`'s weights as arrays of NumPy."""
    return jax.device_get(init(Llama(config), seed))


@functools.cache
def _shapes(module: Llama):
    tokens = jnp.ones((1, 2), jnp.int32)
    return jax.eval_shape(
        lambda: module.init(jax.random.key(0), tokens, tokens, enable_dropout=False)["params"]
    )


@functools.partial(jax.jit, static_argnums=0, static_argnames="enable_dropout")
def apply(module: Llama, params, tokens, *, enable_dropout=False, rng=None, **features):
    """Returns the logits of a full pass."""
    rngs = {"dropout": rng} if rng is not None else None
    return module.apply(
        {"params": params}, tokens, tokens, enable_dropout=enable_dropout, rngs=rngs, **features
    )


def logits_of(model, tokens):
    """Returns the logits of a model of transformers'."""
    import torch  # here, as most tests need none

    with torch.no_grad():
        return model(torch.tensor(np.array(tokens))).logits.numpy()


def write(folder):
    """Writes a model directory of the size of models/debug.gin, for the sample tokenizer."""
    module = Llama(preset("debug", vocab_size=3072))
    tokenizer = configured.load(resources.path("samples") / "tokenizer.model")
    checkpoints.save_params(folder, jax.device_get(init(module)), module.config, tokenizer)
    return folder
