import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest
import safetensors.torch
import tokenizers
import torch
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from small_llama import CONFIG, weights

from commit_t5x import conversion, resources
from commit_t5x.conversion import formats, hf, hf_tokenizer
from commit_t5x.engine import checkpoints, model_files
from commit_t5x.errors import InputError
from commit_t5x.model import llama
from commit_t5x.vocabularies import configured

TOKENIZER = resources.path("samples") / "tokenizer.model"


NETWORK = dataclasses.replace(CONFIG, vocab_size=3000, num_layers=1)


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """A model directory with weights and a tokenizer."""
    directory = tmp_path_factory.mktemp("native") / "model"
    checkpoints.save_params(directory, weights(NETWORK), NETWORK, configured.load(TOKENIZER))
    return directory


@pytest.mark.parametrize("name", ["a b", "a#b%20c", "[x]", "it's", 'a"b:c&d'])
def test_native_to_hf_and_back(native, tmp_path, name):
    folder = tmp_path / name
    conversion.convert(native, folder / "hf", to="hf", source_format="native")
    assert (folder / "hf" / "tokenizer.json").is_file()
    conversion.convert(folder / "hf", folder / "back", to="native", source_format="hf")
    assert model_files.read_config(folder / "back") == NETWORK
    assert (folder / "back" / TOKENIZER.name).read_bytes() == TOKENIZER.read_bytes()
    jax.tree.map(np.testing.assert_array_equal, trees.read(folder / "back"), weights(NETWORK))


def test_options_reach_the_export(native, tmp_path):
    options = {"dtype": "bfloat16", "max_shard_size": "100KB"}
    conversion.convert(native, tmp_path / "hf", to="hf", **options)
    assert len(list((tmp_path / "hf").glob("model-*.safetensors"))) > 1
    stored = hf.import_hf(tmp_path / "hf")[0]["token_embedder"]["embedding"]
    assert not np.any(stored.view(np.uint32) & 0xFFFF)  # bfloat16 is the upper half of fp32
    assert hf.import_hf(tmp_path / "hf")[1] == NETWORK


def test_existing_target_and_missing_source(native, tmp_path):
    (tmp_path / "there").mkdir()
    for source, to in (("native", "hf"), ("hf", "native")):
        with pytest.raises(InputError, match="there: exists already"):
            conversion.convert(native, tmp_path / "there", to=to, source_format=source)
        with pytest.raises(InputError, match="nowhere: no such file or directory"):
            conversion.convert(tmp_path / "nowhere", tmp_path / "new", to=to, source_format=source)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    conversion.convert(native, tmp_path / "there", to="hf", overwrite=True)
    assert (tmp_path / "there" / "config.json").is_file()


@pytest.mark.parametrize(
    ("source", "to", "options", "message"),
    [
        ("onnx", "hf", {}, "format 'onnx': unknown; choose from easylm, gguf, hf"),
        ("hf", "hf", {}, "hf to hf: nothing to convert"),
        ("hf", "meta", {}, "format 'meta': can't be written; choose from hf, native"),
        ("hf", "native", {"dtype": "bfloat16"}, "native weights are always float32"),
        ("hf", "native", {"config": "debug"}, "--config: hf checkpoints carry their own"),
        ("native", "hf", {"max_length": 0}, "max_length: 0 doesn't fit"),
        ("native", "hf", {"overwrite": "no"}, "overwrite: 'no' doesn't fit"),
    ],
)
def test_options_that_do_not_fit(tmp_path, source, to, options, message):
    with pytest.raises(InputError, match=message):
        conversion.convert(tmp_path, tmp_path / "out", to=to, source_format=source, **options)


def test_a_configuration_that_is_not_the_checkpoints_is_refused(native, tmp_path):
    config = json.loads((native / "model_config.json").read_text())
    given = tmp_path / "model_config.json"
    given.write_text(json.dumps(config))
    conversion.convert(native, tmp_path / "out", to="hf", config=given)
    given.write_text(json.dumps({**config, "norm_eps": 0.5}))
    message = "--config: .*model_config.json: norm_eps is .* in the checkpoint and 0.5 .*leave it"
    with pytest.raises(InputError, match=message):
        conversion.convert(native, tmp_path / "other", to="hf", config=given)


