"""Hugging Face model directories: safetensors weights, config.json and tokenizer files."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from commit_t5x.conversion import directories, hf_tokenizer, rules, safetensors_files
from commit_t5x.conversion.rules import Rule
from commit_t5x.errors import InputError
from commit_t5x.llama_config import LlamaConfig

_LAYER = "model.layers.{layer}"


def _projection(native: str, foreign: str) -> list[Rule]:
    native, foreign = f"layers/{native}", f"{_LAYER}.{foreign}"
    return [
        Rule(f"{native}/kernel", f"{foreign}.weight", transposed=True),
        Rule(f"{native}/bias", f"{foreign}.bias"),
    ]


# Both keep rotary pairs as halves, so that query and key need no permutation.
RULES: tuple[Rule, ...] = (
    Rule("token_embedder/embedding", "model.embed_tokens.weight"),
    Rule("layers/pre_self_attention_layer_norm/scale", f"{_LAYER}.input_layernorm.weight"),
    *_projection("self_attention/query", "self_attn.q_proj"),
    *_projection("self_attention/key", "self_attn.k_proj"),
    *_projection("self_attention/value", "self_attn.v_proj"),
    *_projection("self_attention/out", "self_attn.o_proj"),
    Rule("layers/pre_mlp_layer_norm/scale", f"{_LAYER}.post_attention_layernorm.weight"),
    *_projection("mlp/wi_0", "mlp.gate_proj"),
    *_projection("mlp/wi_1", "mlp.up_proj"),
    *_projection("mlp/wo", "mlp.down_proj"),
    Rule("decoder_norm/scale", "model.norm.weight"),
    Rule("logits_dense/kernel", "lm_head.weight", transposed=True),
)
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"
# Old exports store this table of rotary frequencies, which follows from the configuration.
_IGNORED_SUFFIX = ".rotary_emb.inv_freq"
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}


def export_hf(
    params: Mapping[str, Any],
    config: LlamaConfig,
    out_dir: str | pathlib.Path,
    tokenizer_path: str | pathlib.Path | None = None,
    dtype: str = "float32",
    max_shard_size: int | str = "5GB",
    overwrite: bool = False,
) -> None:
    """Writes a directory that transformers' Auto classes load.

    Args:
      params: the network's weights, stacked over layers or not; arrays of NumPy or JAX. One tensor
        at a time is brought to the host.
      config: of the network.
      out_dir: is written aside and moved into place.
      tokenizer_path: a SentencePiece model, to be exported along; None leaves the tokenizer out.
      dtype: of the file: "float32", "bfloat16" or "float16".
      max_shard_size: of a weight file, in bytes or as "5GB".
      overwrite: replace an existing directory.

    Raises:
      InputError: the weights don't fit the configuration, the directory exists, the tokenizer has
        more tokens than the model, or an argument is out of range.
    """
    if dtype not in safetensors_files.DTYPES:
        raise InputError(f"dtype '{dtype}': unknown; use {', '.join(safetensors_files.DTYPES)}")
    max_shard_bytes = _parse_size(max_shard_size)
    scanned = "layers" in params
    rules.check_native(params, config, scanned)
    leaves = rules.flatten(params)
    entries = {entry.foreign: entry for entry in rules.plan(RULES, config, scanned)}
    with directories.finished(pathlib.Path(out_dir), overwrite) as directory:
        ids = {"bos_token_id": 1, "eos_token_id": 2}
        if tokenizer_path is not None:
            ids = hf_tokenizer.export(pathlib.Path(tokenizer_path), directory, config.max_length)
            if (size := ids.pop("vocab_size")) > config.vocab_size:
                raise InputError(
                    f"{tokenizer_path}: has {size} tokens, the model has {config.vocab_size}; "
                    "use the tokenizer that the model was trained with"
                )
        _write_json(directory / "config.json", {**config.to_hf(), **ids, "torch_dtype": dtype})
        _write_json(directory / "generation_config.json", {"_from_model_config": True, **ids})
        safetensors_files.write(
            directory,
            {name: entry.shape for name, entry in entries.items()},
            lambda name: entries[name].read(leaves),
            dtype,
            max_shard_bytes,
        )


def import_hf(src_dir: str | pathlib.Path) -> tuple[dict[str, Any], LlamaConfig]:
    """Reads a Hugging Face model directory of the LLaMA family.

    Returns:
      params: fp32 NumPy arrays, stacked over layers.
      config: of the network.

    Raises:
      InputError: a file is missing or unreadable, the configuration can't be expressed, or tensors
        are missing, left over or of another shape.
    """
    directory = pathlib.Path(src_dir)
    config = _read_config(directory / "config.json")
    reader = safetensors_files.Reader(directory)
    entries = rules.plan(RULES, config)
    found = {n: s for n, s in reader.shapes.items() if not n.endswith(_IGNORED_SUFFIX)}
    if config.tied_embeddings and _HEAD in found:
        # Some exports of tied models write the head all the same.
        if not np.array_equal(reader.get(_HEAD), reader.get(_EMBEDDING)):
            raise InputError(
                f"{directory}: tie_word_embeddings is true, but {_HEAD} differs from {_EMBEDDING}; "
                "set it to false in config.json if the head is meant"
            )
        del found[_HEAD]
    rules.check_foreign(str(directory), entries, found)
    shapes = rules.native_shapes(config)
    leaves = {path: np.empty(shape, np.float32) for path, shape in shapes.items()}
    for entry in entries:
        entry.write(leaves, reader.get(entry.foreign))
    return rules.unflatten(leaves), config


def _read_config(path: pathlib.Path) -> LlamaConfig:
    if not path.is_file():
        raise InputError(f"{path}: no such file; is {path.parent} a Hugging Face model directory?")
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}); fetch it again") from error
    try:
        return LlamaConfig.from_hf(fields)
    except InputError as error:
        raise InputError(f"{path.parent}: {error}") from error


def _write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _parse_size(size: int | str) -> int:
    text = str(size).strip().upper()
    unit = text[-2:] if text[-2:] in _UNITS else ""
    number = text.removesuffix(unit)
    if not number.isdigit() or int(number) == 0:
        raise InputError(f"max_shard_size '{size}': not a size; write bytes, or 500MB, or 5GB")
    return int(number) * _UNITS.get(unit, 1)
