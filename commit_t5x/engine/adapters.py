"""Checkpoints of low-rank factors: what they belong to, and their weights as those of any other.

Such checkpoints hold what was trained alone. Beside them lies `adapter.json`: the factors' options,
and what the base was, by its place and a fingerprint of its weights. Whoever reads weights through
this module gets a whole network's: the factors are merged into the base layer by layer.
"""

import dataclasses
import json
import logging
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import traverse_util

from commit_t5x import disk, fingerprints, signatures
from commit_t5x.engine import checkpoints, merged_weights, model_files
from commit_t5x.errors import InputError
from commit_t5x.model import lora
from commit_t5x.model.lora import Lora

_LOGGER = logging.getLogger(__name__)

FILE = "adapter.json"


@dataclasses.dataclass(frozen=True)
class Adapter:
    """What the factors in a model directory belong to.

    Attributes:
      lora: their options.
      base: the checkpoint folder that they were trained over.
      fingerprint: of its weights, all of them.
      files: a hash over names, sizes and times of its files: while these stay, the weights are
        known without reading them.
    """

    lora: Lora
    base: str
    fingerprint: str
    files: str


def describe(
    options: Lora, base: str | None, model_dir: pathlib.Path | None = None
) -> Adapter | None:
    """Returns what a run's factors belong to, None where it has none.

    Args:
      options: of the run.
      base: a model directory (its latest checkpoint) or a checkpoint_N folder.
      model_dir: of the run, which may know the base already.

    Raises:
      InputError: no base, or none that can be read.
    """
    if options.rank is None:
        return None
    if base is None:
        raise InputError(
            "INITIAL_CHECKPOINT_PATH: low-rank factors need weights to be trained over; give a "
            "checkpoint, or leave lora.gin out to train all weights"
        )
    folder, leaves = open_params(base)
    if model_dir is not None:
        _tell_of_new_rows(options, folder, leaves)
    found = Adapter(options, str(folder.resolve()), "", _files(folder))
    saved = None if model_dir is None else read(model_dir)
    known = saved is not None and (saved.base, saved.files) == (found.base, found.files)
    own = saved.fingerprint if saved and known else merged_weights.fingerprint(str(folder), leaves)
    return dataclasses.replace(found, fingerprint=own)


def _tell_of_new_rows(options: Lora, base: pathlib.Path, leaves: Iterable[str]) -> None:
    """Warns where rows that `commit-t5x vocab extend` has just made would stay as they are."""
    from commit_t5x.model import new_rows  # here: it loads optax, which other commands do without

    if not new_rows.file_of(base).is_file():
        return
    tables = [path.split("/") for path in leaves if path.startswith((lora.EMBEDDING, lora.HEAD))]
    still = [p[0] for p in tables if not (options.trains(p) or options.adapts(p[0]))]
    if still:
        still.sort(key=(lora.EMBEDDING, lora.HEAD).index)
        parts = (*options.trained_parts, *still)
        _LOGGER.warning(
            "%s: the new tokens' rows of %s stay as they began, since factors are on other weights;"
            ' --gin.TRAINED_PARTS="%s" trains them (docs/vocabulary.md)',
            *(base, " and ".join(still), parts),
        )


def _files(folder: pathlib.Path) -> str:
    return fingerprints.of_names(folder, [*folder.rglob("*"), folder.parent / FILE], times=True)


def read(model_dir: pathlib.Path) -> Adapter | None:
    """Returns what the checkpoints in a model directory belong to; None: they are whole networks.

    Raises:
      InputError: the file is broken.
    """
    path = model_dir / FILE
    if not path.is_file():
        return None
    remedy = "copy it from the run that wrote the checkpoints"
    fields = disk.read_json(path, remedy)
    try:
        signatures.check(Lora, fields["lora"])
        adapter = Adapter(
            Lora(**fields["lora"]),
            str(model_dir / fields["base"]),  # one that somebody wrote may be relative
            *(str(fields[name]) for name in ("fingerprint", "files")),
        )
        if adapter.lora.rank is None:
            raise InputError("no rank")
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{path}: not what training writes ({error}); {remedy}") from error
    return adapter


def write(model_dir: pathlib.Path, adapter: Adapter | None) -> None:
    """Writes the file beside checkpoints, or for a whole network's removes it.

    It is there where a run of factors came to no checkpoint.
    """
    if adapter is None:
        (model_dir / FILE).unlink(missing_ok=True)
        return
    disk.write(model_dir / FILE, json.dumps(dataclasses.asdict(adapter), indent=2) + "\n")


