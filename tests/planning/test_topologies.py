import pytest

from commit_t5x.errors import InputError
from commit_t5x.planning import topologies


@pytest.mark.parametrize(
    ("name", "compiler_name", "devices", "links"),
    [
        ("v3-8", "v3:2x2", 8, 2),
        ("v3-32", "v3:4x4", 32, 2),
        ("v4-8", "v4:2x2x1", 4, 2),
        ("v4-64", "v4:2x4x4", 32, 3),
        ("v5p-16", "v5p:2x2x2", 8, 3),
        ("v5e-8", "v5e:2x4", 8, 2),
        ("v5litepod-64", "v5e:8x8", 64, 2),
        ("v6e-8", "v6e:2x4", 8, 2),
        ("v5e-1", "v5e:2x2", 1, 0),  # one chip of the smallest slice
    ],
)
def test_cloud_names_mean_grids(name, compiler_name, devices, links):
    topology = topologies.parse(name)
    assert topology.compiler_name == compiler_name
    assert topology.num_devices == devices
    assert topology.links == links


@pytest.mark.parametrize("name", ["v3", "v9-8", "tpu", "", "v3-8-8"])
def test_unknown_names_are_errors_with_examples(name):
    with pytest.raises(InputError, match=f"--topology={name}: unknown; write it as one of v3-8"):
        topologies.parse(name)


@pytest.mark.parametrize("name", ["v3-7", "v3-0", "v3-1", "v3-2", "v4-24", "v5e-6"])
def test_numbers_that_make_no_slice_are_errors(name):
    with pytest.raises(InputError, match="no slice has .*take .* times a power of two"):
        topologies.parse(name)
