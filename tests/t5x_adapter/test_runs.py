"""T5X itself trains a tiny network: against the native engine, and from its checkpoints."""

import dataclasses
import functools
import json
import shutil
import sys

import byte_level
import jax
import numpy as np
import optax
import pytest
import seqio
import tiny
from flax import traverse_util
from jax.sharding import AbstractMesh, PartitionSpec
from needs_t5x import parity
from small_llama import CONFIG, init
from t5x import train as t5x_train
from t5x import utils as t5x_utils

from commit_t5x import resources
from commit_t5x.engine import adapters, checkpoints, train, train_state, trainer, utils
from commit_t5x.errors import InputError
from commit_t5x.model import llama, optim
from commit_t5x.model.lora import Lora
from commit_t5x.t5x_adapter import adapter, data, mesh, states
from commit_t5x.vocabularies import configured
from commit_t5x.vocabularies.seqio_vocabulary import TokenizerVocabulary

pytestmark = pytest.mark.t5x
STEPS = 20
NETWORK = tiny.TinyNetwork()
SCHEDULE = optim.warmup_cosine(peak=1e-2, end=1e-4, warmup_steps=4, total_steps=STEPS)


def adamw():
    return optim.adamw(SCHEDULE)


def native_run(
    model_dir, steps=STEPS, weights=None, network=NETWORK, period=8, parts=1, optimizer=None
):
    train.train(
        model=tiny.model(network, optimizer_def=optimizer or adamw()),
        train_dataset_cfg=tiny.dataset_config(),
        train_eval_dataset_cfg=tiny.dataset_config(split="validation", shuffle=False),
        eval_period=STEPS,
        eval_steps=None,
        checkpoint_cfg=utils.CheckpointConfig(
            utils.SaveCheckpointConfig(period=period), utils.RestoreCheckpointConfig(weights)
        ),
        partitioner=tiny.partitioner(),
        trainer_cls=functools.partial(trainer.Trainer, num_microbatches=parts),
        model_dir=str(model_dir),
        total_steps=steps,
        random_seed=3,
        summarize_config_fn=lambda *_: None,
    )


def t5x_config(**options):
    native = tiny.dataset_config(**options)
    return t5x_utils.DatasetConfig(**{
        name: getattr(native, name)
        for name in (
            "mixture_or_task_name", "task_feature_lengths", "split", "batch_size", "shuffle",
            "seed", "use_cached", "pack", "trim_output_features", "module",
        )
    })  # fmt: skip


def t5x_run(
    model_dir, steps=STEPS, weights=None, network=NETWORK, parts=1, optimizer=None, **train_data
):
    native = tiny.model(network)
    model = adapter.DecoderOnlyModel(
        network,
        tiny.VOCABULARY,
        optimizer or adamw(),
        feature_converter_cls=native.FEATURE_CONVERTER_CLS,
    )
    _, state = t5x_train.train(
        model=model,
        train_dataset_cfg=data.dataset(t5x_config(**train_data)),
        train_eval_dataset_cfg=data.dataset(t5x_config(split="validation", shuffle=False)),
        infer_eval_dataset_cfg=data.questions(t5x_config(task=None)),
        get_dataset_fn=functools.partial(data.train_batches, model_dir=str(model_dir)),
        train_eval_get_dataset_fn=data.eval_batches,
        checkpoint_cfg=t5x_utils.CheckpointConfig(
            save=t5x_utils.SaveCheckpointConfig(period=4),
            restore=adapter.initial_weights(weights, network),
        ),
        partitioner=mesh.PjitPartitioner(num_partitions=1),
        trainer_cls=functools.partial(adapter.Trainer, parts),
        train_state_initializer_cls=functools.partial(
            states.TrainStateInitializer, model_dir=str(model_dir), path=weights
        ),
        model_dir=str(model_dir),
        total_steps=steps,
        eval_steps=None,
        eval_period=STEPS,
        stats_period=1,
        random_seed=3,
        summarize_config_fn=functools.partial(
            adapter.summarize_config, module=network, vocabulary=tiny.VOCABULARY
        ),
    )
    return jax.device_get(state.state_dict())


def abstract_params(network=NETWORK):
    model = tiny.model(network)
    return train_state.TrainStateInitializer(model, tiny.partitioner()).params