def bases(adapter: Adapter | None) -> list[str]:
    """Returns the checkpoint under an adapter's factors, and those under its own, and so on."""
    found: list[str] = []
    while adapter is not None and adapter.base not in found:
        found.append(adapter.base)
        adapter = read(pathlib.Path(adapter.base).parent)
    return found


def check(model_dir: pathlib.Path, adapter: Adapter | None) -> None:
    """Raises InputError if the run in a directory has other factors, or another base."""
    saved = read(model_dir)
    if adapter is None or saved is None:
        if adapter is not saved:
            trained = ("all weights", "low-rank factors")
            was, now = trained if saved is None else reversed(trained)
            remedy = "leave LORA_RANK out" if saved is None else "add --gin_file=lora.gin"
            raise InputError(
                f"{model_dir}: holds a run that trains {was}, not {now}; {remedy}, or choose "
                "another MODEL_DIR"
            )
        return
    _check_options(model_dir, saved.lora, adapter.lora, lora.MACROS)
    if saved.fingerprint != adapter.fingerprint:
        other = f"isn't what {model_dir} was trained over, {saved.base}; give that"
        if saved.base == adapter.base:
            other = f"has other weights now than {model_dir} was trained over; put them back"
        raise InputError(
            f"INITIAL_CHECKPOINT_PATH: {adapter.base} {other}, or choose another MODEL_DIR"
        )


def _check_options(model_dir: pathlib.Path, saved: Lora, own: Lora, names: Any) -> None:
    for name in names:
        was, now = getattr(saved, name), getattr(own, name)
        same = {*was} == {*now} if isinstance(was, tuple) else was == now
        if not same:
            raise InputError(
                f"{lora.MACROS[name]}: {now!r}, and the run in {model_dir} has {was!r}; go back to "
                "that, or choose another directory"
            )


def open_params(
    path: str | pathlib.Path, quantized_base: bool = False, above: Sequence[pathlib.Path] = ()
) -> tuple[pathlib.Path, dict[str, Any]]:
    """Opens the weights of a checkpoint, to be read by a `merged_weights.Reader`.

    Args:
      path: a model directory (latest checkpoint) or a checkpoint_N folder.
      quantized_base: factors are merged into the base as training had it, in BASE_DTYPE; by default
        into the base itself.
      above: model directories whose base this is, or a base of their base.

    Returns:
      The checkpoint's folder, and the leaves of the whole network by path, joined by slashes.

    Raises:
      InputError: there is no checkpoint, it is damaged, or its base is gone or another one.
    """
    folder, own = checkpoints.open_params(path)
    adapter = read(folder.parent)
    if adapter is None:
        _check_whole(folder, own)
        return folder, own
    opened = _open_base(folder.parent, adapter, above)
    options, leaves = adapter.lora, _laid_out_as(own, opened)
    for name, base in leaves.items():
        leaves[name] = own.pop(name, base)
        module, _, leaf = name.rpartition("/")
        if leaf in ("kernel", "embedding"):
            a, b = (own.pop(f"{module}/{factor}", None) for factor in lora.FACTORS)
            if a is not None and a.shape[-1] != options.rank:
                raise InputError(
                    f"{folder.parent / FILE}: has a rank of {options.rank}, and the factors one of "
                    f"{a.shape[-1]}; copy it from the run that wrote the checkpoints"
                )
            kept = options.dtype_of(name.split("/")) if quantized_base else "float32"
            leaves[name] = merged_weights.Merged(leaves[name], a, b, options.scaling, kept)
    if own:
        raise InputError(f"{folder}: {min(own)} belongs to no weight of its base, {adapter.base}")
    return folder, leaves


def _check_whole(folder: pathlib.Path, leaves: Iterable[str]) -> None:
    """Raises InputError where weights of a whole network are factors that are all alone."""
    if any(name.endswith(lora.FACTORS) for name in leaves):
        raise InputError(
            f"{folder}: holds low-rank factors, and {folder.parent / FILE}, which says of what "
            "base, is gone; copy it from the run that wrote the checkpoint"
        )


