"""With the TPU compiler: the plan of a small model, and of one that doesn't fit."""

import json

import pytest

from commit_t5x import cli
from commit_t5x.planning import compile

needs_compiler = pytest.mark.skipif(
    not compile.has_compiler(), reason="needs libtpu: pip install 'commit-t5x[plan]'"
)
DEBUG = ("--gin_file=main_results/commit.gin", "--gin_file=models/debug.gin")


@pytest.fixture
def plan(capsys):
    def run(*arguments):
        code = cli.main(["plan", "--json", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return run


@needs_compiler
def test_small_model_is_compiled_for_a_slice(plan):
    code, found = plan(*DEBUG, "--topology=v3-8", "--gin.NUM_PARTITIONS=4")
    assert code == 0
    assert found["compiled"] is True
    assert found["fits"] is True
    assert found["state"] < found["needed"] < found["capacity"]
    assert found["collectives"]["all-reduce"]["count"] > 2
    # Two layers, in a loop forward and in a loop backward.
    assert [turns for _, turns in found["loops"]].count(2) >= 2
    assert 0 < found["time"]["compute"] < 1
    assert 0 < found["time"]["utilisation"] < 1


@needs_compiler
def test_step_that_does_not_fit_is_a_verdict(plan):
    code, found = plan(
        "--gin_file=main_results/commit.gin", "--gin.NUM_PARTITIONS=1", "--topology=v3-8"
    )
    assert code == 0
    assert found["fits"] is False
    assert found["capacity"] == pytest.approx(15.48 * 2**30)
    assert found["needed"] > found["capacity"]
    flags = [" ".join(change["flags"]) for change in found["advice"]]
    assert "--gin.NUM_PARTITIONS=8" in flags


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("base", ["bfloat16", "int8"])
def test_estimate_from_shapes_is_near_the_compilers_figure(plan, base):
    run = ("--gin_file=main_results/commit.gin", "--gin_file=lora.gin", "--topology=v5e-1")
    options = (f"--gin.BASE_DTYPE='{base}'", "--gin.NUM_MICROBATCHES=8")
    compiled, counted = (plan(*run, *options, *how)[1] for how in ((), ("--shapes",)))
    assert compiled["compiled"] and not counted["compiled"]
    assert counted["needed"] == pytest.approx(compiled["needed"], rel=0.05)
    assert counted["time"]["total"] < compiled["time"]["total"]


def test_what_the_compiler_says_of_memory_is_read():
    message = (
        "RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required for HLO "
        "temporaries (17.10G) exceeds available HBM (15.48G)."
    )
    assert compile._sizes(message) == (17.10 * 2**30, 15.48 * 2**30)
    assert compile._sizes("RESOURCE_EXHAUSTED: something else") == (None, None)