def test_source_format_is_found_out(native, tmp_path):
    conversion.convert(native, tmp_path / "hf", to="hf")
    conversion.convert(tmp_path / "hf", tmp_path / "native", to="native")
    conversion.convert(tmp_path / "native" / "checkpoint_0", tmp_path / "again", to="hf")
    first, second = (tmp_path / name / "model.safetensors" for name in ("hf", "again"))
    assert first.read_bytes() == second.read_bytes()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty: not a checkpoint of a known format; name it"):
        conversion.convert(tmp_path / "empty", tmp_path / "x", to="hf")


def test_generation_settings_travel(native, tmp_path):
    conversion.convert(native, tmp_path / "a", to="hf")
    settings = {"bos_token_id": 1, "eos_token_id": [2, 7], "temperature": 0.6}
    (tmp_path / "a" / "generation_config.json").write_text(json.dumps(settings))
    conversion.convert(tmp_path / "a", tmp_path / "b", to="native")
    conversion.convert(tmp_path / "b", tmp_path / "c", to="hf")
    assert json.loads((tmp_path / "c" / "generation_config.json").read_text()) == settings
    assert json.loads((tmp_path / "c" / "config.json").read_text())["eos_token_id"] == [2, 7]


def test_dry_run_prints_the_plan_and_writes_nothing(native, tmp_path, capsys):
    conversion.convert(native, tmp_path / "out", to="hf", dtype="float16", dry_run=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["from", "to", "shape", "dtype", "change"]
    query = next(line for line in lines if "query" in line)
    assert re.split("  +", query) == [
        "layers_0/self_attention/query/kernel",
        "model.layers.0.self_attn.q_proj.weight",
        "32 x 32",
        "float32 -> float16",
        "transposed",
    ]
    assert f"12 tensors, {NETWORK.num_parameters:,} weights" in lines[-1]
    assert "tokenizer.model" in lines[-1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["hf", "native"])
def test_interrupted_conversion_leaves_the_old(target, native, tmp_path, monkeypatch):
    """The source ends in the midst, after the first tensors are written."""
    src = native
    if target == "native":
        src = tmp_path / "hf"
        conversion.convert(native, src, to="hf")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    before = sorted(tmp_path.iterdir())
    opened = conversion.open_source(formats.detect(src), src)
    last = list(opened.shapes)[-1]

    def get(name):
        if name == last:
            raise ConnectionError
        return opened.get(name)

    broken = dataclasses.replace(opened, get=get)
    monkeypatch.setattr(conversion, "open_source", lambda *_: broken)
    with pytest.raises(ConnectionError):
        conversion.convert(src, tmp_path / "out", to=target, overwrite=True)
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "out" / "old").read_text() == "old"


@pytest.mark.parametrize("target", ["hf", "native"])
def test_no_room_for_a_file(target, tmp_path, full_disk):
    """Files may not outgrow a limit here; a full disk gives the same kind of error."""
    config = dataclasses.replace(CONFIG, vocab_size=100_000, num_layers=1)  # 12.8 MB an embedding
    hf.export_hf(weights(config), config, tmp_path / "hf")
    src = tmp_path / "hf"
    if target == "hf":
        src = tmp_path / "native"
        conversion.convert(tmp_path / "hf", src, to="native")
    before = sorted(tmp_path.iterdir())
    wanted = pytest.raises(InputError, match=r"out: can't be written \(File too large\)")
    with full_disk(5_000_000), wanted as caught:
        conversion.convert(src, tmp_path / "out", to=target)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


