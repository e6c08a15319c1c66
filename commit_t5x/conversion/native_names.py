"""The network's own weights, layer by layer, under the names that they have in an unrolled network.

So a scanned and an unrolled checkpoint look alike, and a stacked weight moves in slices.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from commit_t5x.conversion import arrays, rules, stream
from commit_t5x.conversion.formats import Source
from commit_t5x.conversion.rules import Rule
from commit_t5x.model.llama_config import LlamaConfig
from commit_t5x.vocabularies.tokenizer import Tokenizer


def _linear(path: str) -> list[str]:
    return [f"{path}/kernel", f"{path}/bias"]


RULES: tuple[Rule, ...] = tuple(
    Rule(path, path.replace("layers/", "layers_{layer}/"))
    for path in (
        "token_embedder/embedding",
        "layers/pre_self_attention_layer_norm/scale",
        *_linear("layers/self_attention/query"),
        *_linear("layers/self_attention/key"),
        *_linear("layers/self_attention/value"),
        *_linear("layers/self_attention/out"),
        "layers/pre_mlp_layer_norm/scale",
        *_linear("layers/mlp/wi_0"),
        *_linear("layers/mlp/wi_1"),
        *_linear("layers/mlp/wo"),
        "decoder_norm/scale",
        "logits_dense/kernel",
    )
)


def _index(leaf: Any, index: int | None) -> np.ndarray:
    return np.asarray(leaf if index is None else leaf[index])


def source(
    name: str,
    leaves: Mapping[str, Any],
    config: LlamaConfig,
    find_tokenizer: Callable[[], Tokenizer | None] = lambda: None,
    read: Callable[[Any, int | None], np.ndarray] = _index,
) -> Source:
    """Returns a source of leaves by path, of a scanned or an unrolled network.

    Args:
      name, config, find_tokenizer: see Source.
      leaves: with `shape` and `dtype`; they come leaf by leaf, as stacked ones may be kept whole.
      read: returns a leaf, or one layer of a stacked one; by default by indexing.
    """
    places = {}
    for path, leaf in leaves.items():
        if path.startswith("layers/"):
            inner = path.removeprefix("layers/")
            places |= {f"layers_{i}/{inner}": (leaf, i) for i in range(leaf.shape[0])}
        else:
            places[path] = (leaf, None)
    return Source(
        name=name,
        config=config,
        rules=RULES,
        shapes={
            name: tuple(leaf.shape[0 if index is None else 1 :])
            for name, (leaf, index) in places.items()
        },
        get=lambda name: read(*places[name]),
        dtypes={name: leaf.dtype.name for name, (leaf, _) in places.items()},
        find_tokenizer=find_tokenizer,
    )


def load(opened: Source) -> dict[str, Any]:
    """Reads a whole source.

    Returns:
      fp32 NumPy arrays, stacked over layers.

    Raises:
      InputError: tensors are missing, left over or of another shape, or can't be read.
    """
    shapes = rules.native_shapes(opened.config)
    leaves = {path: np.empty(shape, np.float32) for path, shape in shapes.items()}
    for transfer in stream.plan(opened, RULES):
        entry = transfer.source
        tensor = entry.to_native(opened.get(entry.foreign))
        place = leaves[entry.path] if entry.index is None else leaves[entry.path][entry.index]
        place[...] = arrays.converted(tensor, "float32", entry.foreign)
    return rules.unflatten(leaves)
