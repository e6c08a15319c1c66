"""GGUF files, llama.cpp's format: quantised weights, configuration and tokenizer in one file."""

import collections
import math
import pathlib
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from commit_t5x.conversion import arrays, gguf_tokenizer
from commit_t5x.conversion.formats import Source
from commit_t5x.conversion.rules import Rule
from commit_t5x.errors import InputError
from commit_t5x.model import rotary
from commit_t5x.model.llama_config import LlamaConfig, RopeScaling

_MAGIC = b"GGUF"
_LAYER = "blk.{layer}"
_ROPE_FACTORS = "rope_freqs.weight"
_HEAD = "output.weight"
_PIECE_BYTES = 2**21


def _projection(native: str, foreign: str, interleaved: bool = False) -> list[Rule]:
    native, foreign = f"layers/{native}", f"{_LAYER}.{foreign}"
    return [
        Rule(f"{native}/kernel", f"{foreign}.weight", transposed=True, interleaved=interleaved),
        Rule(f"{native}/bias", f"{foreign}.bias", interleaved=interleaved),
    ]


RULES: tuple[Rule, ...] = (
    Rule("token_embedder/embedding", "token_embd.weight"),
    Rule("layers/pre_self_attention_layer_norm/scale", f"{_LAYER}.attn_norm.weight"),
    *_projection("self_attention/query", "attn_q", interleaved=True),
    *_projection("self_attention/key", "attn_k", interleaved=True),
    *_projection("self_attention/value", "attn_v"),
    *_projection("self_attention/out", "attn_output"),
    Rule("layers/pre_mlp_layer_norm/scale", f"{_LAYER}.ffn_norm.weight"),
    *_projection("mlp/wi_0", "ffn_gate"),
    *_projection("mlp/wi_1", "ffn_up"),
    *_projection("mlp/wo", "ffn_down"),
    Rule("decoder_norm/scale", "output_norm.weight"),
    Rule("logits_dense/kernel", _HEAD, transposed=True),
)