@st.composite
def configs(draw):
    groups, kv_heads = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    return llama.LlamaConfig(
        vocab_size=draw(st.integers(1, 40)),
        emb_dim=draw(st.integers(1, 12)),
        mlp_dim=draw(st.integers(1, 12)),
        num_layers=draw(st.integers(1, 3)),
        num_heads=groups * kv_heads,
        num_kv_heads=kv_heads,
        head_dim=2 * draw(st.integers(1, 3)),
        tied_embeddings=draw(st.booleans()),
        attention_bias=draw(st.booleans()),
        mlp_bias=draw(st.booleans()),
    )


@settings(max_examples=5, deadline=None)
@given(config=configs(), data=st.data())
def test_round_trips_are_exact(config, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trip")
    params = weights(config)
    hf.export_hf(params, config, folder / "a", max_shard_size=data.draw(st.integers(500, 9000)))
    conversion.convert(folder / "a", folder / "b", to="native")
    conversion.convert(folder / "b", folder / "c", to="hf")
    back, back_config = hf.import_hf(folder / "c")
    assert back_config == config
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_a_tokenizer_that_does_not_fit_or_is_broken(native, tmp_path):
    files = hf_tokenizer.files(configured.load(TOKENIZER), max_length=64)
    larger = tokenizers.Tokenizer.from_str(files["tokenizer.json"].decode())
    larger.add_tokens(["<obs>"])
    larger.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="has 3,001 tokens, the network 3,000 rows; use the token"):
        conversion.convert(native, tmp_path / "x", to="hf", tokenizer=tmp_path)
    assert not (tmp_path / "x").exists()
    broken = shutil.copytree(native, tmp_path / "broken")
    (broken / "added_tokens.json").write_text('{"[PAD]": 3000}')
    with pytest.raises(InputError, match="the files beside it add tokens"):
        conversion.convert(broken, tmp_path / "x", to="hf")
    conversion.convert(broken, tmp_path / "x", to="hf", tokenizer=TOKENIZER)


def test_context_length(native, tmp_path):
    conversion.convert(native, tmp_path / "hf", to="hf", max_length=512)
    assert hf.read(tmp_path / "hf").config == dataclasses.replace(NETWORK, max_length=512)


def test_what_a_trainer_leaves_beside_the_weights(native, tmp_path):
    conversion.convert(native, tmp_path / "hf", to="hf")
    path = tmp_path / "hf" / "model.safetensors"
    for name in ("training_args.bin", "optimizer.bin", "scheduler.pt", "rng_state.pth"):
        torch.save({"step": 3}, tmp_path / "hf" / name)
    jax.tree.map(np.testing.assert_array_equal, hf.import_hf(tmp_path / "hf")[0], weights(NETWORK))
    torch.save(safetensors.torch.load_file(path), path.with_name("pytorch_model.bin"))
    path.unlink()
    conversion.convert(tmp_path / "hf", tmp_path / "back", to="native")
    jax.tree.map(np.testing.assert_array_equal, trees.read(tmp_path / "back"), weights(NETWORK))


@pytest.mark.parametrize(
    "content", [b'{"vocab_size": 10, "n\xe4me": 1}', b"[]", b'{"vocab_size": 10}']
)
def test_a_broken_model_config_is_named(native, tmp_path, content):
    directory = shutil.copytree(native, tmp_path / "model")
    (directory / "model_config.json").write_bytes(content)
    with pytest.raises(InputError, match="model_config.json: ") as caught:
        conversion.convert(directory, tmp_path / "x", to="hf")
    assert "\n" not in str(caught.value)


def test_no_target_holds_its_source(native, tmp_path):
    shutil.copytree(native, tmp_path / "out")
    [step] = (tmp_path / "out").glob("checkpoint_*")
    for src in (tmp_path / "out", step):
        with pytest.raises(InputError, match="DST: .*out (is|holds) what is read"):
            conversion.convert(src, tmp_path / "out", to="hf", overwrite=True)


def test_a_missing_tokenizer_is_told(native, tmp_path, capsys):
    shutil.copytree(native, tmp_path / "out")
    for path in (tmp_path / "out").glob("tokenizer*"):
        path.unlink()
    conversion.convert(tmp_path / "out", tmp_path / "export", to="hf")
    assert "out has no tokenizer, so" in capsys.readouterr().out
