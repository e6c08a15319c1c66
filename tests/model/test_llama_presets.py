import json

import pytest

from commit_t5x.errors import InputError
from commit_t5x.model import llama_presets
from commit_t5x.model.llama_config import LlamaConfig

# What the checkpoints' authors state, or their weight files hold.
PARAMETERS = {
    "7b": 6_738_415_616,
    "13b": 13_015_864_320,
    "30b": 32_528_943_616,
    "65b": 65_285_660_672,
    "llama2_7b": 6_738_415_616,
    "llama2_13b": 13_015_864_320,
    "llama3_8b": 8_030_261_248,
    "llama32_1b": 1_235_814_400,
    "llama32_3b": 3_212_749_824,
    "tinyllama_1b": 1_100_048_384,
    "smollm2_135m": 134_515_008,
    "smollm2_360m": 361_821_120,
    "smollm2_1b7": 1_711_376_384,
}


@pytest.mark.parametrize("name, expected", PARAMETERS.items())
def test_published_sizes(name, expected):
    assert llama_presets.preset(name).num_parameters == expected


@pytest.mark.parametrize("name", llama_presets.PRESETS)
def test_presets_round_trip(name):
    config = llama_presets.preset(name)
    assert LlamaConfig.from_hf(config.to_hf()) == config
    assert LlamaConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_preset_changes_vocabulary_and_length():
    config = llama_presets.preset("debug", vocab_size=512, max_length=64)
    assert (config.vocab_size, config.max_length, config.emb_dim) == (512, 64, 128)
    with pytest.raises(InputError, match="choose from debug, 1b"):
        llama_presets.preset("8b")


def test_presets_with_other_sizes():
    own = llama_presets.preset("debug", emb_dim=256, mlp_dim=64, num_layers=3, num_heads=8)
    assert (own.emb_dim, own.mlp_dim, own.num_layers) == (256, 64, 3)
    assert (own.num_heads, own.num_kv_heads, own.head_dim) == (8, 8, 32)
    grouped = llama_presets.preset("llama3_8b", num_heads=16, head_dim=64)
    assert (grouped.num_heads, grouped.num_kv_heads, grouped.head_dim) == (16, 4, 64)
    with pytest.raises(InputError, match="EMBED_DIM: 100 is not a multiple of NUM_HEADS, 8; .*"):
        llama_presets.preset("debug", emb_dim=100, num_heads=8)
