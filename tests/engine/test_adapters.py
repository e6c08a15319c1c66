import dataclasses
import functools
import json
import os
import pathlib
import shutil

import jax
import numpy as np
import pytest
import tiny
import trees
from flax import traverse_util
from small_llama import CONFIG, apply, init

from commit_t5x.conversion import native, native_names
from commit_t5x.engine import (
    adapters,
    checkpoints,
    merged_weights,
    train,
    train_state,
    trainer,
    utils,
)
from commit_t5x.errors import InputError
from commit_t5x.model import llama, lora, new_rows
from commit_t5x.model.lora import Lora

SMALL = dataclasses.replace(CONFIG, vocab_size=tiny.VOCAB_SIZE, num_layers=2)
OPTIONS = Lora(4, alpha=8, targets=("query", "wo"), base_dtype="int8", trained_parts=("scale",))
TARGETS = ("query", "wo", "token_embedder", "logits_dense")


@functools.cache
def model(options=OPTIONS, **network):
    return tiny.model(llama.Llama(SMALL, lora=options, **network), loss_chunk_length=5)


@functools.cache
def steps(options=OPTIONS, num_microbatches=1, **network):
    own, partitioner = model(options, **network), tiny.partitioner()
    initializer = train_state.TrainStateInitializer(own, partitioner)
    return initializer, trainer.Trainer(own, partitioner, initializer.train_state, num_microbatches)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model directory with weights for the small network."""
    folder = tmp_path_factory.mktemp("base")
    checkpoints.save_params(folder, jax.device_get(init(llama.Llama(SMALL))), SMALL, None)
    return folder


def fit(model_dir, base, total_steps=4, options=OPTIONS):
    def compiled(**given):
        del given  # compiled once for all tests
        return steps(options)[1]

    return train.train(
        model=model(options),
        train_dataset_cfg=tiny.dataset_config(),
        checkpoint_cfg=utils.CheckpointConfig(
            utils.SaveCheckpointConfig(period=2), utils.RestoreCheckpointConfig(str(base))
        ),
        partitioner=tiny.partitioner(),
        trainer_cls=compiled,
        model_dir=str(model_dir),
        total_steps=total_steps,
        summarize_config_fn=lambda model_dir, writer, step: None,
    )[1]


@pytest.fixture(scope="module")
def run(base, tmp_path_factory):
    """The directory of a run of four steps, and its last state."""
    folder = tmp_path_factory.mktemp("run")
    return folder, jax.device_get(fit(folder, base))


def rewrite(model_dir, **fields):
    """Changes fields of the record beside a run's checkpoints."""
    record = model_dir / "adapter.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | fields))


def leaves(tree):
    return traverse_util.flatten_dict(tree, sep="/")


@pytest.mark.parametrize(
    "options, network",
    [
        pytest.param(
            Lora(4, targets=TARGETS, dropout=0.1, base_dtype="bfloat16"),
            {"dtype": "bfloat16", "remat_policy": "full"},
            marks=pytest.mark.slow,
            id="bf16",
        ),
        pytest.param(OPTIONS, {}, id="int8"),
    ],
)
def test_only_what_is_trained_changes_and_has_moments(base, options, network):
    initializer, trainer_ = steps(options, 2, **network)
    given = adapters.load_params(base, initializer.weights)
    state = initializer.from_weights(given, jax.random.PRNGKey(0))
    frozen = jax.device_get(state.frozen)
    losses = []
    for _ in range(5):
        state, metrics = trainer_.train_step(state, tiny.batch())
        losses.append(float(metrics["loss"]))
    assert losses == sorted(losses, reverse=True)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(state.frozen), frozen)
    names = set(leaves(state.params))
    assert all(name.split("/")[-1] in (*lora.FACTORS, "scale") for name in names)
    moments = sum(leaf.size for leaf in jax.tree.leaves(state.param_states) if leaf.ndim)
    assert moments == 2 * sum(leaf.size for leaf in jax.tree.leaves(state.params))
    kinds = {name: str(leaf.dtype) for name, leaf in leaves(frozen).items()}
    kernels = {kind for name, kind in kinds.items() if "layers" in name and "kernel" in name[-6:]}
    assert kernels == {options.base_dtype}


