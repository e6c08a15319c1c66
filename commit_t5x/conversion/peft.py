"""PEFT's adapters: adapter_config.json and the low-rank factors, under Hugging Face's names.

An adapter is no network: it is written of our checkpoints of low-rank factors, and read into one
over a base of ours. The names follow from the rules of `hf`:

    layers/self_attention/query/lora_a      [layers, in, rank]
    base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight   [rank, in]
"""

import collections
import dataclasses
import json
import math
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from commit_t5x import disk, signatures
from commit_t5x.conversion import arrays, hf, rules, safetensors_files
from commit_t5x.conversion.rules import Entry
from commit_t5x.engine import adapters, checkpoints, model_files
from commit_t5x.errors import InputError
from commit_t5x.model import lora
from commit_t5x.model.llama_config import LlamaConfig
from commit_t5x.model.lora import Lora

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model"
_PREFIX = "base_model.model."
_BASE = ".base_layer.weight"  # a copy of an adapted embedding, which PEFT puts beside its factors
# What an adapter may say: it is read, or doesn't change what the factors mean. Any other field must
# be at rest.
_READ = {"peft_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "init_lora_weights", "bias"}
_IDLE = {
    *("task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    *("inference_mode", "target_modules", "exclude_modules", "modules_to_save", "layers_pattern"),
    *("megatron_core", "qalora_group_size"),
}
# Others change the base.
_INITS = (True, False, "gaussian", "orthogonal", "eva")


def recognises(path: pathlib.Path) -> bool:
    """Returns whether `path` is an adapter's directory."""
    return (path / _CONFIG).is_file()


def read(path: pathlib.Path) -> None:
    """Raises InputError: an adapter is no network."""
    raise InputError(
        f"{path}: a PEFT adapter; import it over its base first: "
        f"commit-t5x convert --from peft --to native --base NATIVE {path} DST"
    )


def export(src: pathlib.Path, dst: pathlib.Path, base: str | None, overwrite: bool) -> list[str]:
    """Writes the factors of a checkpoint as an adapter, fp32.

    Args:
      src: a model directory (its latest checkpoint) or a checkpoint_N, of low-rank factors.
      dst: appears when it is complete.
      base: name or directory of the Hugging Face model that they belong to; goes into the file.
      overwrite: replace `dst`.

    Returns:
      Notes for the user.

    Raises:
      InputError: `src` holds no factors, or what PEFT can't express.
    """
    folder, stores = checkpoints.open_params(src)
    adapter = adapters.read(folder.parent)
    if adapter is None:
        raise InputError(f"{src}: holds no low-rank factors but a whole network; use --to hf")
    for whole in adapters.bases(adapter):
        if pathlib.Path(whole).exists():
            disk.check_apart("DST", dst, whole)
    config, options = model_files.read_config(folder.parent), adapter.lora
    own = {name: store.read().result() for name, store in stores.items()}
    _check_head(src, config, own)
    targets: dict[str, None] = {}
    layers, saved = (collections.Counter[str]() for _ in range(2))
    tensors = {}
    for entry, names in _places(str(src), config):
        # PEFT looks for names that end so: a bare "norm" is that of each layer's, too.
        foreign = entry.foreign.rsplit(".", 2)[-2] if entry.index is not None else _module(entry)
        layers[foreign] += not entry.path.endswith("/bias")
        factors = [_of_entry(own, entry, factor) for factor in lora.FACTORS]
        whole, adapted = _of_entry(own, entry), factors[0] is not None
        if whole is not None:
            if entry.path.endswith("/bias") or adapted:
                raise InputError(
                    f"{src}: {entry.path} is trained in full, which PEFT can't express beside "
                    "factors; merge them with --to hf"
                )
            saved[foreign] += 1
            tensors[_PREFIX + entry.foreign] = entry.to_foreign(whole)
        elif names and adapted:
            targets[foreign] = None
            tensors |= {n: factor.T for n, factor in zip(names, factors, strict=True)}
    for foreign, count in saved.items():
        if count < layers[foreign]:
            raise InputError(
                f"{src}: {foreign} is trained in full in {count} layers, and in PEFT that is so in "
                "all or none; merge the factors with --to hf"
            )
    fields = {
        **{"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": base},
        **{"r": options.rank, "lora_alpha": options.alpha, "lora_dropout": options.dropout},
        **{"target_modules": [*targets], "modules_to_save": [*saved] or None, "bias": "none"},
        **{"fan_in_fan_out": False, "inference_mode": True, "init_lora_weights": True},
    }
    with disk.finished(dst, overwrite) as aside:
        aside.mkdir()
        (aside / _CONFIG).write_text(json.dumps(fields, indent=2) + "\n", encoding="utf-8")
        contiguous = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
        path = aside / f"{_WEIGHTS}.safetensors"
        safetensors.numpy.save_file(contiguous, path, {"format": "pt"})
    return _notes(adapter, base)


def _notes(adapter: adapters.Adapter, base: str | None) -> list[str]:
    notes = [f"the factors were trained over {adapter.base}, in {adapter.lora.base_dtype}"]
    if adapters.read(pathlib.Path(adapter.base).parent) is not None:
        notes.append(
            "that is itself a base with factors: load the adapter over what --to hf makes of it"
        )
    if base is None:
        notes.append("the adapter names no base; --base NAME does")
    return notes


def _of_entry(leaves: Mapping[str, np.ndarray], entry: Entry, leaf: str = "") -> np.ndarray | None:
    """Returns a weight, or another leaf beside it, of a network with stacked layers or without."""
    path = f"{entry.path.rpartition('/')[0]}/{leaf}" if leaf else entry.path
    if path in leaves:
        return leaves[path] if entry.index is None else leaves[path][entry.index]
    return leaves.get(path.replace("layers/", f"layers_{entry.index}/", 1))


def import_adapter(src: pathlib.Path, dst: pathlib.Path, base: str | None, overwrite: bool) -> None:
    """Reads an adapter into a model directory of low-rank factors.

    Args:
      src: the adapter's directory.
      dst: appears when it is complete.
      base: our checkpoint of the model that the adapter belongs to.
      overwrite: replace `dst`.

    Raises:
      InputError: the adapter is broken, has parts that this network can't express, or is of another
        model than `base`.
    """
    if base is None:
        raise InputError(
            f"{src}: a PEFT adapter belongs to a base; give our checkpoint of it, --base NATIVE"
        )
    options = _options(src)
    place = checkpoints.find(base)
    config = model_files.read_config(place.parent)
    reader = safetensors_files.Reader(src, _WEIGHTS)
    left = {name for name in reader.shapes if not name.endswith(_BASE)}
    leaves: dict[str, list[np.ndarray]] = {}
    counts: dict[str, int] = {}
    for entry, names in _places(str(src), config):
        module = entry.path.rpartition("/")[0]
        factors = {f"{module}/{factor}": n for factor, n in zip(lora.FACTORS, names, strict=False)}
        for path, name in {entry.path: _PREFIX + entry.foreign, **factors}.items():
            counts[path] = counts.get(path, 0) + 1
            if name in left:
                left.remove(name)
                tensor = arrays.converted(reader.get(name), "float32", f"{src}: {name}")
                own = entry.to_native(tensor) if path == entry.path else tensor.T
                leaves.setdefault(path, []).append(own)
    partial = [path for path, layers in leaves.items() if len(layers) < counts[path]]
    if left or partial or not leaves:
        unknown = left and f"that has no {rules.listed(sorted(left), 5)}"
        lacking = partial and f"some layers lack {rules.listed(sorted(partial), 5)}"
        reasons = [reason for reason in (unknown, lacking) if reason] or ["it holds no factors"]
        raise InputError(f"{src}: isn't an adapter of {base}: {'; '.join(reasons)}")
    stacked = {
        path: np.stack(layers) if path.startswith("layers/") else layers[0]
        for path, layers in leaves.items()
    }
    modules = {path.split("/")[-2]: path.endswith(lora.FACTORS) for path in stacked}
    options = dataclasses.replace(
        options,
        targets=[name for name, adapted in modules.items() if adapted],
        trained_parts=[name for name, adapted in modules.items() if not adapted],
    )
    _check_head(src, config, stacked)
    _check_shapes(src, base, stacked, options, config)
    adapter = adapters.describe(options, base)
    with disk.finished(dst, overwrite) as aside:
        params = rules.unflatten(stacked)
        checkpoints.save_params(aside, params, config, model_files.tokenizer(place.parent))
        adapters.write(aside, adapter)


def _module(entry: Entry) -> str:
    return entry.foreign.removesuffix(".weight")


def _check_head(src: pathlib.Path, config: LlamaConfig, paths: Iterable[str]) -> None:
    """Raises InputError if a tied embedding is among the paths of what is trained."""
    if config.tied_embeddings and any(path.startswith(lora.EMBEDDING) for path in paths):
        raise InputError(
            f"{src}: trains an embedding that is the head as well, of which PEFT trains the "
            "lookup alone; merge the factors instead"
        )


def _check_shapes(
    src: pathlib.Path, base: str, leaves: Mapping[str, Any], options: Lora, config: LlamaConfig
) -> None:
    """Raises InputError unless the network has leaves of these shapes, and no others to train."""
    needed = {
        path: shape
        for path, shape in rules.native_shapes(config, options).items()
        if options.trains(path.split("/"))
    }
    found = {path: tuple(leaf.shape) for path, leaf in leaves.items()}
    for path in sorted({*needed, *found}):
        if needed.get(path) != found.get(path):
            raise InputError(
                f"{src}: isn't an adapter of {base}: {path} is {found.get(path, 'missing')} and "
                f"not {needed.get(path, 'of this network')}"
            )


def _places(source: str, config: LlamaConfig) -> Iterator[tuple[Entry, tuple[str, ...]]]:
    """Yields each weight, and the names of its factors; () where it has none in PEFT."""
    for entry in rules.plan(hf.RULES, config):
        module = _PREFIX + _module(entry)
        names: tuple[str, ...] = ()
        if entry.path.endswith("/kernel"):
            names = (f"{module}.lora_A.weight", f"{module}.lora_B.weight")
        elif entry.path.endswith("/embedding"):
            names = (f"{module}.lora_embedding_A", f"{module}.lora_embedding_B")
        yield entry, names


def _options(src: pathlib.Path) -> Lora:
    """Reads adapter_config.json; targets and parts follow from the tensors."""
    path = src / _CONFIG
    fields = disk.read_json(path, "name a PEFT adapter's directory")
    allowed = {"peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": _INITS}
    allowed["use_rslora"] = (False, True)
    refused = [
        name for name, values in allowed.items() if fields.get(name, values[0]) not in values
    ]
    refused += [n for n, value in fields.items() if value and n not in _READ | _IDLE]
    if refused:
        raise InputError(
            f"{path}: {refused[0]}={fields[refused[0]]!r} can't be expressed; merge the adapter "
            "into its base with PEFT, and import the result"
        )
    try:
        rank, alpha = fields["r"], fields["lora_alpha"]
        options = {"rank": rank, "alpha": alpha, "dropout": fields.get("lora_dropout", 0.0)}
        signatures.check(Lora, options)
        # rsLoRA divides by the root of the rank.
        alpha = alpha * math.sqrt(rank) if fields.get("use_rslora") else alpha
    except (KeyError, InputError) as error:
        raise InputError(f"{path}: not a PEFT adapter's ({error}); fetch it again") from error
    return Lora(**{**options, "alpha": alpha})
