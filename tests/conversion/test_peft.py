import dataclasses
import json
import operator
import pathlib
import shutil

import jax
import numpy as np
import peft
import pytest
import safetensors.numpy
import torch
import transformers
import trees
from small_llama import CONFIG, apply, init, logits_of, random_tokens, weights

from commit_t5x import cli, conversion
from commit_t5x.conversion import hf, native, native_names
from commit_t5x.engine import adapters, checkpoints, model_files
from commit_t5x.errors import InputError
from commit_t5x.model import lora
from commit_t5x.model.llama import Llama
from commit_t5x.model.lora import Lora

OPTIONS = Lora(4, alpha=8, targets=(*lora.LINEAR, lora.EMBEDDING, lora.HEAD))
TOKENS = random_tokens(1)


@dataclasses.dataclass(frozen=True)
class Run:
    base: str  # a model directory
    exported: str  # the base as a Hugging Face directory
    factors: str  # a model directory
    params: dict  # of the network with factors


def write(folder, options=OPTIONS, config=CONFIG):
    """A base and random factors over it, as training leaves them."""
    params = jax.device_get(init(Llama(config, lora=options)))
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: leaf * 0.5 if path[-1].key in lora.FACTORS else leaf, params
    )
    base = lora.factors(params, present=False)
    checkpoints.save_params(folder / "base", base, config, None)
    hf.export_hf(base, config, folder / "exported")
    trained, _ = options.split(params)
    checkpoints.save_params(folder / "run", trained, config, None, step=3)
    adapters.write(folder / "run", adapters.describe(options, str(folder / "base")))
    return Run(*(str(folder / name) for name in ("base", "exported", "run")), params)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write(tmp_path_factory.mktemp("peft"))


def transformers_model(directory):
    return transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)


def assert_close(actual, expected):
    """To 1e-5 of the largest logit."""
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_peft_and_merged_weights_give_the_logits_of_the_factors(run, tmp_path, capsys):
    expected = apply(Llama(CONFIG, lora=OPTIONS), run.params, TOKENS)
    conversion.convert(run.factors, tmp_path / "adapter", to="peft", base=run.exported)
    adapted = peft.PeftModel.from_pretrained(transformers_model(run.exported), tmp_path / "adapter")
    assert_close(logits_of(adapted, TOKENS), expected)
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["r"] == 4
    conversion.convert(run.factors, tmp_path / "merged", to="hf")
    assert "are merged into" in capsys.readouterr().out
    assert_close(logits_of(transformers_model(tmp_path / "merged"), TOKENS), expected)
    merged = native_names.load(native.read(run.factors))
    assert_close(apply(Llama(CONFIG), merged, TOKENS), expected)
    base = apply(Llama(CONFIG), lora.factors(run.params, present=False), TOKENS)
    assert np.abs(base - expected).max() > 1


def test_export_and_import_are_inverse(tmp_path):
    options = dataclasses.replace(OPTIONS, targets=("query", "wo"), trained_parts=("scale",))
    run = write(tmp_path, options)
    conversion.convert(run.factors, tmp_path / "adapter", to="peft")
    conversion.convert(tmp_path / "adapter", tmp_path / "back", to="native", base=run.base)
    back = trees.read(tmp_path / "back")
    assert model_files.read_config(tmp_path / "back") == CONFIG
    jax.tree.map(np.testing.assert_array_equal, back, options.split(run.params)[0])
    found, expected = (adapters.read(tmp_path / name) for name in ("back", "run"))
    parts = {"decoder_norm", "pre_mlp_layer_norm", "pre_self_attention_layer_norm"}
    assert {*found.lora.trained_parts} == parts
    assert {*found.lora.targets} == {"query", "wo"}
    assert found.fingerprint == expected.fingerprint and found.lora.scaling == 2.0


def test_a_norm_trained_in_full_is_the_networks_alone(tmp_path):
    options = dataclasses.replace(OPTIONS, targets=("query",), trained_parts=("decoder_norm",))
    run = write(tmp_path, options)
    conversion.convert(run.factors, tmp_path / "adapter", to="peft", base=run.exported)
    adapted = peft.PeftModel.from_pretrained(transformers_model(run.exported), tmp_path / "adapter")
    assert_close(logits_of(adapted, TOKENS), apply(Llama(CONFIG, lora=options), run.params, TOKENS))


