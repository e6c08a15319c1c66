import dataclasses
import json
import logging
import pathlib

import jax
import numpy as np
import pytest
import safetensors.numpy
import torch
import transformers
from small_llama import CONFIG, apply, logits_of, random_tokens, weights

from commit_t5x import resources
from commit_t5x.conversion import hf
from commit_t5x.errors import InputError
from commit_t5x.model import llama
from commit_t5x.model.llama import Llama, LlamaConfig, RopeScaling
from commit_t5x.vocabularies import configured

MULTI_HEAD = dataclasses.replace(CONFIG, num_kv_heads=CONFIG.num_heads)
VARIANTS = {
    "multi-head": MULTI_HEAD,
    "grouped": CONFIG,
    "tied, linear": dataclasses.replace(
        CONFIG, tied_embeddings=True, rope_scaling=RopeScaling("linear", 4.0)
    ),
    "biased, wide heads, large eps": dataclasses.replace(
        CONFIG, attention_bias=True, mlp_bias=True, head_dim=12, norm_eps=1e-2
    ),
    "llama3": dataclasses.replace(
        CONFIG,
        rope_theta=500000.0,
        rope_scaling=RopeScaling("llama3", 8.0, original_max_length=32),
    ),
}
SAMPLE_TOKENIZER = resources.path("samples") / "tokenizer.model"


def assert_same(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


@pytest.fixture
def complaints(caplog, recwarn):
    """Returns a function that lists all warnings so far, those of transformers' logger included."""
    library = logging.getLogger("transformers")
    library.addHandler(caplog.handler)
    yield lambda: [
        *(record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING),
        *(str(warning.message) for warning in recwarn),
    ]
    library.removeHandler(caplog.handler)


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_round_trip_and_logits_of_transformers(config, tmp_path, complaints):
    params, tokens = weights(config), random_tokens(1, length=40)
    hf.export_hf(params, config, tmp_path / "out", max_shard_size="20KB")
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 2
    back, back_config = hf.import_hf(tmp_path / "out")
    assert back_config == config
    assert_same(back, params)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert model.dtype == torch.float32
    expected = logits_of(model, tokens)
    actual = apply(Llama(config), params, tokens)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)
    assert np.abs(expected).max() > 1
    assert complaints() == []


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_round_trips_from_its_own_side(dtype, tmp_path):
    hf.export_hf(weights(), CONFIG, tmp_path / "a", dtype=dtype)
    params, config = hf.import_hf(tmp_path / "a")
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))
    hf.export_hf(params, config, tmp_path / "b", dtype=dtype)
    first, second = (tmp_path / name / "model.safetensors" for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "b")
    assert model.dtype == getattr(torch, dtype)


def test_unrolled_weights_export_alike(tmp_path):
    params = weights()
    hf.export_hf(params, CONFIG, tmp_path / "a")
    hf.export_hf(llama.unstack_layers(params), CONFIG, tmp_path / "b")
    first, second = (tmp_path / name / "model.safetensors" for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_reads_what_transformers_writes(tmp_path):
    fields = {**CONFIG.to_hf(), "num_hidden_layers": 2}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**fields)).eval()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    params, config = hf.import_hf(tmp_path)
    tokens = random_tokens(2)
    actual, expected = apply(Llama(config), params, tokens), logits_of(model, tokens)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


def test_tokenizer_and_generation_come_along(tmp_path, complaints):
    sample = configured.load(SAMPLE_TOKENIZER)
    config = dataclasses.replace(CONFIG, vocab_size=sample.vocab_size, max_length=64)
    hf.export_hf(weights(config), config, tmp_path / "out", sample)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    inputs = tokenizer(["नमस्ते", "Question: what?"], return_tensors="pt", padding=True)
    assert 1 in inputs.input_ids[0]  # BOS
    generated = model.generate(**inputs, max_new_tokens=3, do_sample=False)
    assert generated.shape[1] == inputs.input_ids.shape[1] + 3
    assert model.generation_config.eos_token_id == 2
    assert complaints() == []