def test_microbatches_give_the_whole_batchs_gradients(base):
    found = []
    for parts in (1, 2):
        initializer, trainer_ = steps(OPTIONS, parts)
        weights = adapters.load_params(base, initializer.weights)
        state = initializer.from_weights(weights, jax.random.PRNGKey(0))
        _, metrics = trainer_.train_step(state, tiny.batch())
        found.append([float(metrics[name]) for name in ("loss", "grad_norm")])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


def test_stopped_run_goes_on_with_the_same_bits(run, base, tmp_path):
    folder, state = run
    shutil.copytree(folder, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoint_4")
    again = fit(tmp_path / "run", base)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(again), state)


def test_checkpoint_holds_what_is_trained_and_names_its_base(run, base):
    folder, state = run
    saved = checkpoints.saved_shapes(folder / "checkpoint_4")["target"]
    assert set(leaves(saved)) == set(leaves(state.params))
    record = json.loads((folder / "adapter.json").read_text())
    assert record["base"] == str(base / "checkpoint_0")
    assert record["lora"]["rank"] == 4 and record["lora"]["trained_parts"] == ["scale"]


def test_weights_are_read_as_a_whole_network(run, base):
    folder, state = run
    read = native_names.load(native.read(folder))
    weights, own = leaves(trees.read(base)), leaves(state.params)
    for name, weight in leaves(read).items():
        module = name.rpartition("/")[0]
        expected = own.get(name, weights[name])
        if f"{module}/lora_a" in own:
            expected = expected + 2.0 * (own[f"{module}/lora_a"] @ own[f"{module}/lora_b"])
        np.testing.assert_allclose(weight, expected, rtol=0, atol=1e-6)
    # Merged into the base as training had it, they are the network that was trained.
    _, opened = adapters.open_params(folder, quantized_base=True)
    source = native_names.source("", opened, SMALL, read=merged_weights.Reader(""))
    kept = native_names.load(source)
    tokens = tiny.batch()["decoder_input_tokens"]
    trained = apply(model().module, state.variables, tokens)
    np.testing.assert_allclose(apply(llama.Llama(SMALL), kept, tokens), trained, atol=1e-5)
    assert np.abs(apply(llama.Llama(SMALL), read, tokens) - trained).max() > 1e-3


def test_network_with_factors_reads_them_unmerged(run):
    folder, state = run
    abstract = steps()[0].params
    found = adapters.load_params(folder, abstract, SMALL, OPTIONS)
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(found), state.variables)
    # What was trained in full would be rounded like the base.
    forgotten = dataclasses.replace(OPTIONS, trained_parts=())
    with pytest.raises(InputError, match=r"TRAINED_PARTS: \(\), and the run in .* \('scale',\)"):
        adapters.load_params(folder, abstract, SMALL, forgotten)


def test_last_layer_of_an_unrolled_network_is_trained_over_a_stacked_base(run, tmp_path):
    options = dataclasses.replace(OPTIONS, trained_parts=("layers_1",))
    own = model(options, scan_layers=False)
    initializer = train_state.TrainStateInitializer(own, tiny.partitioner())
    found = leaves(adapters.load_params(run[0], initializer.weights))
    base = leaves(llama.unstack_layers(native_names.load(native.read(run[0]))))
    first, last = "layers_0/mlp/wi_0/kernel", "layers_1/mlp/wi_0/kernel"
    np.testing.assert_array_equal(found[first], lora.quantize(base[first])[0])
    np.testing.assert_array_equal(found[last], base[last])

    trained = leaves(initializer.train_state.params)
    assert last in trained and first not in trained
    saved = {name: np.full(leaf.shape, 0.5, np.float32) for name, leaf in trained.items()}
    nested = traverse_util.unflatten_dict(saved, sep="/")
    checkpoints.save_params(tmp_path / "out", nested, SMALL, None)
    adapters.write(tmp_path / "out", adapters.describe(options, str(run[0])))
    read = leaves(llama.unstack_layers(native_names.load(native.read(tmp_path / "out"))))
    np.testing.assert_array_equal(read[first], base[first])
    np.testing.assert_array_equal(read[last], saved[last])
    wo = "layers_0/mlp/wo/kernel"
    np.testing.assert_allclose(read[wo], base[wo] + 2.0 * 4 * 0.25, atol=1e-6)


