"""The sizes of the LLaMA family that have a name."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any

from commit_t5x import ranges
from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig, RopeScaling


def _size(
    emb_dim: int,
    mlp_dim: int,
    num_layers: int,
    num_heads: int,
    num_kv_heads: int | None = None,
    **others: Any,
) -> LlamaConfig:
    return LlamaConfig(
        emb_dim=emb_dim,
        mlp_dim=mlp_dim,
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=num_kv_heads or num_heads,
        head_dim=emb_dim // num_heads,
        **{"vocab_size": 32000, **others},
    )


_LLAMA3 = {"vocab_size": 128256, "norm_eps": 1e-5, "rope_theta": 500000.0}
_LLAMA32 = {
    **_LLAMA3,
    "max_length": 131072,
    "rope_scaling": RopeScaling("llama3", factor=32.0),
    "tied_embeddings": True,
}
_SMOLLM2 = {"vocab_size": 49152, "norm_eps": 1e-5, "max_length": 8192, "tied_embeddings": True}
PRESETS: Mapping[str, LlamaConfig] = types.MappingProxyType(
    {
        # The original code's: LLaMA 1, and three smaller ones.
        "debug": _size(128, 256, 2, 4),
        "1b": _size(2048, 5504, 22, 16),
        "3b": _size(3200, 8640, 26, 32),
        "7b": _size(4096, 11008, 32, 32),
        "13b": _size(5120, 13824, 40, 40),
        "30b": _size(6656, 17920, 60, 52),
        "65b": _size(8192, 22016, 80, 64, norm_eps=1e-5),
        # As their authors publish them.
        "llama2_7b": _size(4096, 11008, 32, 32, norm_eps=1e-5, max_length=4096),
        "llama2_13b": _size(5120, 13824, 40, 40, norm_eps=1e-5, max_length=4096),
        "llama3_8b": _size(4096, 14336, 32, 32, 8, max_length=8192, **_LLAMA3),
        "llama32_1b": _size(2048, 8192, 16, 32, 8, **_LLAMA32),
        "llama32_3b": _size(3072, 8192, 28, 24, 8, **_LLAMA32),
        "tinyllama_1b": _size(2048, 5632, 22, 32, 4, norm_eps=1e-5),
        "smollm2_135m": _size(576, 1536, 30, 9, 3, rope_theta=100000.0, **_SMOLLM2),
        "smollm2_360m": _size(960, 2560, 32, 15, 5, rope_theta=100000.0, **_SMOLLM2),
        "smollm2_1b7": _size(2048, 8192, 24, 32, rope_theta=130000.0, **_SMOLLM2),
    }
)


def preset(
    name: ranges.Text,
    vocab_size: ranges.Positive | None = None,
    max_length: ranges.Positive | None = None,
    emb_dim: ranges.Positive | None = None,
    mlp_dim: ranges.Positive | None = None,
    num_layers: ranges.Positive | None = None,
    num_heads: ranges.Positive | None = None,
    num_kv_heads: ranges.Positive | None = None,
    head_dim: ranges.Positive | None = None,
) -> LlamaConfig:
    """Returns the preset `name`, with other sizes where given; see `LlamaConfig` for each.

    A new width or number of heads changes what follows from it, unless that is given, too: a head
    is as wide as the width allows, and as many queries share a key as in the preset.

    Raises:
      InputError: there is no such preset, or the sizes don't fit each other.

    Example:
      >>> preset("7b").num_parameters
      6738415616
      >>> preset("debug", emb_dim=256, num_heads=8, num_layers=6).head_dim
      32
    """
    if name not in PRESETS:
        raise InputError(f"preset '{name}': unknown; choose from {', '.join(PRESETS)}")
    base = PRESETS[name]
    if num_heads and not num_kv_heads:
        num_kv_heads = max(num_heads * base.num_kv_heads // base.num_heads, 1)
    if (emb_dim or num_heads) and not head_dim:
        head_dim = _head_dim(emb_dim or base.emb_dim, num_heads or base.num_heads)
    changes = {
        "vocab_size": vocab_size,
        "max_length": max_length,
        "emb_dim": emb_dim,
        "mlp_dim": mlp_dim,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "num_kv_heads": num_kv_heads,
        "head_dim": head_dim,
    }
    return dataclasses.replace(
        base, **{key: value for key, value in changes.items() if value is not None}
    )


def _head_dim(emb_dim: int, num_heads: int) -> int:
    if emb_dim % num_heads:
        raise InputError(
            f"EMBED_DIM: {emb_dim} is not a multiple of NUM_HEADS, {num_heads}; change one, "
            "or set HEAD_DIM"
        )
    return emb_dim // num_heads
