"""T5X's run files: the macros of the native ones, and what T5X is given."""

import re
import sys

import gin
import pytest
from macros import REQUIRED, bindings

from commit_t5x import resources

ENGINES = resources.path("gin") / "engines"


def macros(engine, name):
    """The macros that a run file and the files of its engine define."""
    files = [f"runs/{name}.gin", "model.gin", *(["step.gin"] if name == "finetune" else [])]
    found = [ENGINES / engine / file for file in files]
    text = "".join(path.read_text() for path in found if path.is_file())
    return set(re.findall(r"^([A-Z][A-Z_]*) *=", text, re.M))


@pytest.mark.parametrize("name", ["finetune", "eval", "infer"])
def test_both_engines_take_the_same_macros(name):
    assert macros("native", name) <= macros("t5x", name)


def test_only_the_engines_gin_files_know_their_engine():
    for path in resources.path("gin").rglob("*.gin"):
        text = path.read_text()
        assert path.is_relative_to(ENGINES / "t5x") or not re.search(r"^from t5x|t5x_", text, re.M)
        ours = path.is_relative_to(ENGINES / "native") or path.is_relative_to(ENGINES / "plan")
        assert ours or "commit_t5x.engine" not in text
        assert path.is_relative_to(ENGINES) or "engines/" not in text


@pytest.fixture
def built(monkeypatch):
    """Parses a table's file with `macros` as T5X does; returns what a parameter is given."""
    from needs_t5x import train  # here: the tests above do without

    # The run file names T5X's binary, which is the main module when it runs.
    monkeypatch.setattr(sys.modules["__main__"], "train", train.train, raising=False)

    def build(parameter, **changes):
        gin.clear_config()
        gin.config._LOCATION_PREFIXES[:] = ["", str(ENGINES / "t5x"), str(ENGINES.parent)]
        gin.parse_config_files_and_bindings(
            ["main_results/commit.gin", "models/debug.gin"],
            bindings(**{**REQUIRED, **changes}),
        )
        return gin.get_bindings("train", resolve_references=True)[parameter]

    yield build
    gin.clear_config()


@pytest.mark.t5x
@pytest.mark.parametrize(
    "parameter, override, value, reached",
    [
        ("model", "DROPOUT_RATE", "0.5", lambda m: m.module.residual_dropout_rate == 0.5),
        ("model", "DTYPE", "'bfloat16'", lambda m: m.module.dtype == "bfloat16"),
        ("model", "Z_LOSS", "1e-4", lambda m: m._engine_model.z_loss == 1e-4),
        ("model", "LOSS_CHUNK_LENGTH", "64", lambda m: m._engine_model.loss_chunk_length == 64),
        (
            "model",
            "LEARNING_RATE",
            "1e-3",
            lambda m: (
                float(m.optimizer_def.optax_optimizer.learning_rate(36)) == pytest.approx(1e-3)
            ),
        ),
        ("partitioner", "NUM_PARTITIONS", "1", lambda p: p.mesh.shape["model"] == 1),
        ("train_dataset_cfg", "LANGUAGE", "'el'", lambda c: c.mixture_or_task_name[-2:] == "el"),
        ("train_dataset_cfg", "BATCH_SIZE", "24", lambda c: c.batch_size == 24),
        (
            "train_dataset_cfg",
            "SEQUENCE_LENGTH",
            "64",
            lambda c: c.task_feature_lengths["targets"] == 64,
        ),
        ("train_dataset_cfg", "RANDOM_SEED", "7", lambda c: c.seed == 7),
        ("random_seed", "RANDOM_SEED", "7", lambda seed: seed == 7),
        ("train_eval_dataset_cfg", "BATCH_SIZE", "8", lambda c: c is None),
        ("infer_eval_dataset_cfg", "BATCH_SIZE", "8", lambda c: c is None),
        ("checkpoint_cfg", "CHECKPOINT_PERIOD", "None", lambda c: c.save.period == 1210),
        ("checkpoint_cfg", "CHECKPOINTS_TO_KEEP", "2", lambda c: c.save.keep == 2),
        ("checkpoint_cfg", "MODEL_DIR", "'out'", lambda c: c.restore is None),
        ("total_steps", "TRAIN_STEPS", "99", lambda steps: steps == 99),
    ],
)
def test_overrides_reach_the_objects(parameter, override, value, reached, built):
    assert reached(built(parameter, **{override: value}))