def recognises(path: pathlib.Path) -> bool:
    """Returns whether `path` is a GGUF file."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read(path: pathlib.Path, config: None = None) -> Source:
    """Opens a GGUF file of architecture "llama".

    Tensors come dequantised: F32, F16, BF16, Q8_0, Q4_0, Q4_1, the K-quants and whatever else the
    gguf package can dequantise. A tokenizer that can't be read is left out, with a note.

    Args:
      path: of the file.
      config: is always read from the file.

    Raises:
      InputError: the gguf package is missing, the file is damaged, one of several parts or of
        another architecture, or something in it can't be expressed.
    """
    gguf = _package()
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a .gguf file")
    metadata, tensors = _open(gguf, path)
    _check(gguf, path, metadata, tensors)
    kinds = collections.Counter(tensor.kind.name for tensor in tensors.values())
    notes = [f"dequantised: {', '.join(f'{n} {kind}' for kind, n in kinds.most_common())}"]
    factors = None
    if _ROPE_FACTORS in tensors:
        factors = tensors.pop(_ROPE_FACTORS).read(path, gguf)
    config = _config(str(path), metadata, tensors, factors)
    tokenizer = None
    try:
        tokenizer = gguf_tokenizer.read(path, metadata, config.max_length)
    except InputError as error:
        notes.append(f"the tokenizer was left out: {error}")
    return Source(
        name=str(path),
        config=config,
        rules=RULES,
        shapes={name: tensor.shape for name, tensor in tensors.items()},
        get=lambda name: tensors[name].read(path, gguf),
        dtypes={name: tensor.kind.name for name, tensor in tensors.items()},
        find_tokenizer=lambda: tokenizer,
        notes=notes,
    )


def _package() -> types.ModuleType:
    try:
        import gguf
    except ImportError as error:
        raise InputError(
            "GGUF: needs the gguf package; install it with pip install 'commit-t5x[gguf]'"
        ) from error
    return gguf


class _Tensor:
    """Where a tensor lies in the file, and how it is stored."""

    def __init__(self, tensor: Any):
        self.kind = tensor.tensor_type
        self.shape = tuple(int(size) for size in reversed(tensor.shape))
        self._offset, self._bytes = int(tensor.data_offset), int(tensor.n_bytes)

    def read(self, path: pathlib.Path, gguf: types.ModuleType) -> np.ndarray:
        rows, columns = math.prod(self.shape[:-1]), self.shape[-1]
        row_bytes = self._bytes // rows
        values = np.empty((rows, columns), np.float32)
        # Some rows at a time: the package's own arrays stay in the processor's cache.
        count = max(1, _PIECE_BYTES // values.strides[0])
        for start in range(0, rows, count):
            piece = values[start : start + count]
            content = arrays.read(path, self._offset + start * row_bytes, len(piece) * row_bytes)
            piece[...] = gguf.quants.dequantize(content.reshape(-1, row_bytes), self.kind)
        return values.reshape(self.shape)


def _open(gguf: types.ModuleType, path: pathlib.Path) -> tuple[dict[str, Any], dict[str, _Tensor]]:
    """Returns the metadata by key, and the tensors in the order of the file."""
    try:
        reader = gguf.GGUFReader(path)
        metadata = {key: field.contents() for key, field in reader.fields.items()}
        in_order = sorted(reader.tensors, key=lambda tensor: tensor.data_offset)
        tensors = {tensor.name: _Tensor(tensor) for tensor in in_order}
        is_swapped = reader.byte_order == "S"
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise InputError(f"{path}: not a readable GGUF file ({error}); fetch it again") from error
    if is_swapped:
        raise InputError(f"{path}: of the other byte order; convert it with llama.cpp's tools")
    return metadata, tensors


def _check(
    gguf: types.ModuleType,
    path: pathlib.Path,
    metadata: Mapping[str, Any],
    tensors: Mapping[str, _Tensor],
) -> None:
    architecture = metadata.get("general.architecture")
    if architecture != "llama":
        raise InputError(f"{path}: of architecture '{architecture}'; only 'llama' can be read")
    if metadata.get("split.count", 1) > 1:
        raise InputError(
            f"{path}: one of {metadata['split.count']} parts; join them first: "
            "llama-gguf-split --merge FIRST_PART OUT"
        )
    for kind in {tensor.kind for tensor in tensors.values()}:
        _, size = gguf.GGML_QUANT_SIZES[kind]
        try:
            gguf.quants.dequantize(np.zeros((1, size), np.uint8), kind)
        except NotImplementedError as error:
            raise InputError(
                f"{path}: holds tensors of type {kind.name}, which can't be dequantised; "
                "choose a file of another quantisation"
            ) from error


_SIZES = {
    "emb_dim": "embedding_length",
    "mlp_dim": "feed_forward_length",
    "num_layers": "block_count",
    "num_heads": "attention.head_count",
    "max_length": "context_length",
    "norm_eps": "attention.layer_norm_rms_epsilon",
}


def _config(
    name: str,
    metadata: Mapping[str, Any],
    tensors: Mapping[str, _Tensor],
    factors: np.ndarray | None,
) -> LlamaConfig:
    """Returns the model's configuration.

    Args:
      name: of the file, for errors.
      metadata, tensors: of the file.
      factors: what the file's rotary wavelengths are stretched by, fp32 [head_dim / 2], or None.
    """
    fields = {
        key.removeprefix("llama."): _plain(value)
        for key, value in metadata.items()
        if key.startswith("llama.")
    }
    missing = [f"llama.{key}" for key in _SIZES.values() if key not in fields]
    missing += [] if "token_embd.weight" in tensors else ["token_embd.weight"]
    if missing:
        raise InputError(f"{name}: {', '.join(missing)} missing; fetch the file again")
    sizes = {ours: fields[key] for ours, key in _SIZES.items()}
    heads = sizes["num_heads"]
    head_dim = fields.get("attention.key_length", sizes["emb_dim"] // heads)
    for key in ("attention.value_length", "rope.dimension_count"):
        if fields.get(key, head_dim) != head_dim:
            raise InputError(
                f"{name}: llama.{key} is {fields[key]}, the width of a head {head_dim}; "
                "a model whose two differ can't be expressed"
            )
    if fields.get("expert_count", 0):
        raise InputError(f"{name}: llama.expert_count: mixtures of experts can't be expressed")
    theta = fields.get("rope.freq_base", 10000.0)
    scaling = _linear_scaling(name, fields)
    if factors is not None:
        scaling = _llama3_scaling(name, factors, head_dim, theta)
    return LlamaConfig(
        **sizes,
        vocab_size=tensors["token_embd.weight"].shape[0],
        num_kv_heads=fields.get("attention.head_count_kv", heads),
        head_dim=head_dim,
        rope_theta=theta,
        rope_scaling=scaling,
        tied_embeddings=_HEAD not in tensors,
        attention_bias="blk.0.attn_q.bias" in tensors,
        mlp_bias="blk.0.ffn_gate.bias" in tensors,
    )


def _plain(value: Any) -> Any:
    """Returns the shortest number that is the same in fp32: 1e-05 for 9.999999747378752e-06."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _linear_scaling(name: str, fields: Mapping[str, Any]) -> RopeScaling | None:
    kind = fields.get("rope.scaling.type", "linear")
    factor = fields.get("rope.scaling.factor", fields.get("rope.scale_linear", 1.0))
    if kind == "none" or (kind == "linear" and factor in (0.0, 1.0)):
        return None
    if kind != "linear":
        raise InputError(
            f"{name}: llama.rope.scaling.type '{kind}' can't be expressed; supported: linear, and "
            f"the factors of LLaMA 3.1 as {_ROPE_FACTORS}"
        )
    return RopeScaling("linear", factor)


def _llama3_scaling(name: str, factors: np.ndarray, head_dim: int, theta: float) -> RopeScaling:
    """Returns the scaling that gives these factors; the file holds nothing else of it."""
    scaling = RopeScaling("llama3", float(factors.max()))
    plain, scaled = (rotary.frequencies(head_dim, theta, s) for s in (None, scaling))
    if factors.shape != plain.shape or not np.allclose(factors, plain / scaled, rtol=1e-3):
        raise InputError(
            f"{name}: {_ROPE_FACTORS} are not those of LLaMA 3.1 (low_freq_factor 1, "
            "high_freq_factor 4, of 8192 tokens); convert the original checkpoint instead"
        )
    return scaling