def test_a_tied_embedding_trained_in_full_is_refused(tmp_path):
    tied = dataclasses.replace(CONFIG, tied_embeddings=True)
    options = dataclasses.replace(OPTIONS, targets=("query",), trained_parts=(lora.EMBEDDING,))
    run = write(tmp_path, options, tied)
    with pytest.raises(InputError, match="run: trains an embedding that is the head as well"):
        conversion.convert(run.factors, tmp_path / "adapter", to="peft", base=run.exported)
    whole = transformers_model(run.exported)
    options = peft.LoraConfig(r=4, target_modules=["q_proj"], modules_to_save=["embed_tokens"])
    peft.get_peft_model(whole, options).save_pretrained(tmp_path / "theirs")
    with pytest.raises(InputError, match="theirs: trains an embedding that is the head as well"):
        conversion.convert(tmp_path / "theirs", tmp_path / "back", to="native", base=run.base)


def test_an_adapter_does_not_replace_the_base_of_its_factors(tmp_path):
    run = write(tmp_path)
    with pytest.raises(InputError, match="DST: "):
        conversion.convert(run.factors, run.base, to="peft", overwrite=True)
    assert checkpoints.find(run.base).is_dir()


def unstacked(folder, parts=()):
    """Rewrites a run's factors as a network with unrolled layers has them."""
    trained, config = trees.read(folder), model_files.read_config(pathlib.Path(folder))
    layers = trained.pop("layers")
    for index in range(config.num_layers):
        trained[f"layers_{index}"] = jax.tree.map(operator.itemgetter(index), layers)
    for name in parts:
        del trained[name]["pre_mlp_layer_norm"]
    checkpoints.save_params(folder, trained, config, None, step=4)


def test_unrolled_layers_give_the_same_adapter(tmp_path):
    run = write(tmp_path, dataclasses.replace(OPTIONS, trained_parts=("scale",)))
    conversion.convert(run.factors, tmp_path / "one", to="peft", base="name")
    unstacked(run.factors)
    conversion.convert(run.factors, tmp_path / "other", to="peft", base="name")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    shutil.rmtree(tmp_path / "run" / "checkpoint_4")
    unstacked(run.factors, ["layers_1"])
    with pytest.raises(InputError, match="post_attention_layernorm is trained in full in 2 layers"):
        conversion.convert(run.factors, tmp_path / "third", to="peft")


def test_what_an_adapter_does_not_say(tmp_path, capsys):
    below = write(tmp_path / "below", dataclasses.replace(OPTIONS, base_dtype="bfloat16"))
    conversion.convert(below.factors, tmp_path / "one", to="peft")
    said = capsys.readouterr().out
    assert "trained over" in said and "in bfloat16" in said and "names no base; --base" in said
    adapter = adapters.describe(OPTIONS, below.factors)
    shutil.copytree(below.factors, tmp_path / "above")
    adapters.write(tmp_path / "above", adapter)
    conversion.convert(tmp_path / "above", tmp_path / "two", to="peft", base="name")
    said = capsys.readouterr().out
    assert "itself a base with factors: load the adapter over what --to hf" in said


def test_values_that_are_not_finite(adapter, run, tmp_path):
    path = adapter() / "adapter_model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    name = min(tensors)
    tensors[name][0, 0] = np.nan
    safetensors.numpy.save_file(tensors, path)
    with pytest.raises(InputError, match=f"{name}: holds values that aren't finite"):
        conversion.convert(path.parent, tmp_path / "out", to="native", base=run.base)


@pytest.mark.parametrize("rslora", [False, True])
def test_adapter_that_peft_made(rslora, run, tmp_path):
    config = peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules=["q_proj", "down_proj"],
        use_rslora=rslora,
        init_lora_weights=False,  # random ones
        modules_to_save=["lm_head"],
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(0)
    model = peft.get_peft_model(transformers_model(run.exported), config)
    model.save_pretrained(tmp_path / "adapter")
    conversion.convert(tmp_path / "adapter", tmp_path / "native", to="native", base=run.base)
    merged = native_names.load(native.read(tmp_path / "native"))
    assert_close(apply(Llama(CONFIG), merged, TOKENS), logits_of(model.eval(), TOKENS))


@pytest.fixture
def adapter(run, tmp_path):
    """A copy of an adapter whose configuration may be changed: `adapter(use_dora=True)`."""
    conversion.convert(run.factors, tmp_path / "adapter", to="peft")
    path = tmp_path / "adapter" / "adapter_config.json"

    def change(**fields):
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))
        return path.parent

    return change


