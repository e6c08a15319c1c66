"""Logical axis names and the rules that map them to the mesh axes `data` and `model`.

The names are T5X's: a parameter or an activation calls its axes batch, length, embed, vocab, heads,
kv, joined_kv (heads and kv as one axis), mlp and layers; `lora`, the rank of low-rank factors, is
our own. A rule is a pair of a logical and a mesh
axis (None: replicated). Rules apply in order; an array never uses one mesh axis twice, so a later
rule for the same name is what remains when the mesh axis of the first is taken.
"""

from collections.abc import Sequence

from commit_t5x import ranges

LogicalAxisRules = Sequence[tuple[str, str | None]]

_REPLICATED = (
    *("relpos_buckets", "abspos_buckets", "length", "layers", "stack", "mlp_activations"),
    "lora",
)


def standard_logical_axis_rules(
    activation_partitioning_dims: ranges.NumDims = 1,
    parameter_partitioning_dims: ranges.NumDims = 1,
    additional_rules: LogicalAxisRules = (),
) -> list[tuple[str, str | None]]:
    """Returns T5X's standard rules: batch over `data`; vocab, mlp and heads over `model`.

    Args:
      activation_partitioning_dims: 2 also splits the embed axis of activations over `model`.
      parameter_partitioning_dims: 2 also splits the embed axis of parameters over `data`.
      additional_rules: appended, so that they decide only what no rule before them does.

    Example:
      >>> dict(standard_logical_axis_rules())["joined_kv"]
      'model'
    """
    rules: list[tuple[str, str | None]] = [
        ("batch", "data"),
        ("vocab", "model"),
        ("mlp", "model"),
        ("heads", "model"),
        ("kv", None),
        ("joined_kv", "model"),
    ]
    # A weight matrix has its embed axis beside one that already took `model`, an activation beside
    # the batch, which already took `data`: so each of these two rules reaches its kind only.
    if activation_partitioning_dims == 2:
        rules.append(("embed", "model"))
    if parameter_partitioning_dims == 2:
        rules.append(("embed", "data"))
    rules.append(("embed", None))
    rules.extend((name, None) for name in _REPLICATED)
    return [*rules, *additional_rules]


def fully_sharded_logical_axis_rules(
    additional_rules: LogicalAxisRules = (),
) -> list[tuple[str, str | None]]:
    """Returns rules that split parameters and optimizer state over every device (ZeRO-3, FSDP).

    Parameters are split over `data` by their embed axis and over `model` by the other one; the
    batch is split over `data`. With num_partitions=1 this is pure data parallelism in which each
    device keeps its share of the weights and gathers the others' layer by layer.

    Args:
      additional_rules: appended, so that they decide only what no rule before them does.
    """
    return standard_logical_axis_rules(
        parameter_partitioning_dims=2, additional_rules=additional_rules
    )
