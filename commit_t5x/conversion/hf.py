"""Hugging Face model directories: safetensors weights, config.json and tokenizer files."""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from commit_t5x import disk
from commit_t5x.conversion import (
    hf_tokenizer,
    native_names,
    pytorch_files,
    rules,
    safetensors_files,
    stream,
)
from commit_t5x.conversion.formats import SHARD_SIZE, Header, Put, Source
from commit_t5x.conversion.rules import Rule
from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig
from commit_t5x.vocabularies import configured, special_tokens
from commit_t5x.vocabularies.tokenizer import Tokenizer

_LAYER = "model.layers.{layer}"


def _projection(native: str, foreign: str) -> list[Rule]:
    native, foreign = f"layers/{native}", f"{_LAYER}.{foreign}"
    return [
        Rule(f"{native}/kernel", f"{foreign}.weight", transposed=True),
        Rule(f"{native}/bias", f"{foreign}.bias"),
    ]


# Both keep rotary pairs as halves, so that query and key need no reordering.
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
_CONFIG = "config.json"


def recognises(path: pathlib.Path) -> bool:
    """Returns whether `path` is a directory with Hugging Face's config.json."""
    return (path / _CONFIG).is_file()


def read(path: pathlib.Path) -> Source:
    """Opens a Hugging Face model directory of the LLaMA family.

    Args:
      path: of a directory with safetensors, or with PyTorch's .bin files (extra `convert`).

    Raises:
      InputError: a file is missing or unreadable, the configuration can't be expressed, or weights
        are .bin files and torch is not installed.
    """
    config = _read_config(path / _CONFIG)
    reader = _open_weights(path)
    shapes = {n: s for n, s in reader.shapes.items() if not n.endswith(_IGNORED_SUFFIX)}
    if config.tied_embeddings and _HEAD in shapes:
        # Some exports of tied models write the head all the same.
        if not np.array_equal(reader.get(_HEAD), reader.get(_EMBEDDING)):
            raise InputError(
                f"{path}: tie_word_embeddings is true, but {_HEAD} differs from {_EMBEDDING}; "
                "set it to false in config.json if the head is meant"
            )
        del shapes[_HEAD]
    return Source(
        name=str(path),
        config=config,
        rules=RULES,
        shapes=shapes,
        get=reader.get,
        dtypes=reader.dtypes,
        find_tokenizer=lambda: configured.find(path),
    )


def _open_weights(path: pathlib.Path) -> safetensors_files.Reader | pytorch_files.Reader:
    old = safetensors_files.weight_files(path, "pytorch_model", ".bin")
    if old and not safetensors_files.weight_files(path, "model", ".safetensors"):
        return pytorch_files.Reader(old)
    return safetensors_files.Reader(path)


@contextlib.contextmanager
def write(
    dst: pathlib.Path, shapes: Mapping[str, tuple[int, ...]], header: Header
) -> Iterator[Put]:
    """Writes a directory that transformers' Auto classes load.

    Args:
      dst: the directory; exists.
      shapes: of the tensors by name, as RULES has them, in the order of writing.
      header: see Header.

    Raises:
      InputError: the tokenizer can't be exported.
    """
    tokenizer = header.tokenizer
    ids: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2}  # LLaMA's
    files: dict[str, bytes] = {}
    if tokenizer is not None:
        files = hf_tokenizer.files(tokenizer, header.config.max_length)
        several = len(tokenizer.eos_ids) > 1
        ids = {
            "bos_token_id": tokenizer.bos_id,
            "eos_token_id": list(tokenizer.eos_ids) if several else tokenizer.eos_id,
            "pad_token_id": tokenizer.pad_id,
        }
        ids = {name: id_ for name, id_ in ids.items() if id_ is not None}
    generation = {"_from_model_config": True, **ids}
    if special_tokens.GENERATION in files:
        generation = json.loads(files[special_tokens.GENERATION])
        # Padding may be meant to be none.
        generation |= {n: i for n, i in ids.items() if n in generation or n != "pad_token_id"}
    config = {**header.config.to_hf(), **ids, "torch_dtype": header.dtype}
    files |= {
        _CONFIG: special_tokens.to_json(config),
        special_tokens.GENERATION: special_tokens.to_json(generation),
    }
    for name, content in files.items():
        (dst / name).write_bytes(content)
    with safetensors_files.write(dst, shapes, header.dtype, header.max_shard_bytes) as put:
        yield put


def export_hf(
    params: Mapping[str, Any],
    config: LlamaConfig,
    out_dir: str | pathlib.Path,
    tokenizer: Tokenizer | None = None,
    dtype: str = "float32",
    max_shard_size: int | str = SHARD_SIZE,
    overwrite: bool = False,
) -> None:
    """Writes weights in memory as a directory that transformers' Auto classes load.

    Args:
      params: the network's weights, stacked over layers or not; arrays of NumPy or JAX. One tensor
        at a time is brought to the host.
      config: of the network.
      out_dir: is written aside and moved into place.
      tokenizer: goes along.
      dtype: of the file: "float32", "bfloat16" or "float16".
      max_shard_size: of a weight file, in bytes or as "5GB".
      overwrite: replace an existing directory.

    Raises:
      InputError: the weights don't fit the configuration, the directory exists, the tokenizer has
        more tokens than the model, or an argument is out of range.
    """
    header = Header.checked(config, tokenizer, dtype, max_shard_size)
    source = native_names.source("native weights", rules.flatten(params), config)
    transfers = stream.plan(source, RULES)
    with disk.finished(out_dir, overwrite) as directory:
        directory.mkdir()
        with write(directory, rules.shapes(RULES, config), header) as put:
            stream.copy(source, transfers, put, dtype)


def import_hf(src_dir: str | pathlib.Path) -> tuple[dict[str, Any], LlamaConfig]:
    """Reads a Hugging Face model directory of the LLaMA family into memory.

    Returns:
      params: fp32 NumPy arrays, stacked over layers.
      config: of the network.

    Raises:
      InputError: see `read`; or tensors are missing, left over or of another shape.
    """
    source = read(pathlib.Path(src_dir))
    return native_names.load(source), source.config


def _read_config(path: pathlib.Path) -> LlamaConfig:
    fields = disk.read_json(path, f"is {path.parent} a Hugging Face model directory?")
    try:
        return LlamaConfig.from_hf(fields)
    except InputError as error:
        raise InputError(f"{path.parent}: {error}") from error