@pytest.mark.parametrize(
    "fields",
    [
        {"use_dora": True},
        {"peft_type": "IA3"},
        {"bias": "all"},
        {"rank_pattern": {"q_proj": 8}},
        {"init_lora_weights": "pissa"},
        {"some_new_kind": {"of": "factor"}},
    ],
)
def test_adapters_that_cannot_be_expressed(fields, adapter, run, tmp_path):
    [name] = fields
    with pytest.raises(InputError, match=f"{name}=.* can't be expressed; merge the adapter"):
        conversion.convert(adapter(**fields), tmp_path / "out", to="native", base=run.base)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "fields",
    [{"r": 0}, {"r": "4"}, {"r": 4.5}, {"lora_alpha": float("nan")}, {"lora_dropout": 1.5}],
)
def test_values_of_another_type_or_range(fields, adapter, run, tmp_path):
    with pytest.raises(InputError, match=r"adapter_config.json: .*doesn't fit; it takes"):
        conversion.convert(adapter(**fields), tmp_path / "out", to="native", base=run.base)
    with pytest.raises(InputError, match="use_rslora='no' can't be expressed"):
        conversion.convert(adapter(use_rslora="no"), tmp_path / "out", to="native", base=run.base)


def test_a_base_is_not_overwritten(adapter, run):
    for source, to, base in ((adapter(), "native", run.base), (run.factors, "hf", None)):
        with pytest.raises(InputError, match="DST: .*base (is|holds) what is read"):
            conversion.convert(source, run.base, to=to, base=base, overwrite=True)


def test_adapter_of_another_model(adapter, run, tmp_path):
    other = dataclasses.replace(CONFIG, num_layers=2)
    checkpoints.save_params(tmp_path / "other", weights(other), other, None)
    with pytest.raises(InputError, match="isn't an adapter of .*other: that has no .*layers.2"):
        conversion.convert(adapter(), tmp_path / "out", to="native", base=str(tmp_path / "other"))
    with pytest.raises(InputError, match="lora_a is .* and not"):
        conversion.convert(adapter(r=2), tmp_path / "out", to="native", base=run.base)


@pytest.mark.parametrize(
    "source, options, message",
    [
        ("adapter", {"to": "native"}, "belongs to a base; give our checkpoint of it, --base"),
        ("adapter", {"to": "hf"}, "peft to hf: PEFT's adapters are converted from and to native"),
        ("base", {"to": "peft"}, "holds no low-rank factors but a whole network; use --to hf"),
        ("base", {"to": "hf", "quantized_base": True}, "--quantized-base: is for low-rank"),
        ("base", {"to": "hf", "base": "x"}, "--base: is for PEFT's adapters alone"),
        ("factors", {"to": "peft", "verify": True}, "--verify: is not for PEFT's adapters"),
        ("factors", {"to": "peft", "max_shard_size": "1GB"}, "--max-shard-size: is not for PEFT"),
        ("factors", {"to": "peft", "dtype": "bfloat16"}, "peft weights are always float32"),
    ],
)
def test_options_that_do_not_go_together(source, options, message, adapter, run, tmp_path):
    place = adapter() if source == "adapter" else getattr(run, source)
    with pytest.raises(InputError, match=message):
        conversion.convert(place, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_tied_embedding_and_biases_are_not_pefts(tmp_path):
    config = dataclasses.replace(CONFIG, tied_embeddings=True, attention_bias=True)
    tied = write(tmp_path / "tied", Lora(4, targets=("token_embedder",)), config)
    with pytest.raises(InputError, match="PEFT trains the lookup alone"):
        conversion.convert(tied.factors, tmp_path / "out", to="peft")
    biased = write(tmp_path / "biased", Lora(4, trained_parts=("bias",)), config)
    with pytest.raises(InputError, match="query/bias is trained in full, which PEFT can't"):
        conversion.convert(biased.factors, tmp_path / "out", to="peft")


def test_merging_without_the_base_is_one_line(tmp_path, capsys):
    run = write(tmp_path)
    (tmp_path / "base" / "checkpoint_0").rename(tmp_path / "elsewhere")
    assert cli.main(["convert", "--to", "hf", run.factors, str(tmp_path / "out")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "base/checkpoint_0, which is gone; put it back" in line
