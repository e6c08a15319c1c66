"""Meta's own checkpoints: consolidated.*.pth, one file a model-parallel rank, and params.json."""

import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from commit_t5x import disk
from commit_t5x.conversion import pytorch_files
from commit_t5x.conversion.formats import Source
from commit_t5x.conversion.rules import Rule
from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig, RopeScaling
from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.tokenizer import Tokenizer

_LAYER = "layers.{layer}"


def _matrix(native: str, foreign: str, interleaved: bool = False) -> Rule:
    native, foreign = f"layers/{native}/kernel", f"{_LAYER}.{foreign}.weight"
    return Rule(native, foreign, transposed=True, interleaved=interleaved)


RULES: tuple[Rule, ...] = (
    Rule("token_embedder/embedding", "tok_embeddings.weight"),
    Rule("layers/pre_self_attention_layer_norm/scale", f"{_LAYER}.attention_norm.weight"),
    _matrix("self_attention/query", "attention.wq", interleaved=True),
    _matrix("self_attention/key", "attention.wk", interleaved=True),
    _matrix("self_attention/value", "attention.wv"),
    _matrix("self_attention/out", "attention.wo"),
    Rule("layers/pre_mlp_layer_norm/scale", f"{_LAYER}.ffn_norm.weight"),
    _matrix("mlp/wi_0", "feed_forward.w1"),
    _matrix("mlp/wi_1", "feed_forward.w3"),
    _matrix("mlp/wo", "feed_forward.w2"),
    Rule("decoder_norm/scale", "norm.weight"),
    Rule("logits_dense/kernel", "output.weight", transposed=True),
)
_EMBEDDING, _HEAD = "tok_embeddings.weight", "output.weight"
_IGNORED = "rope.freqs"  # a table of rotary frequencies
_PARAMS = "params.json"
# The axis along which the ranks' parts of a matrix [output, input] are joined. Norms are whole in
# each file; the embedding's axis has changed between releases.
_COLUMN_PARALLEL = (".wq.", ".wk.", ".wv.", ".w1.", ".w3.", "output.")
_ROW_PARALLEL = (".wo.", ".w2.")
# What the reference code of Llama 3.1 has as constants. Llama 3.2's small models, which are the
# ones with tied embeddings, stretch by 32.
_SCALING = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_length": 8192}
_FACTOR, _FACTOR_OF_TIED = 8.0, 32.0


def recognises(path: pathlib.Path) -> bool:
    """Returns whether `path` is a directory with params.json and consolidated files."""
    return (path / _PARAMS).is_file() and bool(list(path.glob("consolidated.*.pth")))


def read(path: pathlib.Path) -> Source:
    """Opens a directory as Meta distributes it.

    Args:
      path: of the directory; its params.json and the tensors' shapes say the configuration.

    Raises:
      InputError: a file or a field is missing or broken, or torch isn't installed.
    """
    paths = sorted(path.glob("consolidated.*.pth"))
    if not paths:
        raise InputError(f"{path}: holds no consolidated.*.pth; name the directory that does")
    params = disk.read_json(path / _PARAMS)
    readers = [pytorch_files.Reader([file]) for file in paths]
    first = readers[0]
    for file, reader in zip(paths, readers, strict=True):
        if set(reader.shapes) != set(first.shapes):
            differing = sorted(set(reader.shapes) ^ set(first.shapes))
            raise InputError(
                f"{file}: has other tensors than {paths[0].name} ({differing[:5]}); fetch it again"
            )
    names = [name for name in first.shapes if name != _IGNORED]
    rows = sum(reader.shapes[_HEAD][0] for reader in readers) if _HEAD in names else None
    axes = {name: _axis(name, first.shapes[name], rows) for name in names}

    def get(name: str) -> np.ndarray:
        axis = axes[name]
        parts = [reader.get(name) for reader in (readers if axis is not None else [first])]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)

    tied = _HEAD not in names or np.array_equal(get(_HEAD), get(_EMBEDDING))
    shapes = {
        name: _joined([reader.shapes[name] for reader in readers], axes[name])
        for name in names
        if not (tied and name == _HEAD)
    }
    if _EMBEDDING not in shapes:
        raise InputError(f"{paths[0]}: has no {_EMBEDDING}; is it a LLaMA checkpoint?")
    find_tokenizer, notes = _tokenizer(path)
    config = _config(path / _PARAMS, params, shapes[_EMBEDDING][0], tied)
    notes.append(
        f"{_PARAMS} says no context length; {config.max_length} is that of the release with such "
        "parameters, and --max-length sets another"
    )
    return Source(
        name=str(path),
        config=config,
        rules=RULES,
        shapes=shapes,
        get=get,
        dtypes=first.dtypes,
        find_tokenizer=find_tokenizer,
        notes=notes,
    )


