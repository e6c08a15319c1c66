import pytest
from flax.linen import partitioning as flax_partitioning
from jax.sharding import PartitionSpec

from commit_t5x.model import partitioning

KERNEL = ("embed", "mlp")
ACTIVATION = ("batch", "length", "embed")


def axes(names, rules):
    return flax_partitioning.logical_to_mesh_axes(names, rules)


@pytest.mark.parametrize(
    ("dims", "kernel", "activation"),
    [
        ((1, 1), (None, "model"), ("data", None, None)),
        ((1, 2), ("data", "model"), ("data", None, None)),
        ((2, 1), (None, "model"), ("data", None, "model")),
        ((2, 2), ("data", "model"), ("data", None, "model")),
    ],
)
def test_dims_split_the_embed_axis(dims, kernel, activation):
    rules = partitioning.standard_logical_axis_rules(*dims)
    assert axes(KERNEL, rules) == PartitionSpec(*kernel)
    assert axes(ACTIVATION, rules) == PartitionSpec(*activation)


def test_standard_rules_know_t5x_names():
    rules = dict(reversed(partitioning.standard_logical_axis_rules()))
    split = {name: axis for name, axis in rules.items() if axis}
    assert split == {
        "batch": "data",
        "vocab": "model",
        "mlp": "model",
        "heads": "model",
        "joined_kv": "model",
    }
    assert {"embed", "kv", "length", "layers"} < set(rules)


def test_fully_sharded_rules_split_parameters_over_both_axes():
    rules = partitioning.fully_sharded_logical_axis_rules()
    assert axes(("layers", "embed", "joined_kv"), rules) == PartitionSpec(None, "data", "model")
    assert axes(("embed",), rules) == PartitionSpec("data")
    assert axes(ACTIVATION, rules) == PartitionSpec("data", None, None)


def test_additional_rules_decide_what_is_left():
    rules = partitioning.standard_logical_axis_rules(additional_rules=[("expert", "data")])
    assert axes(("expert", "embed"), rules) == PartitionSpec("data", None)
