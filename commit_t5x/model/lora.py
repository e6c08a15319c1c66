"""Low-rank factors over frozen weights (LoRA, Hu et al. 2021), and the types these are kept in.

A weight W [in, out] that is adapted has two factors beside it: it stands for W + alpha / rank * AB.

    query/kernel [in, out]   query/lora_a [in, rank]   query/lora_b [rank, out]

Kept in int8, a kernel [in, out] or embedding [vocab, embed] also has `channel_scale` [out] or
[embed], fp32: a channel's largest weight is 127 times its scale. Each layer of a stacked kernel has
its own.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from flax import traverse_util

from commit_t5x import ranges
from commit_t5x.errors import InputError

LINEAR = ("query", "key", "value", "out", "wi_0", "wi_1", "wo")
EMBEDDING, HEAD = "token_embedder", "logits_dense"
FACTORS = ("lora_a", "lora_b")
SCALE = "channel_scale"
BaseDtype = Literal["float32", "bfloat16", "int8"]
# Of the fields of Lora, those that mean most first.
MACROS = {
    **{"rank": "LORA_RANK", "trained_parts": "TRAINED_PARTS", "base_dtype": "BASE_DTYPE"},
    **{"targets": "LORA_TARGETS", "dropout": "LORA_DROPOUT", "alpha": "LORA_ALPHA"},
}


@dataclasses.dataclass(frozen=True)
class Lora:
    """What of a network is trained, and how the rest is kept.

    Attributes:
      rank: of the factors; None: there are none, and every weight is trained.
      alpha: alpha / rank scales the product of the factors.
      dropout: rate, on what enters the factors of linear layers, of the head apart.
      targets: names of modules whose weights are adapted: those of `LINEAR`, token_embedder, and
        logits_dense where the head isn't the embedding.
      base_dtype: that kernels and embeddings which aren't trained are kept in; with int8, a head
        of its own is bfloat16. Norms and biases are always fp32.
      trained_parts: names in the paths of weights that are trained in full, too: "scale" (all
        norms), "token_embedder", "decoder_norm", "mlp", ...

    Raises:
      InputError: without a rank, one of the others is set.

    Example:
      >>> Lora(rank=8, alpha=16).scaling
      2.0
    """

    rank: ranges.Positive | None = None
    alpha: ranges.PositiveNumber = 16
    dropout: ranges.ShareBelowOne = 0.0
    targets: Sequence[ranges.Text] = LINEAR
    base_dtype: BaseDtype = "float32"
    trained_parts: Sequence[ranges.Text] = ()

    def __post_init__(self):
        object.__setattr__(self, "targets", tuple(self.targets))
        object.__setattr__(self, "trained_parts", tuple(self.trained_parts))
        for field in dataclasses.fields(self) if self.rank is None else ():
            value = getattr(self, field.name)
            if value != field.default:
                raise InputError(
                    f"{MACROS[field.name]}: {value!r} is for low-rank factors, and without them "
                    "all weights are trained; set LORA_RANK, e.g. --gin.LORA_RANK=16, or leave it "
                    "and lora.gin out"
                )

    @property
    def scaling(self) -> float:
        """Of the product of the factors."""
        return self.alpha / self.rank if self.rank else 0.0

    def adapts(self, name: str | None) -> bool:
        """Returns whether the weight of a module has factors."""
        return self.rank is not None and name in self.targets

    def check_targets(self, tied_embeddings: bool) -> None:
        """Raises InputError if a target doesn't exist, or there is none."""
        known = [*LINEAR, EMBEDDING, *([] if tied_embeddings else [HEAD])]
        unknown = [name for name in self.targets if name not in known]
        twice = [name for name in self.targets if self.targets.count(name) > 1]
        wrong = [
            *(f"{name} is none of the network's" for name in unknown),
            *(f"{name} is there twice" for name in twice),
            *([] if self.targets else ["() names no module"]),
        ]
        if self.rank is not None and wrong:
            raise InputError(f"LORA_TARGETS: {wrong[0]}; choose from {', '.join(known)}")

    def check_rank(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises InputError if the factors of a weight would be wider than itself."""
        if self.rank > min(shape):
            raise InputError(
                f"LORA_RANK: {self.rank} is above the width of {name}, {min(shape)}; "
                "choose a smaller rank, or take it out of LORA_TARGETS"
            )

    def trains(self, path: Sequence[str]) -> bool:
        """Returns whether the leaf at a path of names is trained."""
        if self.rank is None or path[-1] in FACTORS:
            return True
        return any(name in self.trained_parts for name in path)

    def dtype_of(self, path: Sequence[str]) -> str:
        """Returns the type in which the kernel or embedding at a path of names is kept."""
        if self.trains(path):
            return "float32"
        is_head = self.base_dtype == "int8" and path[0] == HEAD
        return "bfloat16" if is_head else self.base_dtype

    def split(self, params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Returns the weights that are trained, and the others; None where all are trained.

        Raises:
          InputError: there is no part of a name.
        """
        if self.rank is None:
            return dict(params), None
        leaves = traverse_util.flatten_dict(params)
        known = sorted({name for path in leaves for name in path} - {*FACTORS, SCALE})
        if unknown := [name for name in self.trained_parts if name not in known]:
            raise InputError(
                f"TRAINED_PARTS: {unknown[0]} is none of the network's; "
                f"choose from {', '.join(known)} (with SCAN_LAYERS=False each layer has a name)"
            )
        trained = {path: leaf for path, leaf in leaves.items() if self.trains(path)}
        frozen = {path: leaf for path, leaf in leaves.items() if path not in trained}
        return traverse_util.unflatten_dict(trained), traverse_util.unflatten_dict(frozen)


def joined(*trees: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the leaves of several trees as one; inverse of `Lora.split`."""
    leaves: dict[tuple[str, ...], Any] = {}
    for tree in trees:
        leaves |= traverse_util.flatten_dict(tree or {})
    return traverse_util.unflatten_dict(leaves)


def factors(params: Mapping[str, Any], present: bool = True) -> dict[str, Any]:
    """Returns the factors of a tree, or with present=False what else it holds."""
    leaves = traverse_util.flatten_dict(params)
    return traverse_util.unflatten_dict(
        {path: leaf for path, leaf in leaves.items() if (path[-1] in FACTORS) == present}
    )


def quantize(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns a kernel [..., in, out] or an embedding in int8, and its channels' scales [..., out].

    Example:
      >>> quantize(np.float32([[2.54, 0.0], [-1.27, 0.0]]))
      (array([[127, 0], [-64, 0]], dtype=int8), array([0.02, 1.], dtype=float32))
    """
    largest = np.max(np.abs(kernel), axis=-2)
    scale = np.where(largest > 0, largest / np.float32(127), np.float32(1))
    return np.rint(kernel / scale[..., None, :]).astype(np.int8), scale


def merged(weight: Any, scale: Any = None, a: Any = None, b: Any = None, scaling: Any = 1.0) -> Any:
    """Returns the fp32 weight that a kept one with its factors stands for; of NumPy or JAX."""
    weight = weight.astype(np.float32)
    if scale is not None:
        weight = weight * scale[..., None, :]
    return weight if a is None else weight + scaling * (a @ b)
