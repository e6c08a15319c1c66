"""Two processes, as two hosts would, train the run that one process trains."""

import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest
from needs_t5x import parity

from commit_t5x import resources

pytestmark = [pytest.mark.t5x, pytest.mark.slow]
_HERE = pathlib.Path(__file__).parent
STEPS = 4
# Each process packs and shuffles the examples that it reads; one a row in the file's order, a batch
# holds the same rows however many read it.
ROWS = {"PACK": False, "SHUFFLE": False}


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def of_one(model_dir, **macros):
    """Returns the losses of one process with one device."""
    parity.run_t5x(parity.flags("recommended", STEPS, model_dir, **macros))
    return parity.t5x_losses(model_dir)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return of_one(tmp_path_factory.mktemp("one"), **ROWS)


def of_two(tmp_path, **macros):
    """Returns the losses of two processes with a device each."""
    gin, port = resources.path("gin"), free_port()
    flags = parity.flags("recommended", STEPS, tmp_path / "two", **macros)
    arguments = [f"--gin_search_paths={gin / 'engines' / 't5x'},{gin}", *flags]
    script = _HERE / "one_of_several.py"
    processes = [
        subprocess.Popen(
            [sys.executable, script, str(number), "2", str(port), *arguments],
            stdout=(tmp_path / f"{number}.log").open("w"),
            stderr=subprocess.STDOUT,
        )
        for number in range(2)
    ]
    codes = [process.wait(timeout=900) for process in processes]
    assert codes == [0, 0], (tmp_path / "0.log").read_text()[-3000:]
    return parity.t5x_losses(tmp_path / "two")


@pytest.mark.parametrize("num_partitions", [1, 2], ids=["data over both", "model across them"])
def test_two_processes_train_as_one_does(tmp_path, expected, num_partitions):
    losses = of_two(tmp_path, **ROWS, NUM_PARTITIONS=num_partitions)
    assert len(losses) == STEPS
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_two_processes_train_factors_as_one_does(tmp_path):
    parity.run_native(parity.flags("recommended", STEPS, tmp_path / "base"))
    base = repr(str(tmp_path / "base"))
    factors = {"INITIAL_CHECKPOINT_PATH": base, "LORA_RANK": 4, "BASE_DTYPE": "'int8'"}
    expected = of_one(tmp_path / "one", **ROWS, **factors)
    losses = of_two(tmp_path, **ROWS, **factors, NUM_PARTITIONS=2)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