def weights_of(state):
    return traverse_util.flatten_dict(state["target"], sep="/")


def moments_of(state):
    return traverse_util.flatten_dict(state["state"]["param_states"], sep="/")


def assert_same(left, right, check=np.testing.assert_array_equal):
    assert set(left) == set(right)
    for name in left:
        check(left[name], right[name], err_msg=name)


close = functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-6)


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    model_dir = tmp_path_factory.mktemp("native")
    native_run(model_dir)
    return model_dir


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """T5X's model directory and final state."""
    model_dir = tmp_path_factory.mktemp("t5x")
    return model_dir, t5x_run(model_dir)


def test_losses_agree(native, run):
    model_dir, _ = run
    rows = parity.compare(parity.native_losses(native), parity.t5x_losses(model_dir))
    assert len(rows) == STEPS
    assert max(row["difference"] for row in rows) < 1e-5


def test_a_task_itself_from_a_module(run, tmp_path, monkeypatch):
    (tmp_path / "late_tasks.py").write_text(
        "import seqio, tiny\n"
        "known = seqio.TaskRegistry.get('tiny_train')\n"
        "late = seqio.Task('late', known.source, known.output_features, known.preprocessors)\n"
        "seqio.MixtureRegistry.add('late_mix', [(late, 1)])\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for registry in (seqio.MixtureRegistry, seqio.TaskRegistry):
        monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    expected = parity.t5x_losses(run[0])
    t5x_run(tmp_path / "named", 3, task="late_mix", module="late_tasks")
    late = sys.modules["late_tasks"].late
    t5x_run(tmp_path / "itself", 3, task=late)
    for name in ("named", "itself"):
        assert parity.t5x_losses(tmp_path / name) == expected[:3]
    other = seqio.Task("late", late.source, late.output_features, late.preprocessors)
    with pytest.raises(InputError, match="late: the name of another task, too"):
        data.dataset(t5x_config(task=other))


def test_evaluations_agree(native, run):
    model_dir, _ = run
    lines = map(json.loads, (native / "metrics.jsonl").read_text().splitlines())
    (expected,) = [line for line in lines if line["name"] == "training_eval/tiny_train"]
    folder = model_dir / "training_eval" / "tiny_train"
    for name in ("loss", "accuracy"):
        assert parity.scalars(folder, name) == {STEPS: pytest.approx(expected[name], rel=1e-5)}


def test_learning_rates_are_the_optimizers(run):
    model_dir, _ = run
    rates = parity.scalars(model_dir / "train", "learning_rate")
    expected = {step: float(SCHEDULE(step - 1)) for step in range(1, STEPS + 1)}
    assert rates == pytest.approx(expected)


def test_native_engine_reads_t5x_checkpoints(run, tmp_path):
    model_dir, state = run
    params = checkpoints.load_params(model_dir, abstract_params(), NETWORK.config)
    assert_same(traverse_util.flatten_dict(jax.device_get(params), sep="/"), weights_of(state))
    native_run(tmp_path / "next", steps=1, weights=str(model_dir))
    assert checkpoints.all_steps(tmp_path / "next") == [1]


def test_t5x_starts_from_native_weights(native, tmp_path):
    for path in (native, native / "checkpoint_20"):
        state = t5x_run(tmp_path / path.name, steps=0, weights=str(path))
        params = checkpoints.load_params(native, abstract_params(), NETWORK.config)
        assert_same(weights_of(state), traverse_util.flatten_dict(jax.device_get(params), sep="/"))
        assert state["state"]["step"] == 0
        assert not any(np.any(moment) for moment in moments_of(state).values())


def test_t5x_goes_on_with_a_native_run(native, run, tmp_path):
    shutil.copytree(native / "checkpoint_8", tmp_path / "checkpoint_8")
    _, expected = run
    state = t5x_run(tmp_path)
    assert state["state"]["step"] == STEPS
    assert_same(weights_of(state), weights_of(expected), close)
    assert_same(moments_of(state), moments_of(expected), close)


def test_a_run_of_another_network_or_optimizer_does_not_go_on(native, tmp_path):
    for name in ("checkpoint_8", "model_config.json"):
        copy = shutil.copytree if name == "checkpoint_8" else shutil.copy
        copy(native / name, tmp_path / name)
    other = tiny.TinyNetwork(tiny.TinyConfig(norm_eps=1e-5))
    with pytest.raises(InputError, match="norm_eps is 1e-06 in the checkpoint and 1e-05"):
        t5x_run(tmp_path, network=other)
    wider = tiny.TinyNetwork(tiny.TinyConfig(mlp_dim=8))
    with pytest.raises(InputError, match=r"parameter w.* is \(.*16.*in the checkpoint and"):
        t5x_run(tmp_path, network=wider)
    with pytest.raises(InputError, match="optimizer state .*; resume with the optimizer of the"):
        t5x_run(tmp_path, optimizer=optax.sgd(0.1))


def test_native_engine_does_not_resume_what_t5x_began(run, tmp_path):
    model_dir, _ = run
    shutil.copytree(model_dir / "checkpoint_20", tmp_path / "checkpoint_20")
    with pytest.raises(InputError, match="checkpoint_20: .*choose another"):
        native_run(tmp_path, steps=STEPS + 1)


def test_t5x_resumes_at_the_next_batch(run, tmp_path):
    _, expected = run
    t5x_run(tmp_path, steps=8)
    with pytest.raises(InputError, match="other data: DatasetConfig.seed was 7, is 8; go back"):
        t5x_run(tmp_path, seed=8)
    state = t5x_run(tmp_path)
    assert_same(weights_of(state), weights_of(expected))
    assert_same(moments_of(state), moments_of(expected))


def test_a_run_in_the_cloud_keeps_its_data(tmp_path):
    def read(**train_data):
        cfg = data.dataset(t5x_config(**train_data))
        converter = tiny.model(NETWORK).FEATURE_CONVERTER_CLS
        data.train_batches(cfg, 0, 1, converter, model_dir=f"file://{tmp_path}")

    read()
    (tmp_path / "checkpoint_4").mkdir()
    read()
    with pytest.raises(
        InputError, match=f"file://{tmp_path}: was trained on other data: .*shuffle"
    ):
        read(shuffle=False)


def test_weights_of_another_network(native, tmp_path):
    other = tiny.TinyNetwork(tiny.TinyConfig(norm_eps=1e-5))
    with pytest.raises(InputError, match="norm_eps is 1e-06 in the checkpoint and 1e-05"):
        adapter.checkpoint(str(native), other)
    with pytest.raises(InputError, match="no such checkpoint"):
        adapter.checkpoint(str(tmp_path / "none"), NETWORK)


def test_weights_of_another_tokenizer(tmp_path):
    (tmp_path / "checkpoint_1" / "state").mkdir(parents=True)
    byte_level.smollm(tmp_path)
    other = TokenizerVocabulary(configured.load(resources.path("samples") / "tokenizer.model"))
    for make in (adapter.checkpoint, adapter.initial_weights):
        with pytest.raises(InputError, match="TOKENIZER: .* gives texts other ids than"):
            make(str(tmp_path), NETWORK, other)


def test_adafactor_trains_as_in_the_native_engine(tmp_path):
    optimizer = optim.adafactor(3e-3)
    native_run(tmp_path / "native", 4, optimizer=optimizer)
    t5x_run(tmp_path / "t5x", 4, optimizer=optimizer)
    losses = parity.native_losses(tmp_path / "native"), parity.t5x_losses(tmp_path / "t5x")
    rows = parity.compare(*losses)
    assert len(rows) == 4 and max(row["difference"] for row in rows) < 1e-6


SMALL = dataclasses.replace(CONFIG, vocab_size=tiny.VOCAB_SIZE, num_layers=2)
LORA = Lora(4, alpha=8, targets=("query", "wo"), base_dtype="int8", trained_parts=("scale",))
ADAPTED = llama.Llama(SMALL, lora=LORA)


@pytest.fixture(scope="module")
def factors(tmp_path_factory):
    """A folder with a base, a run of each engine over it, and the last state of T5X's."""
    folder = tmp_path_factory.mktemp("factors")
    weights = jax.device_get(init(llama.Llama(SMALL)))
    checkpoints.save_params(folder / "base", weights, SMALL, None)
    options = {"weights": str(folder / "base"), "network": ADAPTED, "parts": 2}
    native_run(folder / "native", 8, period=4, **options)
    return folder, options, t5x_run(folder / "t5x", 8, **options)


def test_factors_train_as_in_the_native_engine(factors):
    folder, _, state = factors
    native, other = folder / "native", folder / "t5x"
    rows = parity.compare(parity.native_losses(native), parity.t5x_losses(other))
    assert len(rows) == 8
    assert max(row["difference"] for row in rows) < 1e-6
    shapes = [checkpoints.saved_shapes(path / "checkpoint_8")["target"] for path in (native, other)]
    names = [set(traverse_util.flatten_dict(tree, sep="/")) for tree in shapes]
    assert names[0] == names[1] == set(weights_of(state))  # the base isn't in them
    assert adapters.read(native) == adapters.read(other)


def test_factors_are_resumed_over_their_base(factors, tmp_path):
    folder, options, expected = factors
    (tmp_path / "run").mkdir()
    for name in ("checkpoint_4", "adapter.json"):
        copy = shutil.copytree if name == "checkpoint_4" else shutil.copy
        copy(folder / "native" / name, tmp_path / "run" / name)
    state = t5x_run(tmp_path / "run", 8, **options)
    # They begin at 0, and Adam makes as large a step of a gradient near 0, where rounding shows.
    assert_same(weights_of(state), weights_of(expected), functools.partial(close, atol=1e-4))
    with pytest.raises(InputError, match="holds a run that trains low-rank factors, not all"):
        t5x_run(tmp_path / "run", 12)
    other = llama.Llama(SMALL, lora=dataclasses.replace(LORA, rank=2))
    with pytest.raises(InputError, match="LORA_RANK: 2, and the run in .* has 4"):
        t5x_run(tmp_path / "run", 12, weights=options["weights"], network=other)


def test_factors_need_a_base_at_hand():
    model = adapter.DecoderOnlyModel(ADAPTED, tiny.VOCABULARY, adamw())
    make = functools.partial(
        states.TrainStateInitializer,
        *(model.optimizer_def, model.get_initial_variables, {}, mesh.PjitPartitioner(1)),
    )
    # Asked before the data are built, and again where weights are.
    for ask in (adapter.initial_weights, lambda path, _: make(model_dir="run", path=path)):
        with pytest.raises(InputError, match="INITIAL_CHECKPOINT_PATH: low-rank factors need"):
            ask(None, ADAPTED)
        with pytest.raises(InputError, match="gs://bucket/base: not a local path"):
            ask("gs://bucket/base", ADAPTED)


@pytest.mark.parametrize("network", [ADAPTED, llama.Llama(SMALL)], ids=["beside", "merged"])
def test_factors_answer_over_their_base(factors, network):
    folder, _, _ = factors
    model, partitioner = adapter.DecoderOnlyModel(network, tiny.VOCABULARY), mesh.PjitPartitioner(1)
    cfg = adapter.checkpoint(str(folder / "t5x"), network)
    initializer = t5x_utils.TrainStateInitializer(
        None, model.get_initial_variables, {}, partitioner
    )
    state, _ = t5x_utils.create_checkpoint_manager_and_restore(
        initializer, partitioner, cfg, cfg.path, None, use_orbax=True
    )
    assert state.step == 8
    scores = model.score_batch(state.params, tiny.batch(), flax_mutables=state.flax_mutables)
    params = adapters.load_params(folder / "native", abstract_params(network), SMALL, network.lora)
    np.testing.assert_allclose(scores, model.score_batch(params, tiny.batch()), rtol=1e-5)


@pytest.mark.parametrize("devices, axis", [(8, "model"), (3, None)])
def test_axes_that_devices_cannot_share_stay_whole(devices, axis):
    partitioner = mesh.PjitPartitioner(num_partitions=1)
    partitioner.__dict__["mesh"] = AbstractMesh((1, devices), ("data", "model"))  # cached
    model = adapter.DecoderOnlyModel(NETWORK, tiny.VOCABULARY, adamw())
    state = t5x_utils.TrainStateInitializer(
        model.optimizer_def, model.get_initial_variables, {}, partitioner
    ).train_state_axes.state_dict()
    assert weights_of(state)["wi"] == PartitionSpec(None, axis)  # [8, 16]
    assert moments_of(state)["1/0/mu/head"] == PartitionSpec(None, axis)  # [8, 32]
    assert moments_of(state)["1/0/count"] is None
