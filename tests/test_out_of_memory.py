import jax
import numpy as np
import pytest

from commit_t5x import cli, out_of_memory


def test_a_device_that_has_no_more():
    with pytest.raises(jax.errors.JaxRuntimeError) as error:
        jax.numpy.zeros((1 << 22, 1 << 20), "float32").block_until_ready()
    said = out_of_memory.message(error.value, "train")
    assert said.startswith("out of memory: 16,384.00 GiB more were needed")
    assert "; `commit-t5x plan --fit` tells what fits: REMAT_POLICY" in said and "\n" not in said
    assert "--gin_file=lora.gin" in said and "plan --fit" in said


def test_a_host_that_has_no_more(monkeypatch, capsys):
    def main(argv):
        np.zeros((1 << 40, 1 << 10))

    monkeypatch.setattr("commit_t5x.engine.cli.infer", main)
    assert cli.main(["infer"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("commit-t5x: error: out of memory: Unable to allocate 8.00 PiB")
    assert "lower BATCH_SIZE" in said and said.count("\n") == 1


def test_other_errors_are_not_its():
    assert out_of_memory.message(RuntimeError("RESOURCE"), "train") is None
    assert out_of_memory.message(ValueError("RESOURCE_EXHAUSTED"), "train") is None