def _axis(name: str, shape: tuple[int, ...], vocab_rows: int | None) -> int | None:
    if name == _EMBEDDING:
        return 1 if shape[0] == vocab_rows else 0
    if any(part in name for part in _COLUMN_PARALLEL):
        return 0
    return 1 if any(part in name for part in _ROW_PARALLEL) else None


def _joined(shapes: Sequence[tuple[int, ...]], axis: int | None) -> tuple[int, ...]:
    joined = list(shapes[0])
    if axis is not None:
        joined[axis] = sum(shape[axis] for shape in shapes)
    return tuple(joined)


def _config(
    path: pathlib.Path, params: Mapping[str, Any], vocab_size: int, tied: bool
) -> LlamaConfig:
    missing = [name for name in ("dim", "n_layers", "n_heads", "norm_eps") if name not in params]
    if missing:
        raise InputError(f"{path}: fields {missing} are missing; fetch it again")
    if params.get("moe") or params.get("quantization_args"):
        raise InputError(f"{path}: only dense, unquantised models can be converted")
    scaling = None
    if params.get("use_scaled_rope"):
        default = _FACTOR_OF_TIED if tied else _FACTOR
        factor = params.get("rope_scaling_factor") or default
        scaling = RopeScaling("llama3", float(factor), **_SCALING)
    rope_theta = float(params.get("rope_theta") or 10000.0)
    return LlamaConfig(
        # params.json of the first two releases says -1.
        vocab_size=vocab_size,
        emb_dim=params["dim"],
        mlp_dim=_mlp_dim(params),
        num_layers=params["n_layers"],
        num_heads=params["n_heads"],
        num_kv_heads=params.get("n_kv_heads") or params["n_heads"],
        head_dim=params["dim"] // params["n_heads"],
        max_length=_max_length(params, rope_theta, scaling),
        norm_eps=params["norm_eps"],
        rope_theta=rope_theta,
        rope_scaling=scaling,
        tied_embeddings=tied,
    )


def _max_length(params: Mapping[str, Any], rope_theta: float, scaling: RopeScaling | None) -> int:
    """Returns the context length of the release that has such parameters."""
    if scaling is not None:
        return 131072  # Llama 3.1 and later
    if rope_theta >= 1e6:
        return 16384  # CodeLlama
    if rope_theta > 1e4:
        return 8192  # Llama 3
    # The norm's constant tells Llama 2 from LLaMA, whose 65B shares it; no other of that width
    # lacks grouped queries.
    is_first = params["norm_eps"] < 1e-5 or (params["dim"] == 8192 and "n_kv_heads" not in params)
    return 2048 if is_first else 4096


def _mlp_dim(params: Mapping[str, Any]) -> int:
    """Two thirds of four widths, times a factor, rounded up to a multiple; as Meta's code has it.

    >>> _mlp_dim({"dim": 4096, "multiple_of": 1024, "ffn_dim_multiplier": 1.3})
    14336
    """
    size = int(2 * (4 * params["dim"]) / 3)
    if params.get("ffn_dim_multiplier") is not None:
        size = int(params["ffn_dim_multiplier"] * size)
    multiple = params.get("multiple_of", 256)
    return multiple * math.ceil(size / multiple)


def _tokenizer(path: pathlib.Path) -> tuple[Callable[[], Tokenizer | None], list[str]]:
    model = path / "tokenizer.model"
    converted = (path / "tokenizer.json").is_file()
    if model.is_file() and not model.read_bytes().startswith(b"\n") and not converted:
        # SentencePiece models begin with the tag of their first piece. Llama 3's is a list of
        # base64 tokens for tiktoken.
        return lambda: None, [
            f"{model} is no SentencePiece model and was left out; pass --tokenizer with the "
            "tokenizer.json of the Hugging Face release"
        ]
    return lambda: configured.find(path), []
