import gin
import jax
import pytest
from macros import bindings

from commit_t5x.data import row_features
from commit_t5x.data.feature_converters import DecoderFeatureConverter
from commit_t5x.errors import InputError
from commit_t5x.planning import counting, recipe

DEBUG = ("main_results/commit.gin", "models/debug.gin")


def step(*files, devices=8, **macros):
    # Eight times the same device: good enough to ask for shardings.
    return recipe.Step(recipe.load(files, bindings(**macros)), jax.devices()[:1] * devices)


def test_only_what_the_step_depends_on_is_asked_for():
    found = step("main_results/commit.gin")
    assert found.model.config.num_parameters == 6_738_415_616
    assert found.mesh == {"data": 1, "model": 8}
    assert found.batch_shape == (16, 512)
    # The paper's packing makes no segments.
    assert set(found.batch) == {
        "decoder_input_tokens",
        "decoder_target_tokens",
        "decoder_loss_weights",
    }


def test_overrides_reach_the_step():
    found = step(*DEBUG, BATCH_SIZE=24, SEQUENCE_LENGTH=64, NUM_PARTITIONS=2, NUM_MICROBATCHES=3)
    assert found.batch_shape == (24, 64)
    assert found.mesh == {"data": 4, "model": 2}
    assert found.trainer.num_microbatches == 3


def test_residual_stream_is_split():
    def activations(**macros):
        return counting.count(step(*DEBUG, NUM_PARTITIONS=8, **macros)).activations

    assert activations() < activations(ACTIVATION_PARTITIONING_DIMS=1)


def test_recommended_packing_has_segments():
    assert "decoder_segment_ids" in step("recipes/commit.gin", "models/debug.gin").batch


@pytest.mark.parametrize(
    "name", ["main_results/commit.gin", "recipes/align.gin", "hidden_states/l2.gin"]
)
def test_a_plan_without_data_is_that_of_the_whole_run(name, monkeypatch):
    files = (name, "models/debug.gin")
    light = step(*files, HIDDEN_STATE_END=2)
    assert isinstance(light.model.FEATURE_CONVERTER_CLS(), row_features.RowFeatures)
    monkeypatch.setattr(recipe, "_LIGHT", ())
    whole = step(*files, HIDDEN_STATE_END=2)
    assert isinstance(whole.model.FEATURE_CONVERTER_CLS(), DecoderFeatureConverter)
    assert light.batch == whole.batch and light.model_flops() == whole.model_flops()
    assert jax.tree.map(lambda x: (x.shape, x.dtype), light.state) == jax.tree.map(
        lambda x: (x.shape, x.dtype), whole.state
    )


def test_what_a_users_file_binds_of_the_data_counts(tmp_path):
    (tmp_path / "mine.gin").write_text(
        """
from __gin__ import dynamic_registration
from commit_t5x.data import feature_converters
include "recipes/commit.gin"
include "models/debug.gin"
feature_converters.DecoderFeatureConverter.packing = "stream"
"""
    )
    assert "decoder_segment_ids" not in step(str(tmp_path / "mine.gin")).batch
    (tmp_path / "class.gin").write_text(
        """
from __gin__ import dynamic_registration
from commit_t5x.data import feature_converters
from commit_t5x.engine import models
include "main_results/commit.gin"
include "models/debug.gin"
models.DecoderOnlyModel.feature_converter_cls = @feature_converters.DecoderFeatureConverter
"""
    )
    found = step(str(tmp_path / "class.gin"))
    assert isinstance(found.model.FEATURE_CONVERTER_CLS(), DecoderFeatureConverter)
    assert "decoder_segment_ids" not in found.batch
    with pytest.raises(InputError, match="feature_converter_cls: None makes no rows"):
        recipe.load(DEBUG, ["models.DecoderOnlyModel.feature_converter_cls = None"])
    # A flag may bind what a plan leaves out.
    assert recipe.load(DEBUG, ["infer_eval/DatasetConfig.split = 'test'"])


def test_flags_that_are_for_the_loop_alone_pass_without_a_word(capsys):
    step(*DEBUG, TRAIN_STEPS=2000, STATS_PERIOD=7, TASK_FAMILY="'alpaca'", RESPONSE_MASK="'exact'")
    assert capsys.readouterr().err == ""
    assert gin.query_parameter("%STATS_PERIOD") == 7


def test_model_flops_are_6_a_weight_and_token_and_attentions():
    # 41.4 TFLOP a core of a v3-8.
    assert step("main_results/commit.gin").model_flops() / 8 == pytest.approx(41.4e12, rel=1e-3)


def test_state_is_counted_by_device():
    # fp32 parameters and second moments, bfloat16 first moments: 10 bytes a parameter; each device
    # holds the scales of the norms whole.
    found = counting.count(step("main_results/commit.gin"))
    assert found.state == pytest.approx(10 * 6_738_415_616 / 8, rel=5e-4)
    assert found.gradients == found.params


def test_state_of_low_rank_factors_is_a_fraction():
    files = ("main_results/commit.gin", "lora.gin")
    whole = counting.count(step("main_results/commit.gin", devices=1, NUM_PARTITIONS=1))
    factors = counting.count(step(*files, devices=1))
    trained = 39_976_960  # rank 16: 16 x (in + out) of each linear layer
    assert factors.gradients == factors.copies == 2 * trained  # in bfloat16
    assert factors.optimizer == pytest.approx(6 * trained)
    assert factors.params == pytest.approx(2 * 6_738_415_616 + 4 * trained, rel=1e-3)
    assert factors.total < whole.total / 5
    quantized = counting.count(step(*files, devices=1, BASE_DTYPE="'int8'"))
    assert quantized.params == pytest.approx(6_738_415_616 + 4 * trained, rel=0.05)
    flops = step(*files, devices=1).model_flops()
    assert flops / step("main_results/commit.gin").model_flops() == pytest.approx(2 / 3, rel=0.02)


def test_activations_fall_with_recomputation_and_microbatches():
    def activations(**macros):
        return counting.count(step(*DEBUG, BATCH_SIZE=16, **macros)).activations

    full = activations(REMAT_POLICY="'full'")
    assert full < activations(REMAT_POLICY="'minimal'") < activations(REMAT_POLICY="'none'")
    assert activations(REMAT_POLICY="'full'", NUM_MICROBATCHES=2) < full


def test_rows_without_a_length_are_an_error():
    with pytest.raises(InputError, match="TASK_FEATURE_LENGTHS: None gives no lengths"):
        step(*DEBUG, TASK_FEATURE_LENGTHS=None)


def test_batches_and_meshes_that_do_not_fit_are_errors():
    with pytest.raises(InputError, match="NUM_PARTITIONS"):
        step(*DEBUG, NUM_PARTITIONS=3)
    with pytest.raises(InputError, match="BATCH_SIZE"):
        step(*DEBUG, BATCH_SIZE=12)


def test_files_that_do_not_train_are_errors():
    with pytest.raises(InputError, match="--gin_file: missing"):
        recipe.load([])
    with pytest.raises(InputError, match="MODEL: used by Recipe.model, but not set"):
        recipe.load(["network.gin", "models/debug.gin"])