def test_tokenizer_larger_than_the_model(tmp_path):
    with pytest.raises(InputError, match="the network 61 rows; use the tokenizer"):
        hf.export_hf(weights(), CONFIG, tmp_path / "out", configured.load(SAMPLE_TOKENIZER))
    assert list(tmp_path.iterdir()) == []


def edit_tensors(directory: pathlib.Path, edit):
    path = directory / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    edit(tensors)
    safetensors.numpy.save_file(tensors, path, metadata={"format": "pt"})


@pytest.fixture
def exported(tmp_path):
    config = dataclasses.replace(CONFIG, num_layers=1)
    hf.export_hf(weights(config), config, tmp_path / "out")
    return tmp_path / "out"


def test_lists_missing_unmatched_and_misshapen_tensors(exported):
    def edit(tensors):
        del tensors["model.norm.weight"]
        tensors["model.layers.1.mlp.up_proj.weight"] = np.zeros((2, 2), np.float32)
        tensors["lm_head.weight"] = np.zeros((60, 32), np.float32)

    edit_tensors(exported, edit)
    with pytest.raises(InputError) as caught:
        hf.import_hf(exported)
    message = str(caught.value)
    assert message.startswith(f"{exported}: ")
    assert "missing: model.norm.weight;" in message
    assert "unmatched: model.layers.1.mlp.up_proj.weight;" in message
    assert "of another shape: lm_head.weight (60, 32) instead of (61, 32)" in message
    assert "\n" not in message


def test_rotary_tables_of_old_exports_are_ignored(exported):
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    edit_tensors(exported, lambda tensors: tensors.update({name: np.zeros(4, np.float32)}))
    hf.import_hf(exported)


def test_head_beside_tied_embeddings(tmp_path):
    config = VARIANTS["tied, linear"]
    hf.export_hf(weights(config), config, tmp_path / "out")
    embedding = "model.embed_tokens.weight"
    edit_tensors(tmp_path / "out", lambda t: t.update({"lm_head.weight": t[embedding]}))
    assert_same(hf.import_hf(tmp_path / "out")[0], weights(config))
    edit_tensors(tmp_path / "out", lambda t: t.update({"lm_head.weight": t[embedding] + 1}))
    with pytest.raises(InputError, match="tie_word_embeddings is true, but lm_head.weight differs"):
        hf.import_hf(tmp_path / "out")


def test_weights_of_another_configuration(tmp_path):
    other = dataclasses.replace(CONFIG, emb_dim=16)
    with pytest.raises(InputError, match="native weights: .*decoder_norm/scale .32,. instead"):
        hf.export_hf(weights(), other, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_bad_directories(tmp_path, exported):
    with pytest.raises(InputError, match="config.json: no such file"):
        hf.import_hf(tmp_path)
    fields = json.loads((exported / "config.json").read_text())
    (exported / "config.json").write_text(json.dumps({**fields, "hidden_act": "gelu"}))
    with pytest.raises(InputError, match="out: config.json: hidden_act='gelu'"):
        hf.import_hf(exported)
    (exported / "config.json").write_text("{")
    with pytest.raises(InputError, match="config.json: not valid JSON"):
        hf.import_hf(exported)


def test_bad_options(tmp_path):
    with pytest.raises(InputError, match="dtype 'int8'"):
        hf.export_hf({}, CONFIG, tmp_path / "out", dtype="int8")
    for size in ("5 apples", "0", "-1GB", ""):
        with pytest.raises(InputError, match="max_shard_size"):
            hf.export_hf({}, CONFIG, tmp_path / "out", max_shard_size=size)


def test_config_file_holds_what_loaders_need(exported):
    fields = json.loads((exported / "config.json").read_text())
    assert fields["architectures"] == ["LlamaForCausalLM"]
    assert (fields["bos_token_id"], fields["eos_token_id"]) == (1, 2)
    assert LlamaConfig.from_hf(fields).num_layers == 1
