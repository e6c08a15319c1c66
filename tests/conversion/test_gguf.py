import sys

import gguf_files
import numpy as np
import pytest
import torch
import transformers
from gguf import GGMLQuantizationType as Kind
from gguf_files import make
from small_llama import apply, logits_of

from commit_t5x.conversion import gguf, native_names
from commit_t5x.errors import InputError
from commit_t5x.model.llama import Llama, LlamaConfig
from commit_t5x.model.llama_config import RopeScaling

KINDS = [Kind.F32, Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_1, Kind.Q4_K, Kind.Q6_K]


def logits(path):
    source = gguf.read(path)
    params = native_names.load(source)
    return apply(Llama(source.config), params, tokens())


def tokens(length=24):
    return np.random.default_rng(1).integers(1, gguf_files.SIZES["vocab_size"], (2, length))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_logits_of_transformers_on_the_same_file(kind, tmp_path):
    path = gguf_files.write(tmp_path / "model.gguf", make(), kind)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=path.name, dtype=torch.float32
    )
    expected = logits_of(model, tokens())
    assert np.std(expected) > 0.1
    largest = np.abs(expected).max()  # in the hundreds for weights of random bytes
    np.testing.assert_allclose(logits(path), expected, rtol=0, atol=2e-5 * largest)
    source = gguf.read(path)
    assert source.dtypes["blk.1.attn_q.weight"] == kind.name
    assert source.dtypes["output_norm.weight"] == "F32"
    assert sum(kind.name in note for note in source.notes) == 1


VARIANTS = {
    "tied": dict(tie_word_embeddings=True),
    "multi-head": dict(num_key_value_heads=8),
    "biases": dict(attention_bias=True, mlp_bias=True),
    "llama3": dict(
        max_position_embeddings=131072,
        rope_parameters={
            **{"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0},
            **{"low_freq_factor": 1.0, "high_freq_factor": 4.0},
            "original_max_position_embeddings": 8192,
        },
    ),
}


@pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)
def test_logits_of_the_model_that_was_written(fields, tmp_path):
    model = make(**fields)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    path = gguf_files.write(tmp_path / "model.gguf", model)
    np.testing.assert_allclose(logits(path), logits_of(model, tokens()), rtol=0, atol=1e-4)
    assert gguf.read(path).config == LlamaConfig.from_hf(model.config.to_dict())


def test_heads_of_their_own_width_and_linear_scaling(tmp_path):
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
    model = make(head_dim=64, rope_parameters=rope)
    width = {"attention.key_length": 64, "attention.value_length": 64}
    scaling = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
    path = gguf_files.write(tmp_path / "model.gguf", model, **width, **scaling)
    config = gguf.read(path).config
    assert (config.head_dim, config.rope_scaling) == (64, RopeScaling("linear", 4.0))
    np.testing.assert_allclose(logits(path), logits_of(model, tokens()), rtol=0, atol=1e-4)


def test_absent_fields_have_llama_cpps_defaults(tmp_path):
    absent = dict.fromkeys(["attention.head_count_kv", "rope.freq_base", "rope.dimension_count"])
    path = gguf_files.write(tmp_path / "model.gguf", make(num_key_value_heads=8), **absent)
    config = gguf.read(path).config
    assert (config.num_kv_heads, config.rope_theta, config.head_dim) == (8, 10000.0, 32)


def test_recognises_by_content(tmp_path):
    path = gguf_files.write(tmp_path / "weights", make(num_hidden_layers=1))
    assert gguf.recognises(path)
    other = tmp_path / "model.gguf"
    other.write_bytes(b"text")
    assert not gguf.recognises(other)
    assert not gguf.recognises(tmp_path)
    assert not gguf.recognises(tmp_path / "nowhere")


def refuses(path, message):
    with pytest.raises(InputError, match=message) as caught:
        gguf.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"architecture": "qwen2"}, "of architecture 'qwen2'; only 'llama'"),
        ({"embedding_length": None, "block_count": None}, "llama.embedding_length, llama.block_co"),
        ({"rope.scaling.type": "yarn"}, "scaling.type 'yarn' can't be expressed"),
        ({"expert_count": 8}, "expert_count: mixtures of experts"),
        ({"rope.dimension_count": 16}, "rope.dimension_count is 16, the width of a head 32"),
        ({"attention.value_length": 16}, "attention.value_length is 16, the width of a head 32"),
        ({"kind": Kind.I32}, "of type I32, which can't be dequantised"),
    ],
)
def test_refuses_what_it_cannot_express(tmp_path, fields, message):
    refuses(gguf_files.write(tmp_path / "model.gguf", make(), **fields), message)


def test_other_rotary_factors(tmp_path):
    rope = {**VARIANTS["llama3"]["rope_parameters"], "low_freq_factor": 2.0}
    path = gguf_files.write(tmp_path / "model.gguf", make(rope_parameters=rope))
    refuses(path, "rope_freqs.weight are not those of LLaMA 3.1")


def test_parts_of_a_model(tmp_path):
    def split(writer):
        writer.add_uint16("split.count", 3)

    refuses(gguf_files.write(tmp_path / "model.gguf", make(), tokenizer=split), "one of 3 parts")


def test_damaged_files(tmp_path):
    path = gguf_files.write(tmp_path / "model.gguf", make(num_hidden_layers=1))
    content = path.read_bytes()
    header = content.index(b"output.weight")
    for length in (0, 3, 4, 9, 30, 100, header, len(content) // 2, len(content) - 40):
        path.write_bytes(content[:length])
        refuses(path, "not a readable GGUF file .*; fetch it again")
    path.write_bytes(b"text" * 100)
    refuses(path, "not a readable GGUF file")
    refuses(tmp_path / "nowhere.gguf", "no such file")


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = gguf_files.write(tmp_path / "model.gguf", make(num_hidden_layers=1))
    source = gguf.read(path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(InputError, match="ends too early; fetch it again"):
        source.get(list(source.shapes)[-1])


def test_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(InputError, match=r"pip install 'commit-t5x\[gguf\]'"):
        gguf.read(tmp_path / "model.gguf")