def _open_base(
    model_dir: pathlib.Path, adapter: Adapter, above: Sequence[pathlib.Path] = ()
) -> dict[str, Any]:
    if model_dir.resolve() in above:
        raise InputError(
            f"{model_dir / FILE}: its base leads back to itself; copy it from the run that wrote "
            "the checkpoints"
        )
    remedy = f'put it back, or write where it is as "base" into {model_dir / FILE}'
    if not pathlib.Path(adapter.base).is_dir():
        raise InputError(
            f"{model_dir}: holds low-rank factors over {adapter.base}, which is gone; {remedy}"
        )
    folder, leaves = open_params(adapter.base, above=[*above, model_dir.resolve()])
    is_same = _files(folder) == adapter.files
    if not is_same and merged_weights.fingerprint(str(folder), leaves) != adapter.fingerprint:
        raise InputError(
            f"{model_dir}: holds low-rank factors over {adapter.base}, where other weights are "
            f"now; {remedy}"
        )
    return leaves


def _laid_out_as(wanted: Iterable[str], leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Returns stacked leaves layer by layer, if a network whose layers are unrolled wants them."""
    if not any(map(_is_unrolled, wanted)):
        return dict(leaves)
    found = {}
    for name, leaf in leaves.items():
        if name.startswith("layers/"):
            inner = name.removeprefix("layers/")
            found |= {
                f"layers_{i}/{inner}": merged_weights.layer(leaf, i) for i in range(leaf.shape[0])
            }
        else:
            found[name] = leaf
    return found


def _is_unrolled(name: str) -> bool:
    return name.startswith("layers_")


def load_params(
    path: str | pathlib.Path, params: Any, config: Any = None, options: Lora | None = None
) -> Any:
    """Reads the weights of a checkpoint into shards, in the types of a network's parameters.

    Args:
      path: a model directory (latest checkpoint) or a checkpoint_N folder.
      params: `jax.ShapeDtypeStruct`s with shardings; see TrainStateInitializer.params. Where they
        have factors, the checkpoint's own are taken, and else they are merged into the rest.
      config, options: of the network; compared with the checkpoint's.

    Raises:
      InputError: there is no checkpoint, it is of another network or other factors, or its base is
        gone or another one.
    """
    folder = checkpoints.find(path)
    adapter = read(folder.parent)
    if adapter is None:
        saved = checkpoints.saved_shapes(folder)["target"]
        _check_whole(folder, traverse_util.flatten_dict(saved, sep="/"))
    wanted = traverse_util.flatten_dict(params, sep="/")
    types = {str(leaf.dtype) for leaf in wanted.values()}
    unrolled = any(map(_is_unrolled, wanted))
    if adapter is None and "int8" not in types and not lora.factors(params) and not unrolled:
        return checkpoints.load_params(folder, params, config)
    model_files.check_config(folder.parent, config)
    if not lora.factors(params):
        leaves = open_params(folder)[1]
    elif adapter is None:
        raise InputError(f"{folder}: holds no low-rank factors; leave lora.gin out")
    else:
        meant = ("rank", "alpha", "targets", "trained_parts")  # what the weights depend on
        _check_options(folder.parent, adapter.lora, options or Lora(), meant)
        own = checkpoints.open_params(folder)[1]
        leaves = _laid_out_as(own, _open_base(folder.parent, adapter)) | own
    leaves = _laid_out_as(wanted, leaves)
    whole = {name: leaf for name, leaf in wanted.items() if not name.endswith(lora.SCALE)}
    nested = (traverse_util.unflatten_dict(tree, sep="/") for tree in (whole, leaves))
    needs, has = ({"target": tree} for tree in nested)
    checkpoints.check_shapes(folder, needs, saved=has)
    reader, found = merged_weights.Reader(str(folder)), {}
    for name, leaf in whole.items():
        array, scales = _read(reader, leaves[name], name, leaf)
        found[name] = jax.device_put(array, leaf.sharding)
        if scales is not None:
            beside = f"{name.rpartition('/')[0]}/{lora.SCALE}"
            found[beside] = jax.device_put(scales, wanted[beside].sharding)
    return traverse_util.unflatten_dict(found, sep="/")


def _read(
    reader: merged_weights.Reader, leaf: Any, name: str, wanted: Any
) -> tuple[np.ndarray, Any]:
    """Returns a weight in the type that is wanted, and its scales; one layer is wide at a time."""
    kind = str(wanted.dtype)
    if not name.startswith("layers/"):
        return merged_weights.kept(reader(leaf, None), kind)
    array, scales = np.empty(leaf.shape, wanted.dtype), []
    for index in range(leaf.shape[0]):
        array[index], scale = merged_weights.kept(reader(leaf, index), kind)
        scales.append(scale)
    return array, np.stack(scales) if kind == "int8" else None
