"""What a model of the LLaMA family is: its sizes, and its Hugging Face configuration.

Plain Python, so that a command can read a configuration without loading an accelerator library.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from commit_t5x.errors import InputError

_STRICT = {"extra": "forbid", "strict": True}  # how pydantic reads the two dataclasses


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """How rotary frequencies are stretched for contexts longer than the pretraining ones.

    Attributes:
      kind: "linear" divides every frequency by `factor`; "llama3" divides the low ones only and
        blends in between (Llama 3.1's reference code).
      factor: the divisor.
      low_freq_factor, high_freq_factor: "llama3" only; wavelengths above original_max_length /
        low_freq_factor are divided, those below original_max_length / high_freq_factor are kept.
      original_max_length: "llama3" only; context length of the pretraining, in tokens.
    """

    kind: str
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_length: int = 8192

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "llama3"):
            raise InputError(f"rope_scaling: '{self.kind}' is not supported; use linear or llama3")
        _check_positive(self, [field.name for field in dataclasses.fields(self)[1:]])


@dataclasses.dataclass(frozen=True)
class LlamaConfig:
    """Sizes and constants of a LLaMA-family decoder; the weights' shapes follow from it.

    Attributes:
      vocab_size: rows of the embedding and columns of the head.
      emb_dim: width of the residual stream.
      mlp_dim: width of the gated MLP.
      num_layers: decoder layers.
      num_heads: query heads.
      num_kv_heads: key and value heads; divides num_heads (grouped-query attention), or equals it.
      head_dim: width of a head; even, for the rotary halves.
      max_length: tokens of context that the model is made for.
      norm_eps: added to the mean square in RMSNorm.
      rope_theta: base of the rotary frequencies.
      rope_scaling: None for LLaMA 1 and 2.
      tied_embeddings: the head is the transposed embedding.
      attention_bias, mlp_bias: biases on all projections of the block.

    Raises:
      InputError: a size is not positive, or sizes do not fit each other.

    Example:
      >>> config = LlamaConfig.from_hf(json.loads(pathlib.Path("export/config.json").read_text()))
      >>> config.num_layers, config.num_parameters
      (30, 134515008)
    """

    vocab_size: int
    emb_dim: int
    mlp_dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_length: int = 2048
    norm_eps: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None
    tied_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False

    __pydantic_config__ = _STRICT

    def __post_init__(self) -> None:
        _check_positive(self, [*_HF_SIZES, "norm_eps", "rope_theta"])
        if self.num_heads % self.num_kv_heads:
            raise InputError(
                f"num_kv_heads: {self.num_kv_heads} does not divide num_heads, {self.num_heads}"
            )
        if self.head_dim % 2:
            raise InputError(f"head_dim: {self.head_dim} is odd; rotary positions need an even one")

    @property
    def num_parameters(self) -> int:
        """Number of weights, e.g. 6,738,415,616 for 7b."""
        joined, joined_kv = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        attention = self.emb_dim * (2 * joined + 2 * joined_kv)
        mlp = 3 * self.emb_dim * self.mlp_dim
        if self.attention_bias:
            attention += joined + 2 * joined_kv + self.emb_dim
        if self.mlp_bias:
            mlp += 2 * self.mlp_dim + self.emb_dim
        embeddings = self.vocab_size * self.emb_dim * (1 if self.tied_embeddings else 2)
        return embeddings + self.num_layers * (attention + mlp + 2 * self.emb_dim) + self.emb_dim

    def training_flops_per_token(self, length: int, frozen: bool = False) -> int:
        """Returns the FLOPs by which a token of a row of `length` is learnt from.

        They are 6 for each weight of a matrix (2 forward, 4 backward), and for each layer, unit of
        attention's width and token of the row 12; nothing is computed twice (PaLM, appendix B).

        Args:
          length: of a row.
          frozen: the weights have no gradients, which leaves 4 each; factors count nothing.
        """
        joined, joined_kv = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        layer = self.emb_dim * (2 * joined + 2 * joined_kv + 3 * self.mlp_dim)
        weights = self.num_layers * layer + self.vocab_size * self.emb_dim
        return (4 if frozen else 6) * weights + 12 * self.num_layers * joined * length

    def to_json(self) -> dict[str, Any]:
        """Returns the fields as a dictionary that `json` can write; from_json reads it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "LlamaConfig":
        """Reads what to_json wrote.

        Raises:
          InputError: naming the first field that is missing, unknown, of another type or range.
        """
        return cls._validated(fields, "model config", {})

    def to_hf(self) -> dict[str, Any]:
        """Returns the fields of Hugging Face's `config.json` that describe the architecture.

        Both spellings of the rotary fields are given: `rope_parameters` (transformers 5) and
        `rope_theta` with `rope_scaling` (before).
        """
        scaling = None
        if self.rope_scaling is not None:
            scaling = {"rope_type": self.rope_scaling.kind, "factor": self.rope_scaling.factor}
            if self.rope_scaling.kind == "llama3":
                scaling |= {hf: getattr(self.rope_scaling, name) for name, hf in _HF_LLAMA3.items()}
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            **{hf: getattr(self, name) for name, hf in (_HF_SIZES | _HF_CONSTANTS).items()},
            "rope_scaling": scaling,
            "rope_parameters": {
                "rope_theta": self.rope_theta,
                **(scaling or {"rope_type": "default"}),
            },
        }

    @classmethod
    def from_hf(cls, hf: Mapping[str, Any]) -> "LlamaConfig":
        """Reads Hugging Face's `config.json` of a LLaMA-family model.

        Fields that only matter to training or to Hugging Face's code are ignored.

        Raises:
          InputError: naming the field that is missing, of another type or range, or that this
            network can't express.
        """
        for name, allowed in _HF_REQUIRED.items():
            if hf.get(name, allowed[0]) not in allowed:
                raise InputError(
                    f"config.json: {name}={hf[name]!r} can't be expressed; supported: {allowed}"
                )
        sizes = hf.get("hidden_size"), hf.get("num_attention_heads")
        # What they mean where they are absent; other values are checked below.
        width, heads = (size if type(size) is int and size > 0 else 1 for size in sizes)
        read = {ours: hf.get(theirs) for ours, theirs in (_HF_SIZES | _HF_CONSTANTS).items()}
        known: dict[str, Any] = {"num_kv_heads": heads, "head_dim": width // heads}
        known |= {name: value for name, value in read.items() if value is not None}
        known |= _rope_from_hf(hf)
        return cls._validated(known, "config.json", _HF_SIZES | _HF_CONSTANTS | _HF_LLAMA3)

    @classmethod
    def _validated(
        cls, fields: Mapping[str, Any], place: str, names: Mapping[str, str]
    ) -> "LlamaConfig":
        """Returns fields as a configuration; `names` are what the file calls them."""
        import pydantic  # here: most commands read no configuration

        try:
            # As JSON, since of Python's values strict mode takes no dictionary for a dataclass.
            return pydantic.TypeAdapter(cls).validate_json(json.dumps(fields))
        except pydantic.ValidationError as error:
            fault = error.errors(include_url=False)[0]
            parts = map(str, fault["loc"])
            name = ".".join(names.get(part, part) for part in parts)
            given = "" if fault["type"] == "missing" else f"={fault['input']!r}"
            raise InputError(
                f"{place}: {name}{given}: {fault['msg'].lower()}; mend it, or fetch it again"
            ) from error


def _rope_from_hf(hf: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a config.json says of the rotary frequencies, in one spelling or in both."""
    spellings = [hf[name] for name in ("rope_parameters", "rope_scaling") if hf.get(name)]
    for scaling in spellings:
        if not isinstance(scaling, Mapping):
            raise InputError(f"config.json: rope_scaling={scaling!r} is no object")
    thetas = [rope["rope_theta"] for rope in (*spellings, hf) if rope.get("rope_theta")]
    scalings = [
        _scaling_from_hf({key: rope[key] for key in rope if key != "rope_theta"}, hf)
        for rope in spellings
    ]
    for name, found in (("rope_theta", thetas), ("rope_scaling", scalings)):
        if any(one != found[0] for one in found):
            raise InputError(
                f"config.json: {name} and rope_parameters differ; take out the one that is wrong"
            )
    return {
        **({"rope_theta": thetas[0]} if thetas else {}),
        "rope_scaling": scalings[0] if scalings else None,
    }


def _scaling_from_hf(rope: dict[str, Any], hf: Mapping[str, Any]) -> dict[str, Any] | None:
    # "type" is the name that transformers used before 4.43.
    kind = rope.pop("rope_type", None) or rope.pop("type", None) or "default"
    rope.pop("type", None)
    if rope.pop("partial_rotary_factor", 1.0) != 1.0:
        raise InputError("config.json: partial_rotary_factor can't be expressed; supported: 1.0")
    if kind == "default":
        return None
    fields = {"factor": "factor"} | (_HF_LLAMA3 if kind == "llama3" else {})
    rope.setdefault("original_max_position_embeddings", hf.get("max_position_embeddings", 2048))
    missing = [name for name in fields.values() if name not in rope]
    if kind not in ("linear", "llama3") or missing:
        raise InputError(
            f"config.json: rope_scaling of type '{kind}' can't be expressed (missing {missing}); "
            "supported: linear, llama3"
        )
    return {"kind": kind, **{ours: rope[theirs] for ours, theirs in fields.items()}}


def _check_positive(config: Any, names: Iterable[str]) -> None:
    for name in names:
        if not 0 < getattr(config, name) < math.inf:
            raise InputError(f"{name}: {getattr(config, name)} is not a positive number")


# Ours -> Hugging Face's.
_HF_SIZES = {
    "vocab_size": "vocab_size",
    "emb_dim": "hidden_size",
    "mlp_dim": "intermediate_size",
    "num_layers": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "max_length": "max_position_embeddings",
}
_HF_CONSTANTS = {
    "norm_eps": "rms_norm_eps",
    "rope_theta": "rope_theta",
    "tied_embeddings": "tie_word_embeddings",
    "attention_bias": "attention_bias",
    "mlp_bias": "mlp_bias",
}
_HF_LLAMA3 = {
    "low_freq_factor": "low_freq_factor",
    "high_freq_factor": "high_freq_factor",
    "original_max_length": "original_max_position_embeddings",
}
# Values under which a Hugging Face model computes what this network computes; the first of each is
# what an absent field means.
_HF_REQUIRED: dict[str, tuple[Any, ...]] = {
    "model_type": ("llama",),
    "hidden_act": ("silu", "swish"),
    "quantization_config": (None,),
    "sliding_window": (None,),
    "partial_rotary_factor": (1.0, None),
}
