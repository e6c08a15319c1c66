"""Tables that pair our weights with another format's, and serve both directions."""

import dataclasses
import functools
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig

if TYPE_CHECKING:  # the formats' names and --help need no JAX
    from commit_t5x.model.lora import Lora


@dataclasses.dataclass(frozen=True)
class Rule:
    """Pairs a native weight with another format's.

    Attributes:
      native: path in the scanned network's weights; below "layers/" each layer has its own.
      foreign: the other format's name; "{layer}" stands for the layer's number.
      transposed: the other format keeps the matrix as [output, input].
      interleaved: the other format keeps the two members of a rotary pair as neighbours in a head;
        ours, like Hugging Face's, as its two halves.
    """

    native: str
    foreign: str
    transposed: bool = False
    interleaved: bool = False


@dataclasses.dataclass(frozen=True)
class Entry:
    """One tensor of the other format and where it lies in ours.

    Attributes:
      path: of the native leaf.
      index: the layer within a stacked leaf, or None.
      foreign: the other format's name.
      transposed: see Rule.
      head_dim: width of a head whose rotary pairs are interleaved, or None.
      shape: in the other format.
    """

    path: str
    index: int | None
    foreign: str
    transposed: bool
    head_dim: int | None
    shape: tuple[int, ...]

    def to_native(self, tensor: np.ndarray) -> np.ndarray:
        """Returns the other format's tensor in our layout, in its own dtype; a view where it can.

        With interleaved pairs, a head's columns a0 b0 a1 b1 become a0 a1 b0 b1.
        """
        array = tensor.T if self.transposed else tensor
        return array if self.head_dim is None else self._swap_pairs(array, self.head_dim // 2, 2)

    def to_foreign(self, array: np.ndarray) -> np.ndarray:
        """Inverse of to_native."""
        if self.head_dim is not None:
            array = self._swap_pairs(array, 2, self.head_dim // 2)
        return array.T if self.transposed else array

    def _swap_pairs(self, array: np.ndarray, rows: int, columns: int) -> np.ndarray:
        # The last axis of a kernel, and the only one of a bias, is [heads, head_dim].
        heads = array.reshape(*array.shape[:-1], -1, rows, columns)
        return heads.swapaxes(-1, -2).reshape(array.shape)


@functools.cache  # several tables ask for the shapes of one network, which takes a trace
def native_shapes(
    config: LlamaConfig, options: "Lora | None" = None
) -> Mapping[str, tuple[int, ...]]:
    """Returns the shape of each native weight by its path; the network itself is asked, of a layer.

    Args:
      config: of the network.
      options: of its low-rank factors; by default there are none.
    """
    import jax  # here, as above

    from commit_t5x.model import llama

    module = llama.Llama(dataclasses.replace(config, num_layers=1), scan_layers=False)
    module = module if options is None else module.clone(lora=options)
    tokens = jax.ShapeDtypeStruct((1, 1), "int32")
    variables = jax.eval_shape(
        lambda t: module.init(jax.random.key(0), t, t, enable_dropout=False), tokens
    )
    shapes = {}
    for path, leaf in flatten(variables["params"]).items():
        part, _, name = path.partition("/")
        is_layer = part == "layers_0"
        path = f"layers/{name}" if is_layer else path
        shapes[path] = (config.num_layers, *leaf.shape) if is_layer else leaf.shape
    return types.MappingProxyType(shapes)


def flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the leaves of a tree by their paths, joined by slashes."""
    from flax import traverse_util  # as above

    return traverse_util.flatten_dict(params, sep="/")


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of flatten."""
    from flax import traverse_util  # as above

    return traverse_util.unflatten_dict(leaves, sep="/")


def plan(rules: Sequence[Rule], config: LlamaConfig) -> list[Entry]:
    """Returns an entry for each tensor of the other format, in the order of the table.

    Args:
      rules: the whole table; rules for weights that this model lacks are left out.
      config: of the model.

    Raises:
      InputError: a native weight has no rule, or two.
    """
    shapes = native_shapes(config)
    entries = []
    for rule in rules:
        if rule.native not in shapes:
            continue
        stacked = rule.native.startswith("layers/")
        shape = shapes[rule.native][1 if stacked else 0 :]
        shape = shape[::-1] if rule.transposed else shape
        head_dim = config.head_dim if rule.interleaved else None
        for layer in range(config.num_layers) if stacked else [None]:
            foreign = rule.foreign.format(layer=layer)
            entries.append(Entry(rule.native, layer, foreign, rule.transposed, head_dim, shape))
    places = [(entry.path, entry.index) for entry in entries]
    unmatched = sorted(set(shapes) - {path for path, _ in places})
    doubled = sorted({path for path, index in places if places.count((path, index)) > 1})
    if unmatched or doubled:
        raise InputError(
            f"conversion table: weights without a rule: {listed(unmatched)}; "
            f"weights with two: {listed(doubled)}; extend the table"
        )
    return entries


def shapes(rules: Sequence[Rule], config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Returns the shape of each tensor of the other format, by name, in the order of the table."""
    return {entry.foreign: entry.shape for entry in plan(rules, config)}


def check_foreign(
    source: str, entries: Iterable[Entry], found: Mapping[str, tuple[int, ...]]
) -> None:
    """Checks that the other format's tensors are those that the entries expect.

    Raises:
      InputError: listing the tensors that are missing, left over or of another shape.
    """
    expected = {entry.foreign: entry.shape for entry in entries}
    missing = sorted(set(expected) - set(found))
    unknown = sorted(set(found) - set(expected))
    misshapen = [
        f"{name} {found[name]} instead of {expected[name]}"
        for name in sorted(set(expected) & set(found))
        if found[name] != expected[name]
    ]
    kinds = {"missing": missing, "unmatched": unknown, "of another shape": misshapen}
    faults = [f"{kind}: {listed(names)}" for kind, names in kinds.items() if names]
    if faults:
        raise InputError(
            f"{source}: the weights do not fit the model's configuration; {'; '.join(faults)}"
        )


def listed(names: Sequence[str], limit: int = 20) -> str:
    """Returns names for an error message, the first `limit` of them."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(names[:limit]) or "none") + more
