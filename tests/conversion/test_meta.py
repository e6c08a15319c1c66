import json
import pathlib

import gguf_files
import jax
import numpy as np
import pytest
import torch
from small_llama import apply, logits_of, random_tokens

from commit_t5x import conversion, resources
from commit_t5x.conversion import meta, native_names
from commit_t5x.errors import InputError
from commit_t5x.model import llama
from commit_t5x.vocabularies import configured

DIM, HEADS, KV_HEADS, LAYERS, VOCAB = 32, 4, 2, 2, 60
PARAMS = {
    "dim": DIM,
    "n_layers": LAYERS,
    "n_heads": HEADS,
    "n_kv_heads": KV_HEADS,
    "multiple_of": 8,
    "ffn_dim_multiplier": 1.3,
    "norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "vocab_size": VOCAB,
}
MLP_DIM = 112  # 1.3 times two thirds of 4 * 32, up to a multiple of 8
COLUMNS = ("wq", "wk", "wv", "w1", "w3", "output")
ROWS = ("wo", "w2")


def reference():
    """A model of transformers' with random weights."""
    model = gguf_files.make(
        vocab_size=VOCAB,
        hidden_size=DIM,
        intermediate_size=MLP_DIM,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        rms_norm_eps=1e-5,
        rope_theta=500000.0,
    )
    for parameter in model.parameters():
        parameter.data = torch.randn_like(parameter) * 0.2
    return model


NAMES = {
    "model.embed_tokens.": "tok_embeddings.",
    "model.norm.": "norm.",
    "lm_head.": "output.",
    "model.layers.": "layers.",
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
}


def in_metas_names(model):
    return {name: torch.tensor(array) for name, array in gguf_files.weights(model, NAMES)}


def save(directory, tensors, ranks=1, embedding_axis=1, dtype=torch.float32, **params):
    for rank in range(ranks):
        part = {"rope.freqs": torch.zeros(4)}
        for name, tensor in tensors.items():
            last = name.split(".")[-2]
            axis = 0 if last in COLUMNS else 1 if last in ROWS else None
            axis = embedding_axis if last == "tok_embeddings" else axis
            part[name] = tensor if axis is None else tensor.chunk(ranks, axis)[rank].clone()
            part[name] = part[name].to(dtype)
        torch.save(part, directory / f"consolidated.{rank:02d}.pth")
    (directory / "params.json").write_text(json.dumps({**PARAMS, **params}))


@pytest.mark.parametrize(("ranks", "embedding_axis"), [(1, 1), (2, 1), (2, 0)])
def test_logits_of_transformers(ranks, embedding_axis, tmp_path):
    model, tokens = reference(), random_tokens(0, vocab_size=VOCAB)
    save(tmp_path, in_metas_names(model), ranks, embedding_axis)
    source = meta.read(tmp_path)
    assert source.config.mlp_dim == MLP_DIM
    actual = apply(llama.Llama(source.config), native_names.load(source), tokens)
    np.testing.assert_allclose(actual, logits_of(model, tokens), rtol=0, atol=1e-4)


def test_to_native(tmp_path):
    (tmp_path / "meta").mkdir()
    save(tmp_path / "meta", in_metas_names(reference()), ranks=2, dtype=torch.bfloat16)
    conversion.convert(tmp_path / "meta", tmp_path / "native", to="native")
    expected = native_names.load(meta.read(tmp_path / "meta"))
    back = native_names.load(conversion.open_source("native", tmp_path / "native"))
    jax.tree.map(np.testing.assert_array_equal, back, expected)


@pytest.mark.parametrize(("tied", "factor"), [(False, 8.0), (True, 32.0)])
def test_scaled_rope(tied, factor, tmp_path):
    tensors = in_metas_names(reference())
    if tied:
        tensors["output.weight"] = tensors["tok_embeddings.weight"]
    save(tmp_path, tensors, use_scaled_rope=True)
    config = meta.read(tmp_path).config
    assert config.rope_scaling == llama.RopeScaling("llama3", factor)
    assert config.tied_embeddings == tied
    assert config.max_length == 131072


