import jax
import pytest
from macros import bindings

from commit_t5x.planning import counting, recipe

FILES = ("main_results/commit.gin", "models/debug.gin")


def step(*files, **macros):
    return recipe.Step(recipe.load((*FILES, *files), bindings(**macros)), jax.devices()[:1])


def test_work_is_that_of_learning_and_of_what_is_computed_anew():
    whole = step(REMAT_POLICY="'none'")
    flops = sum(counting.work(whole).flops.values())
    assert flops == pytest.approx(whole.model_flops(), rel=0.05)
    anew = sum(counting.work(step(REMAT_POLICY="'full'")).flops.values()) - flops
    assert 0.02 * flops < anew < flops / 3  # of layers; the vocabulary has most of the work here
    in_parts = counting.work(step(REMAT_POLICY="'none'", NUM_MICROBATCHES=4))
    assert sum(in_parts.flops.values()) == pytest.approx(flops)
    assert in_parts.num_bytes > counting.work(whole).num_bytes  # weights are read four times


def test_frozen_weights_have_no_gradients():
    whole, factors = (counting.work(step(*files)) for files in ((), ("lora.gin",)))
    assert sum(factors.flops.values()) < 0.8 * sum(whole.flops.values())
    assert set(whole.flops) == {"float32"}


def test_frozen_kernels_that_are_cast_are_counted():
    kept = {"REMAT_POLICY": "'none'", "DTYPE": "'float32'"}
    fp32 = counting.count(step("lora.gin", BASE_DTYPE="'float32'", **kept))
    int8 = counting.count(step("lora.gin", BASE_DTYPE="'int8'", **kept))
    cast = step("lora.gin", BASE_DTYPE="'int8'", **kept).state.frozen["layers"]["mlp"]
    size = sum(leaf.size for leaf in jax.tree.leaves(cast) if leaf.dtype == "int8")
    assert int8.copies - fp32.copies > 4 * size  # the MLP's, and attention's


def test_a_head_with_factors_is_merged_and_has_a_gradient():
    targets = {"LORA_TARGETS": ("query", "logits_dense")}
    plain, adapted = (counting.count(step("lora.gin", **more)) for more in ({}, targets))
    head = step().state.params["logits_dense"]["kernel"].size
    assert adapted.copies - plain.copies == pytest.approx(2 * 4 * head, rel=0.05)


def test_copies_have_gradients_of_their_type():
    fp32, half = (counting.count(step(DTYPE=dtype)) for dtype in ("'float32'", "'bfloat16'"))
    assert fp32.copies == 0.0 and fp32.gradients == fp32.params
    # The layers' kernels; embedding and head are used in fp32, or cast where they are used.
    assert half.gradients == half.params - half.copies
    in_parts = counting.count(step(DTYPE="'bfloat16'", NUM_MICROBATCHES=2))
    assert in_parts.gradients == half.gradients + half.params
    assert in_parts.activations == half.activations / 2
