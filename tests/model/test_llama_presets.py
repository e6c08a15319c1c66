import pytest

from commit_t5x.errors import InputError
from commit_t5x.model import llama_presets


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
