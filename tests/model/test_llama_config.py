import dataclasses
import json
import re

import pytest

from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig, RopeScaling
from commit_t5x.model.llama_presets import PRESETS

CONFIG = LlamaConfig(
    vocab_size=97, emb_dim=48, mlp_dim=80, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=10
)
LLAMA3 = RopeScaling("llama3", 8.0, low_freq_factor=1.0, high_freq_factor=4.0)
VARIANTS = {
    "grouped": CONFIG,
    "tied": dataclasses.replace(CONFIG, tied_embeddings=True),
    "biased": dataclasses.replace(CONFIG, attention_bias=True, mlp_bias=True),
    "llama3": dataclasses.replace(CONFIG, rope_theta=500000.0, rope_scaling=LLAMA3),
    "linear": dataclasses.replace(CONFIG, rope_scaling=RopeScaling("linear", 4.0)),
    **PRESETS,
}


def hf(**changes):
    return {**CONFIG.to_hf(), **changes}


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_variants_round_trip(config):
    assert LlamaConfig.from_hf(config.to_hf()) == config
    assert LlamaConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize("config", VARIANTS.values(), ids=VARIANTS)
def test_transformers_reads_what_we_write(config):
    import transformers

    read = transformers.LlamaConfig(**config.to_hf())
    assert LlamaConfig.from_hf(read.to_dict()) == config


def test_spelling_of_rotary_fields_before_transformers_5():
    fields = hf(
        rope_theta=500000.0,
        rope_scaling={
            "type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    )
    del fields["rope_parameters"]
    config = LlamaConfig.from_hf(fields)
    assert config.rope_theta == 500000.0
    assert config.rope_scaling == LLAMA3


def test_absent_fields_have_hugging_faces_defaults():
    needed = ["vocab_size", "hidden_size", "intermediate_size"]
    needed += ["num_hidden_layers", "num_attention_heads"]
    config = LlamaConfig.from_hf({name: hf()[name] for name in needed})
    assert (config.num_kv_heads, config.head_dim) == (4, 12)
    assert (config.norm_eps, config.rope_theta, config.max_length) == (1e-6, 10000.0, 2048)
    assert not config.tied_embeddings


@pytest.mark.parametrize(
    "field, value",
    [
        ("model_type", "gemma"),
        ("hidden_act", "gelu"),
        ("sliding_window", 4096),
        ("quantization_config", {"bits": 4}),
        ("partial_rotary_factor", 0.5),
    ],
)
def test_refuses_what_it_cannot_express(field, value):
    with pytest.raises(InputError, match=field):
        LlamaConfig.from_hf(hf(**{field: value}))


def test_refuses_unknown_rope_scaling():
    with pytest.raises(InputError, match="rope_scaling of type 'yarn'"):
        LlamaConfig.from_hf(hf(rope_parameters={"rope_type": "yarn", "factor": 2.0}))
    with pytest.raises(InputError, match="low_freq_factor"):
        LlamaConfig.from_hf(hf(rope_parameters={"rope_type": "llama3", "factor": 2.0}))


def test_names_missing_fields():
    fields = hf()
    del fields["hidden_size"]
    with pytest.raises(InputError, match="hidden_size"):
        LlamaConfig.from_hf(fields)
    with pytest.raises(InputError, match="width=1: unexpected"):
        LlamaConfig.from_json({**CONFIG.to_json(), "width": 1})
    with pytest.raises(InputError, match="rope_scaling.kind: field required"):
        LlamaConfig.from_json({**CONFIG.to_json(), "rope_scaling": {"power": 1}})


@pytest.mark.parametrize(
    "changes", [{"num_kv_heads": 3}, {"head_dim": 11}, {"num_layers": 0}], ids=str
)
def test_refuses_sizes_that_do_not_fit(changes):
    with pytest.raises(InputError, match=next(iter(changes))):
        dataclasses.replace(CONFIG, **changes)


@pytest.mark.parametrize(
    "field, value",
    [
        ("hidden_size", "wide"),
        ("num_attention_heads", 2.5),
        ("rms_norm_eps", "small"),
        ("tie_word_embeddings", "no"),
        ("rope_scaling", [1]),
    ],
)
def test_refuses_values_of_another_type(field, value):
    with pytest.raises(InputError, match=re.escape(f"config.json: {field}={value!r}")):
        LlamaConfig.from_hf(hf(**{"rope_parameters": None, field: value}))


@pytest.mark.parametrize(
    "changes",
    [{"rope_scaling": {"rope_type": "linear", "factor": 2.0}}, {"rope_theta": 5.0}],
)
def test_refuses_two_spellings_that_differ(changes):
    with pytest.raises(InputError, match=f"{next(iter(changes))} and rope_parameters differ"):
        LlamaConfig.from_hf(hf(**changes))


@pytest.mark.parametrize("factor", ["2", 0, float("nan")])
def test_refuses_factors_that_are_none(factor):
    for name in ("rope_type", "type"):
        scaling = {name: "linear", "factor": factor}
        with pytest.raises(InputError, match="factor"):
            LlamaConfig.from_hf(hf(rope_parameters=None, rope_scaling=scaling))


def test_no_heads():
    with pytest.raises(InputError, match="num_heads: 0 is not a positive number"):
        LlamaConfig.from_hf(hf(num_attention_heads=0, head_dim=None))