def test_factors_over_factors(run, base, tmp_path):
    folder, _ = run
    fit(tmp_path / "second", folder, total_steps=1)
    merged = native_names.load(native.read(folder))
    initializer = steps()[0]
    first = adapters.load_params(folder, initializer.weights)
    kernel = first["layers"]["mlp"]["wi_0"]["kernel"]
    expected, _ = lora.quantize(merged["layers"]["mlp"]["wi_0"]["kernel"])
    np.testing.assert_array_equal(kernel, expected)
    native_names.load(native.read(tmp_path / "second"))  # finds both bases


@pytest.fixture
def moved(run, base, tmp_path):
    """A copy of the run over a copy of the base: (run, base)."""
    copies = tmp_path / "run", tmp_path / "base"
    for source, copy in zip((run[0], base), copies, strict=True):
        shutil.copytree(source, copy)
    rewrite(copies[0], base=str(copies[1] / "checkpoint_0"))
    return copies


def test_base_that_is_gone_or_another_one(moved, base):
    folder, own = moved
    native.read(folder)  # a copy elsewhere is the same base
    weights = jax.device_get(init(llama.Llama(SMALL), seed=1))
    shutil.rmtree(own)
    with pytest.raises(InputError, match="base/checkpoint_0, which is gone; put it back, or"):
        native.read(folder)
    checkpoints.save_params(own, weights, SMALL, None)
    with pytest.raises(InputError, match="base/checkpoint_0, where other weights are now"):
        native.read(folder)
    with pytest.raises(InputError, match="has other weights now than .* put them back"):
        fit(folder, own, total_steps=6)
    with pytest.raises(InputError, match="isn't what .* was trained over, .*base/checkpoint_0; g"):
        checkpoints.save_params(folder.parent / "other", weights, SMALL, None)
        fit(folder, folder.parent / "other", total_steps=6)


def test_base_is_read_again_only_where_its_files_changed(moved, monkeypatch):
    folder, own = moved
    adapters.write(folder, adapters.describe(OPTIONS, str(own)))
    adapter = adapters.read(folder)
    with monkeypatch.context() as patch:
        patch.delattr(merged_weights, "fingerprint")
        assert adapters.describe(OPTIONS, str(own), folder) == adapter
        native.read(folder)
    [file, *_] = sorted(path for path in own.rglob("*") if path.is_file())
    os.utime(file, (0, 0))
    assert adapters.describe(OPTIONS, str(own), folder).files != adapter.files
    native.read(folder)
    rewrite(folder, fingerprint="0")
    with pytest.raises(InputError, match="where other weights are now"):
        native.read(folder)


def test_base_is_found_by_a_place_relative_to_its_record(moved, monkeypatch, tmp_path):
    folder, own = moved
    rewrite(folder, base=os.path.relpath(own / "checkpoint_0", folder))
    monkeypatch.chdir(tmp_path)
    native.read(folder)


def test_record_that_is_gone_or_of_other_factors(moved):
    folder, _ = moved
    rewrite(folder, lora=dataclasses.asdict(dataclasses.replace(OPTIONS, rank=5)))
    with pytest.raises(InputError, match="adapter.json: has a rank of 5, and the factors one of 4"):
        native.read(folder)
    (folder / "adapter.json").unlink()
    with pytest.raises(InputError, match="holds low-rank factors, and .*adapter.json, which says"):
        native.read(folder)
    with pytest.raises(InputError, match="holds low-rank factors, and .*adapter.json, which says"):
        adapters.load_params(folder, steps(Lora())[0].params, SMALL)


