"""Network configurations from the files that models come with."""

import pathlib

from commit_t5x import disk, ranges
from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig
from commit_t5x.model.llama_presets import PRESETS

NATIVE, HUGGING_FACE = "model_config.json", "config.json"


def load(
    given: ranges.Path | pathlib.Path | None,
    vocab_size: ranges.Positive | None = None,
    emb_dim: ranges.Positive | None = None,
    mlp_dim: ranges.Positive | None = None,
    num_layers: ranges.Positive | None = None,
    num_heads: ranges.Positive | None = None,
    num_kv_heads: ranges.Positive | None = None,
    head_dim: ranges.Positive | None = None,
) -> LlamaConfig:
    """Returns the configuration that a preset's name, a file or a directory stands for.

    Args:
      given: a preset's name; a model_config.json of ours or a config.json of Hugging Face's; or a
        directory with one of them: a model directory, a checkpoint_N in it, an export.
      vocab_size, ..., head_dim: that are expected; None for any.

    Raises:
      InputError: it is None or none of them, can't be expressed, or is of another size.

    Example:
      >>> load("runs/commit_hi") == load("runs/commit_hi/checkpoint_1210") == preset("7b")
      True
    """
    if given is None:
        raise InputError(
            "MODEL_CONFIG: not set, nor a checkpoint; name a model directory, or give a size"
        )
    config = _load(given)
    expected = {
        **{"VOCAB_SIZE": (vocab_size, config.vocab_size), "EMBED_DIM": (emb_dim, config.emb_dim)},
        **{"MLP_DIM": (mlp_dim, config.mlp_dim), "NUM_LAYERS": (num_layers, config.num_layers)},
        "NUM_HEADS": (num_heads, config.num_heads),
        "NUM_KV_HEADS": (num_kv_heads, config.num_kv_heads),
        "HEAD_DIM": (head_dim, config.head_dim),
    }
    for macro, (size, own) in expected.items():
        if size not in (None, own):
            raise InputError(f"{macro}: {size}, but that of {given} is {own}; leave it out")
    return config


def _load(given: str | pathlib.Path) -> LlamaConfig:
    if str(given) in PRESETS:
        return PRESETS[str(given)]
    place = pathlib.Path(given).expanduser()
    candidates = [place / NATIVE, place.parent / NATIVE, place / HUGGING_FACE]
    path = place if place.is_file() else next(filter(pathlib.Path.is_file, candidates), None)
    if path is None:
        raise InputError(
            f"{given}: neither a model nor a preset; name a directory with a {NATIVE} or a "
            f"{HUGGING_FACE}, or one of {', '.join(PRESETS)}"
        )
    fields = disk.read_json(path)
    try:
        parse = LlamaConfig.from_hf if "model_type" in fields else LlamaConfig.from_json
        return parse(fields)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
