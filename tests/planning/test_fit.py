"""The search on a network of debug size, by shapes; rows make up for its size."""

import dataclasses
import functools

import jax
import pytest
from macros import bindings

from commit_t5x.errors import InputError
from commit_t5x.planning import changes, fit, plan, recipe, targets

FILES = ("main_results/commit.gin", "models/debug.gin")
ROOM = targets.parse("rtx4090")
LITTLE = targets.parse("gpu:1GiB")


def loader(*files, **macros):
    return functools.partial(recipe.load, (*FILES, *files), bindings(**macros))


@pytest.mark.parametrize(
    "base, less", [("float32", ["bfloat16", "int8"]), ("bfloat16", ["int8"]), ("int8", [])]
)
def test_factors_have_smaller_bases_to_go_to(base, less):
    run = loader(LORA_RANK=4, BASE_DTYPE=f"'{base}'")()
    assert [one.macros.get("BASE_DTYPE") for one in fit._tiers(run)] == [
        None,
        *(f"'{name}'" for name in less),
    ]


def test_pairs_of_hidden_states_are_not_parted():
    run = loader(HIDDEN_STATE_DISTANCE="'l2'", HIDDEN_STATE_END=2)
    step = recipe.Step(run(), jax.devices()[:1])
    assert fit.microbatches(step) == [1]


@pytest.mark.slow
def test_with_room_nothing_is_computed_anew_or_in_parts():
    best, *others = fit.Search(loader(BATCH_SIZE=8, NUM_MICROBATCHES=4), False).on(ROOM)
    assert best.change.flags == [
        "--gin.DTYPE=\"'bfloat16'\"",
        "--gin.REMAT_POLICY=\"'none'\"",
        "--gin.NUM_MICROBATCHES=1",
    ]
    assert best.plan.fits
    times = [found.plan.time.total for found in (best, *others)]
    assert times == sorted(times) and len(times) == 6


def test_with_little_the_batch_is_cut_and_weights_are_still_trained():
    run = {"BATCH_SIZE": 256, "DTYPE": "'bfloat16'"}
    best = fit.Search(loader(**run, NUM_PARTITIONS=8), False).on(LITTLE)[0]
    assert best.plan.fits and best.plan.options["lora_rank"] is None
    assert best.change.macros["NUM_PARTITIONS"] == "None"  # of a slice; here is one device
    parts = int(best.change.macros["NUM_MICROBATCHES"])
    fewer = best.change | recipe.Change({"NUM_MICROBATCHES": str(parts // 2)})
    needed = plan.make_plan(loader(**run)(change=fewer), LITTLE, False).needed
    assert best.plan.needed < 0.9 * LITTLE.capacity < needed  # a tenth is left


@pytest.mark.slow
def test_what_the_compiler_refuses_is_tried_in_more_parts(monkeypatch):
    by_shapes, tried = plan.make_plan, []

    def stern(run, target, use_compiler):
        assert use_compiler
        made = by_shapes(run, target, use_compiler=False)
        tried.append((made.options["remat_policy"], made.options["num_microbatches"]))
        return made if tried[-1][1] == 2 else dataclasses.replace(made, fits=False)

    monkeypatch.setattr(plan, "make_plan", stern)
    chip = targets.parse("v5e-1")
    run = loader(BATCH_SIZE=2, DTYPE="'bfloat16'", SEQUENCE_LENGTH=32, NUM_PARTITIONS=1)
    best, *others = fit.Search(run, use_compiler=True).on(chip)
    assert tried[0][1] == 1 and tried[-1] == (best.plan.options["remat_policy"], 2)
    assert len(tried) == len(set(tried)) > 1  # nothing is compiled twice
    assert others


def test_factors_are_trained_where_all_weights_do_not_fit():
    # 267 million parameters: 2.5 GiB of them and their moments.
    sizes = {"EMBED_DIM": 1024, "MLP_DIM": 4096, "NUM_LAYERS": 12, "NUM_HEADS": 16, "HEAD_DIM": 64}
    load = loader(BATCH_SIZE=1, SEQUENCE_LENGTH=64, **sizes)
    best = fit.Search(load, False).on(targets.parse("gpu:1.5GiB"))[0]
    assert best.change.files == ("lora.gin",)
    assert best.plan.options["base_dtype"] == "bfloat16"
    with pytest.raises(InputError, match="nothing fits gpu:1GiB.*lora.gin.*nearest, with .* GiB"):
        fit.Search(loader(BATCH_SIZE=1, **sizes, VOCAB_SIZE=400_000), False).on(LITTLE)


@pytest.mark.slow
def test_advice_is_tried():
    load = loader(BATCH_SIZE=256, DTYPE="'bfloat16'", REMAT_POLICY="'full'")
    found = plan.make_plan(load(), LITTLE, False)
    assert changes.wanted(found) and not found.fits
    tried = changes.advise(load, found, LITTLE)
    assert [one.fits for one in tried] == sorted((one.fits for one in tried), reverse=True)
    first = tried[0]
    assert first.fits and set(first.change.macros) == {"NUM_MICROBATCHES"}
    made = plan.make_plan(load(change=first.change), LITTLE, False)
    assert made.needed == pytest.approx(first.needed) and made.fits
    flags = " ".join(flag for one in tried for flag in one.change.flags)
    assert "SEQUENCE_LENGTH=256" in flags and "DTYPE=" not in flags.replace("BASE_DTYPE=", "")