@pytest.mark.parametrize(
    "options, message",
    [
        (dataclasses.replace(OPTIONS, rank=2), "LORA_RANK: 2, and the run in .* has 4"),
        (dataclasses.replace(OPTIONS, base_dtype="float32"), "BASE_DTYPE: 'float32', and the run"),
        (Lora(), "holds a run that trains low-rank factors, not all weights; add --gin_file=lora"),
    ],
)
def test_run_does_not_go_on_with_other_options(run, base, options, message):
    with pytest.raises(InputError, match=message):
        adapters.check(run[0], adapters.describe(options, str(base)))


def test_a_run_of_all_weights_leaves_no_record_of_factors(base, tmp_path):
    adapters.write(tmp_path, adapters.describe(OPTIONS, str(base)))  # it came to no checkpoint
    adapters.write(tmp_path, None)
    assert adapters.read(tmp_path) is None
    adapters.write(tmp_path, None)


def test_bases_of_bases(run, base, tmp_path):
    above = adapters.describe(OPTIONS, str(run[0]))
    found = [pathlib.Path(place).parent for place in adapters.bases(above)]
    assert found == [run[0], base]
    assert adapters.bases(None) == []


def test_order_of_targets_means_nothing(run, base):
    options = dataclasses.replace(OPTIONS, targets=("wo", "query"))
    adapters.check(run[0], adapters.describe(options, str(base)))


def test_factors_need_a_base(base, tmp_path):
    with pytest.raises(InputError, match="INITIAL_CHECKPOINT_PATH: low-rank factors need weights"):
        adapters.describe(OPTIONS, None)
    with pytest.raises(InputError, match="trains all weights, not low-rank factors; leave LORA"):
        adapters.check(base, adapters.describe(OPTIONS, str(base)))
    with pytest.raises(InputError, match="holds no low-rank factors; leave lora.gin out"):
        adapters.load_params(base, steps()[0].params, SMALL, OPTIONS)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda fields: fields.pop("lora"), "'lora'"),
        (lambda fields: fields["lora"].update(rank="4"), "rank: '4' doesn't fit; it takes"),
        (lambda fields: fields["lora"].update(base_dtype="int4"), "base_dtype: 'int4'"),
    ],
)
def test_broken_record(change, message, moved):
    folder, _ = moved
    fields = json.loads((folder / "adapter.json").read_text())
    change(fields)
    (folder / "adapter.json").write_text(json.dumps(fields))
    with pytest.raises(InputError, match=f"adapter.json: not what training writes .{message}"):
        native.read(folder)


def test_a_base_that_leads_back(moved, tmp_path):
    folder, _ = moved
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    for model_dir, base in ((folder, other), (other, folder)):
        rewrite(model_dir, base=str(base))
    with pytest.raises(InputError, match=f"{folder}/adapter.json: its base leads back to itself"):
        native.read(folder)


def test_new_rows_that_stay_as_they_began_are_told(base, tmp_path, caplog):
    extended = tmp_path / "base"
    shutil.copytree(base, extended)

    def told(**options):
        caplog.clear()
        adapters.describe(Lora(4, **options), extended, tmp_path / "run")
        return caplog.text

    assert not told()
    (extended / new_rows.FILE).write_text("{}")
    told_parts = """TRAINED_PARTS="('token_embedder', 'logits_dense')" trains them"""
    assert "rows of token_embedder and logits_dense stay as they began" in told()
    assert told_parts in told()
    assert told_parts in told(trained_parts=("token_embedder",))
    assert "rows of logits_dense stay" in told(trained_parts=("token_embedder",))
    assert "rows of token_embedder stay" in told(targets=("query", "logits_dense"))
    assert not told(trained_parts=("token_embedder", "logits_dense"))
    assert not told(trained_parts=("embedding", "kernel"))
    caplog.clear()
    adapters.describe(Lora(4), extended)  # of an adapter that somebody trained
    assert not caplog.text
