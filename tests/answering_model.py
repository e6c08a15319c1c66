"""A random tiny model as a native checkpoint and as a Hugging Face export."""

import dataclasses
import functools
import pathlib

import jax
import jax.numpy as jnp

from commit_t5x import resources
from commit_t5x.conversion import hf
from commit_t5x.engine import checkpoints
from commit_t5x.model import llama
from commit_t5x.vocabularies import configured

NEWLINE_ID = 13  # the byte token <0x0A>
TOKENIZER = resources.path("samples") / "tokenizer.model"


@dataclasses.dataclass(frozen=True)
class TinyModel:
    native: pathlib.Path  # MODEL_DIR
    exported: pathlib.Path  # a Hugging Face directory
    config: llama.LlamaConfig
    params: dict


def write(folder: pathlib.Path) -> TinyModel:
    """Weights far larger than an initialiser's, so that greedy answers depend on the context.

    Newlines are likely and the other byte tokens unlikely: Hugging Face's decoder and SentencePiece
    spell broken UTF-8 differently.
    """
    tokenizer = configured.load(TOKENIZER)
    config = llama.LlamaConfig(
        vocab_size=tokenizer.vocab_size,
        emb_dim=32,
        mlp_dim=48,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        max_length=256,
    )
    tokens = jnp.ones((1, 4), jnp.int32)
    init = jax.jit(functools.partial(llama.Llama(config).init, enable_dropout=False))
    variables = init(jax.random.key(0), tokens, tokens)
    params = jax.tree.map(lambda leaf: leaf * 3.0, variables["params"])
    head = params["logits_dense"]["kernel"]
    scale = jnp.ones(config.vocab_size).at[3:259].set(0.0).at[NEWLINE_ID].set(2.0)
    params["logits_dense"]["kernel"] = head * scale
    checkpoints.save_params(folder / "native", params, config, tokenizer)
    hf.export_hf(params, config, folder / "exported", tokenizer)
    return TinyModel(folder / "native", folder / "exported", config, params)
