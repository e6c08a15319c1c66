"""The network's weights in memory, as a source and as what a source is read into."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from commit_t5x.conversion import arrays, native_names, rules, stream
from commit_t5x.conversion.formats import Source
from commit_t5x.model.llama_config import LlamaConfig


def source(
    params: Mapping[str, Any], config: LlamaConfig, files: Mapping[str, bytes] | None = None
) -> Source:
    """Returns a source of the network's own weights.

    Args:
      params: stacked over layers or not; arrays of NumPy or JAX. One tensor at a time is brought
        to the host.
      config: of the network.
      files: see Source.

    Raises:
      InputError: the weights don't fit the configuration.
    """
    rules.check_native(params, config, scanned="layers" in params)
    leaves = rules.flatten(params)
    return native_names.source("native weights", leaves, config, files or {})


def load(opened: Source) -> dict[str, Any]:
    """Reads a whole source.

    Returns:
      fp32 NumPy arrays, stacked over layers.

    Raises:
      InputError: tensors are missing, left over or of another shape, or can't be read.
    """
    shapes = rules.native_shapes(opened.config)
    leaves = {path: np.empty(shape, np.float32) for path, shape in shapes.items()}
    for transfer in stream.plan(opened, native_names.RULES):
        entry = transfer.source
        tensor = entry.to_native(opened.get(entry.foreign))
        place = leaves[entry.path] if entry.index is None else leaves[entry.path][entry.index]
        place[...] = arrays.converted(tensor, "float32", entry.foreign)
    return rules.unflatten(leaves)
