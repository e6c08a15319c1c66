"""`commit-t5x plan`, by shapes alone; what needs the TPU compiler is in test_compile.py."""

import json

import pytest

from commit_t5x import cli

DEBUG = ("--gin_file=main_results/commit.gin", "--gin_file=models/debug.gin", "--shapes")


@pytest.fixture
def plan(capsys):
    def run(*arguments):
        code = cli.main(["plan", *arguments])
        return code, *capsys.readouterr()

    return run


def test_small_model_fits(plan):
    code, out, _ = plan(*DEBUG, "--topology=v3-8", "--gin.NUM_PARTITIONS=4")
    assert code == 0
    assert "v3-8 (4 chips, 8 devices), mesh data x model 2x4" in out
    assert "8,520,320 parameters, batch 16 x 512" in out
    assert "\nFits: " in out


def test_large_model_does_not_and_the_remedies_are_those_left(plan):
    code, out, _ = plan(
        "--gin_file=main_results/commit.gin",
        "--gin_file=models/65b.gin",
        "--gin.DTYPE='bfloat16'",
        "--topology=v3-8",
        "--shapes",
    )
    assert code == 0
    verdict, _, changes = out.partition("\nDoes not fit: ")[2].partition("What to change")
    assert "of 15.48 GiB a device" in verdict
    assert "--gin_file=adafactor.gin: " in changes
    assert "--topology=v3-128" in changes
    assert "DTYPE=\"'bfloat16'\"" not in changes


def test_json_is_complete(plan):
    code, out, _ = plan(*DEBUG, "--topology=v5e-8", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["fits"] is True
    assert found["compiled"] is False
    assert found["options"]["mesh"] == {"data": 8, "model": 1}
    assert 0 < found["state"] < found["needed"] < found["capacity"]


@pytest.mark.slow
def test_sweep_tries_all_combinations_and_leaves_out_what_makes_no_sense(plan):
    code, out, err = plan(
        *DEBUG, "--topology=v3-8", "--sweep", "NUM_PARTITIONS=1,8", "--sweep", "BATCH_SIZE=4,16"
    )
    assert code == 0
    rows = [line for line in out.splitlines() if line.rstrip(" |").endswith("fits")]
    assert len(rows) == 3
    assert "left out: v3-8 NUM_PARTITIONS=1 BATCH_SIZE=4: " in err
    assert "4 of 4, v3-8 NUM_PARTITIONS=8 BATCH_SIZE=16: Fits: " in err


def test_gpu_is_planned_by_shapes(plan):
    code, out, err = plan(*DEBUG[:2], "--topology=rtx4090x2")
    assert code == 0 and not err
    assert "rtx4090x2 (2 GPUs), mesh data x model 2x1" in out
    assert "of 22.08 GiB a device remain, by shapes alone: an estimate." in out
    assert "What " not in out and "XLA_" not in out


@pytest.mark.slow
def test_fastest_setting_that_fits_is_flags_and_a_table(plan):
    code, out, _ = plan(*DEBUG, "--topology=t4", "--gin.DTYPE='bfloat16'", "--fit")
    assert code == 0
    flags = out.splitlines()[1].split()
    assert flags == ["--gin.REMAT_POLICY=\"'none'\""]
    assert "t4 (1 GPU)" in out and "\nFits: " in out
    assert "| t4 " in out.partition("What else fits")[2]
    several = ("--topology=t4,gpu:8GiB", "--gin.DTYPE='bfloat16'", "--fit", "--json")
    found = json.loads(plan(*DEBUG, *several)[1])
    assert [setting["flags"] for setting in found] == [flags, flags]
    assert [setting["topology"] for setting in found] == ["t4", "gpu:8GiB"]


def test_several_slices_are_a_table(plan):
    code, out, err = plan(*DEBUG, "--topology=v3-8,v4-8", "--gin.NUM_PARTITIONS=8")
    assert code == 0
    header, _, *rows = out.splitlines()
    assert [cell.strip() for cell in header.split("|")][1:3] == ["slice", "mesh"]
    assert [row.split()[1] for row in rows] == ["v3-8"]
    (left_out,) = [line for line in err.splitlines() if "left out" in line]
    assert left_out.startswith("left out: v4-8: NUM_PARTITIONS: 8 does not divide")
    assert len(err.splitlines()) == 2


def test_bad_input_is_one_line(plan):
    code, _, err = plan(*DEBUG, "--topology=v1-8")
    assert code == 2
    assert err.startswith("commit-t5x: error: --topology=v1-8: unknown")
    code, _, err = plan(*DEBUG, "--topology=t4,,v5e-1")
    assert code == 2 and "--topology=t4,,v5e-1: no name between two commas" in err
    code, _, err = plan(*DEBUG, "--topology=t4", "--fit", "--sweep")
    assert code == 2 and "leave out --sweep" in err
    code, _, err = plan("--topology=v3-8", "--shapes")
    assert code == 2
    assert "--gin_file: missing" in err
    code, _, err = plan(*DEBUG, "--topology=v3-8", "--sweep", "BATCH_SIZE")
    assert code == 2
    assert "write --sweep BATCH_SIZE=VALUE,VALUE" in err
