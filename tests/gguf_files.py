"""Writes small GGUF files as llama.cpp's converter does, knowing nothing of our tables."""

import json
import pathlib

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType as Kind

_NAMES = {
    "model.embed_tokens.": "token_embd.",
    "model.norm.": "output_norm.",
    "lm_head.": "output.",
    "model.layers.": "blk.",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "post_attention_layernorm": "ffn_norm",
    "input_layernorm": "attn_norm",
}

# A quantised row is a multiple of 256.
SIZES = dict(
    vocab_size=40,
    hidden_size=256,
    intermediate_size=256,
    num_hidden_layers=2,
    num_attention_heads=8,
    num_key_value_heads=4,
    max_position_embeddings=128,
    rms_norm_eps=1e-5,
    initializer_range=0.1,
)


def make(**fields) -> transformers.LlamaForCausalLM:
    """Returns a small model with random weights."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**{**SIZES, **fields})
    return transformers.LlamaForCausalLM(config).eval()


def write(path: pathlib.Path, model, kind=Kind.F32, tokenizer=None, architecture="llama", **fields):
    """Writes a transformers model of the LLaMA family.

    Args:
      path: of the file.
      model: a transformers.LlamaForCausalLM.
      kind: of the matrices. Those that the package can't quantise to get random bytes.
      tokenizer: adds a tokenizer, given the writer.
      architecture: as the file says.
      **fields: further numbers and strings, by key below the architecture; None leaves one out.
    """
    writer = gguf.GGUFWriter(path, architecture)
    config = model.config
    fields = {
        "vocab_size": config.vocab_size,
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": float(config.rope_parameters["rope_theta"]),
        "rope.dimension_count": config.head_dim,
        **fields,
    }
    add = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    for key, value in fields.items():
        if value is not None:
            add[type(value)](f"{architecture}.{key}", value)
    if tokenizer is not None:
        tokenizer(writer)
    rng = np.random.default_rng(0)
    for name, array in weights(model, _NAMES):
        if name != "output.weight" or not config.tie_word_embeddings:
            _add(writer, name, array, kind if array.ndim == 2 else Kind.F32, rng)
    rope_type = config.rope_parameters["rope_type"]
    if rope_type == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_factors(config))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def weights(model, names):
    """Yields a model's weights, parts of their names replaced, with rotary pairs as neighbours."""
    heads = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        array = tensor.numpy()
        for projection, count in heads.items():
            if projection in name:
                array = _neighbours(array, count)
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        yield name, array


def llama3_factors(config):
    """What llama.cpp's converter stores of LLaMA 3.1's scaling: divisors of the frequencies."""
    rope = config.rope_parameters
    exponents = np.arange(0, config.head_dim, 2) / config.head_dim
    wavelengths = 2 * np.pi * rope["rope_theta"] ** exponents
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    original = rope["original_max_position_embeddings"]
    factors = []
    for wavelength in wavelengths:
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(rope["factor"])
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(factors, np.float32)


def _neighbours(array, heads):
    """Puts the two members of a rotary pair, half a head apart, side by side."""
    halves = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return halves.swapaxes(1, 2).reshape(array.shape)


def _add(writer, name, array, kind, rng):
    if kind in (Kind.F32, Kind.F16):
        writer.add_tensor(name, np.ascontiguousarray(gguf.quants.quantize(array, kind)))
        return
    try:
        content = gguf.quants.quantize(array, kind)
    except NotImplementedError:
        shape = gguf.quants.quant_shape_to_byte_shape(array.shape, kind)
        # Such bytes are small numbers wherever half-precision scales stand.
        content = rng.integers(0, 0x28, shape, np.uint8)
    writer.add_tensor(name, content, raw_dtype=kind)


def byte_level(path: pathlib.Path, cut: str):
    """Returns what adds a tokenizer.json's byte-level BPE to a file."""

    def add(writer):
        content = json.loads(path.read_text())
        vocab = {**content["model"]["vocab"]}
        added = {token["content"]: token["id"] for token in content["added_tokens"]}
        tokens = sorted(vocab | added, key=(vocab | added).get)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(cut)
        writer.add_token_list(tokens)
        writer.add_token_types([3 if token in added else 1 for token in tokens])
        writer.add_token_merges([" ".join(merge) for merge in content["model"]["merges"]])
        config = json.loads(path.with_name("tokenizer_config.json").read_text())
        bos, eos = config["bos_token"], config["eos_token"]
        writer.add_bos_token_id(tokens.index(bos))
        writer.add_eos_token_id(tokens.index(eos["content"] if isinstance(eos, dict) else eos))

    return add


def sentencepiece(path: pathlib.Path):
    """Returns what adds a SentencePiece model to a file."""
    from sentencepiece import sentencepiece_model_pb2

    def add(writer):
        model = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list([piece.piece for piece in model.pieces])
        writer.add_token_scores([piece.score for piece in model.pieces])
        writer.add_token_types([piece.type for piece in model.pieces])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
        writer.add_unk_token_id(0)
        writer.add_add_space_prefix(model.normalizer_spec.add_dummy_prefix)

    return add
