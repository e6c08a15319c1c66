import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest
import tiny
from jax.sharding import PartitionSpec

from commit_t5x.engine import partitioning
from commit_t5x.errors import InputError

SCRIPT = pathlib.Path(__file__).with_name("mesh_losses.py")


@pytest.mark.slow  # a process with devices of its own
def test_meshes_give_the_same_losses(tmp_path):
    # A process of its own, since the number of devices is fixed when JAX starts.
    output = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)], stdout=subprocess.PIPE, check=True
    ).stdout
    found = json.loads(output.splitlines()[-1])
    for name, (losses, _) in found.items():
        expected, _ = found["factors, 1x1" if name.startswith("factors") else "1x1"]
        assert expected[-1] < expected[0]
        np.testing.assert_allclose(losses, expected, rtol=1e-5, err_msg=name)
    shares = {name: share for name, (_, share) in found.items()}
    assert shares == {
        **{"1x1": 1, "1x8": 1 / 8, "4x2": 1 / 2, "8x1 fully sharded": 1 / 8},
        # Of a factor the embed axis alone is split over `data`, which this one lacks.
        **{"factors, 1x1": 1, "factors, 4x2": 1 / 2, "factors, 8x1 fully sharded": 1},
    }


def test_no_number_takes_all_devices():
    partitioner = partitioning.PjitPartitioner(None, devices=jax.devices()[:1] * 4)
    assert partitioner.mesh.shape == {"data": 1, "model": 4}


def test_partitions_must_divide_the_devices():
    with pytest.raises(InputError, match="NUM_PARTITIONS: 3 .*, 1; --gin.NUM_PARTITIONS=None"):
        tiny.partitioner(num_partitions=3)


def test_axis_that_devices_cannot_share_stays_whole():
    # Eight times the same device: good enough to ask for shardings.
    devices = jax.devices()[:1] * 8
    partitioner = partitioning.PjitPartitioner(num_partitions=8, devices=devices)
    assert partitioner.sharding(("embed", "heads"), (6, 16)).spec == PartitionSpec(None, "model")
    assert partitioner.sharding(("embed", "heads"), (6, 4)).spec == PartitionSpec(None, None)
    assert partitioner.sharding(None, (6, 4)).spec == PartitionSpec()


def test_batch_that_devices_cannot_share_is_an_error():
    partitioner = partitioning.PjitPartitioner(devices=jax.devices()[:1] * 4)
    partitioner.check_batch_size(8)
    with pytest.raises(InputError, match="BATCH_SIZE: 6 is not a multiple of the 4 data-parallel"):
        partitioner.check_batch_size(6, "BATCH_SIZE")
