"""A random tiny model as a native checkpoint and as a Hugging Face export, and sample questions."""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import pytest

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


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> TinyModel:
    """Weights far larger than an initialiser's, so that greedy answers depend on the context.

    Newlines are likely and the other byte tokens unlikely: Hugging Face's decoder and SentencePiece
    spell broken UTF-8 differently.
    """
    folder = tmp_path_factory.mktemp("tiny")
    config = llama.LlamaConfig(
        vocab_size=configured.load(TOKENIZER).vocab_size,
        emb_dim=32,
        mlp_dim=48,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        max_length=256,
    )
    tokens = jnp.ones((1, 4), jnp.int32)
    variables = llama.Llama(config).init(jax.random.key(0), tokens, tokens, enable_dropout=False)
    params = jax.tree.map(lambda leaf: leaf * 3.0, variables["params"])
    head = params["logits_dense"]["kernel"]
    scale = jnp.ones(config.vocab_size).at[3:259].set(0.0).at[NEWLINE_ID].set(2.0)
    params["logits_dense"]["kernel"] = head * scale
    checkpoints.save_params(folder / "native", params, config, TOKENIZER)
    hf.export_hf(params, config, folder / "exported", TOKENIZER)
    return TinyModel(folder / "native", folder / "exported", config, params)


@pytest.fixture
def write_squad():
    """Returns a function that writes a SQuAD v1.1 file of (question, answers) on one context."""

    def write(path: pathlib.Path, *questions: tuple[str, list[str]], context: str) -> pathlib.Path:
        qas = [
            {
                "id": f"q{number}",
                "question": question,
                "answers": [{"text": text, "answer_start": 0} for text in answers],
            }
            for number, (question, answers) in enumerate(questions)
        ]
        paragraphs = [{"context": context, "qas": qas}]
        content = {"version": "1.1", "data": [{"title": "t", "paragraphs": paragraphs}]}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return write