def test_first_release(tmp_path):
    """No fields of later releases, and a vocabulary that the tokenizer counts."""
    save(tmp_path, in_metas_names(reference()), vocab_size=-1, norm_eps=1e-6)
    fields = json.loads((tmp_path / "params.json").read_text())
    for name in ("n_kv_heads", "ffn_dim_multiplier", "rope_theta"):
        del fields[name]
    (tmp_path / "params.json").write_text(json.dumps(fields))
    config = meta.read(tmp_path).config
    assert (config.vocab_size, config.num_kv_heads, config.mlp_dim) == (VOCAB, HEADS, 88)
    assert (config.rope_theta, config.max_length) == (10000.0, 2048)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"norm_eps": 1e-6}, 2048),  # LLaMA
        ({"norm_eps": 1e-5, "dim": 8192}, 2048),  # its 65B
        ({"norm_eps": 1e-5}, 4096),  # Llama 2
        ({"norm_eps": 1e-5, "dim": 8192, "n_kv_heads": 8}, 4096),
        ({"norm_eps": 1e-5, "rope_theta": 500000.0}, 8192),  # Llama 3
        ({"norm_eps": 1e-5, "rope_theta": 1000000}, 16384),  # CodeLlama
    ],
)
def test_context_length(fields, expected):
    fields = {"dim": 4096, "n_layers": 1, "n_heads": 32, **fields}
    config = meta._config(pathlib.Path("params.json"), fields, VOCAB, tied=False)
    assert config.max_length == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"dim": 4096, "multiple_of": 256}, 11008),  # LLaMA 1 and 2, 7B
        ({"dim": 8192, "multiple_of": 4096, "ffn_dim_multiplier": 1.3}, 28672),  # LLaMA 2, 70B
        ({"dim": 2048, "multiple_of": 256, "ffn_dim_multiplier": 1.5}, 8192),  # Llama 3.2, 1B
    ],
)
def test_mlp_width(fields, expected):
    assert meta._mlp_dim(fields) == expected


def test_tokenizers(tmp_path):
    save(tmp_path, in_metas_names(reference()))
    sample = resources.path("samples") / "tokenizer.model"
    (tmp_path / "tokenizer.model").write_bytes(sample.read_bytes())
    assert meta.read(tmp_path).tokenizer == configured.load(sample)
    (tmp_path / "tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\n")  # of Llama 3
    source = meta.read(tmp_path)
    assert source.tokenizer is None
    assert "pass --tokenizer" in source.notes[0]
    assert "params.json says no context length; 8192 is that" in source.notes[1]


def test_bad_directories(tmp_path):
    with pytest.raises(InputError, match="holds no consolidated"):
        meta.read(tmp_path)
    save(tmp_path, in_metas_names(reference()))
    (tmp_path / "params.json").write_text('{"dim": 32}')
    with pytest.raises(InputError, match="params.json: fields .'n_layers', 'n_heads'"):
        meta.read(tmp_path)
    (tmp_path / "params.json").unlink()
    with pytest.raises(InputError, match="params.json: no such file"):
        meta.read(tmp_path)


def test_ranks_that_differ(tmp_path):
    tensors = in_metas_names(reference())
    save(tmp_path, tensors, ranks=2)
    torch.save({"norm.weight": tensors["norm.weight"]}, tmp_path / "consolidated.01.pth")
    with pytest.raises(InputError, match="consolidated.01.pth: has other tensors than"):
        meta.read(tmp_path)


def test_other_shapes_than_params_say(tmp_path):
    save(tmp_path, in_metas_names(reference()), multiple_of=256)
    with pytest.raises(InputError, match=r"w1.weight \(112, 32\) instead of \(256, 32\)"):
        native_names.load(meta.read(tmp_path))
