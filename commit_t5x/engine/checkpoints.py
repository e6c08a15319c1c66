"""Checkpoints: where they lie, and how weights are read and written.

A model directory holds

    checkpoint_{step}/    Orbax; state/ in T5X's layout (target, state/step, state/param_states),
                          dataset/ with the position in the data. Written aside, then renamed.
    model_config.json     the network's configuration
    tokenizer.model       the tokenizer (.json for Hugging Face's), tokenizer_config.json and
                          generation_config.json where they say more
    config.gin            the gin configuration of the run

How a training run saves and resumes: commit_t5x.engine.checkpoint_manager.
"""

import contextlib
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from flax import traverse_util

from commit_t5x.engine import checkpoint_arrays, model_files
from commit_t5x.errors import InputError
from commit_t5x.model.llama_config import LlamaConfig
from commit_t5x.vocabularies.tokenizer import Tokenizer

PREFIX = "checkpoint"
STATE, DATASET = "state", "dataset"


class DamagedError(InputError):
    """A checkpoint can't be read."""


def all_steps(model_dir: str | pathlib.Path) -> list[int]:
    """Returns the steps of the finished checkpoints in a model directory, in order."""
    names = [path.name for path in pathlib.Path(model_dir).glob(f"{PREFIX}_*")]
    # Unfinished ones carry a further suffix.
    matches = [re.fullmatch(rf"{PREFIX}_(\d+)", name) for name in names]
    return sorted(int(match[1]) for match in matches if match)


def find(path: str | pathlib.Path) -> pathlib.Path:
    """Returns the checkpoint folder that `path` stands for.

    Args:
      path: a model directory, for its latest checkpoint, or a checkpoint_N folder.

    Raises:
      InputError: there is no checkpoint.
    """
    path = pathlib.Path(path)
    if re.fullmatch(rf"{PREFIX}_\d+", path.name) and (path / STATE).is_dir():
        return path
    if not path.is_dir():
        raise InputError(
            f"{path}: no such checkpoint; give a model directory or a {PREFIX}_N folder in it"
        )
    steps = all_steps(path)
    if steps:
        return path / f"{PREFIX}_{steps[-1]}"
    if (path / "config.json").is_file():
        raise InputError(
            f"{path}: a Hugging Face model, not a checkpoint; convert it first: "
            f"commit-t5x convert --from hf --to native {path} DST"
        )
    raise InputError(f"{path}: holds no {PREFIX}_N folder; give a model directory")


def load_params(path: str | pathlib.Path, params: Any, config: Any = None) -> Any:
    """Reads the weights of a checkpoint into shards.

    Args:
      path: a model directory (latest checkpoint) or a checkpoint_N folder.
      params: `jax.ShapeDtypeStruct`s with shardings; see TrainStateInitializer.params.
      config: of the network that the weights are for; compared with the checkpoint's.

    Raises:
      InputError: there is no checkpoint, or it is of another network.
    """
    folder = find(path)
    check_shapes(folder, {"target": params})
    model_files.check_config(folder.parent, config)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params)
    args = ocp.args.PyTreeRestore(
        item={"target": shapes}, restore_args={"target": sharded(params)}, partial_restore=True
    )
    with reading(folder), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        return checkpointer.restore(folder.absolute() / STATE, args=args)["target"]


def save_params(
    model_dir: str | pathlib.Path,
    params: Any,
    config: LlamaConfig,
    tokenizer: Tokenizer | None,
    step: int = 0,
) -> pathlib.Path:
    """Writes weights alone, from which training can start and evaluation and export can read.

    Args:
      model_dir: made if missing.
      params: nested dictionary of numpy or JAX arrays.
      config: of the network.
      tokenizer: goes beside the checkpoint; None for none.
      step: names the checkpoint.

    Returns:
      The checkpoint's folder.

    Raises:
      InputError: the checkpoint exists.
    """
    leaves = traverse_util.flatten_dict(params, sep="/")
    shapes = {path: leaf.shape for path, leaf in leaves.items()}
    folder, arrays = create_params(model_dir, shapes, step)
    model_files.write(pathlib.Path(model_dir), config, tokenizer)
    for path, leaf in leaves.items():
        arrays[path].write(np.asarray(leaf)).result()
    return folder


def create_params(
    model_dir: str | pathlib.Path, shapes: Mapping[str, tuple[int, ...]], step: int = 0
) -> tuple[pathlib.Path, dict[str, ts.TensorStore]]:
    """Makes a checkpoint of weights alone, to be filled in slices.

    Args:
      model_dir: made if missing.
      shapes: of the weights by path, joined by slashes.
      step: names the checkpoint.

    Returns:
      The checkpoint's folder, and the fp32 arrays to write to; see checkpoint_arrays.create_all.

    Raises:
      InputError: the checkpoint exists.
    """
    model_dir = pathlib.Path(model_dir).absolute()
    folder = model_dir / f"{PREFIX}_{step}"
    if folder.exists():
        raise InputError(f"{folder}: exists; choose another directory")
    # Orbax writes the tree, with a number in each weight's place: shapes stand in the arrays alone.
    target = traverse_util.unflatten_dict(dict.fromkeys(shapes, np.zeros((), np.float32)), sep="/")
    state = {"target": target, "state": {"step": np.asarray(step, np.int32)}}
    options = ocp.CheckpointManagerOptions(step_prefix=PREFIX, save_root_metadata=False)
    # OCDBT, Orbax's default, writes one tensor at a time.
    handlers = {STATE: ocp.PyTreeCheckpointHandler(use_ocdbt=False)}
    with (
        orbax_name(model_dir) as name,
        ocp.CheckpointManager(name, options=options, item_handlers=handlers) as manager,
    ):
        manager.save(step, args=ocp.args.Composite(**{STATE: ocp.args.PyTreeSave(state)}))
    return folder, checkpoint_arrays.create_all(folder / STATE, shapes)


@contextlib.contextmanager
def orbax_name(directory: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a name by which Orbax can write to a directory, which is made if missing.

    Orbax looks for parts of what it wrote by patterns that begin with the directory's own name, and
    finds none where that has brackets in it.
    """
    if "[" not in str(directory):
        yield directory
        return
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        link = pathlib.Path(folder, "model")
        link.symlink_to(directory, target_is_directory=True)
        yield link


def open_params(
    path: str | pathlib.Path,
) -> tuple[pathlib.Path, dict[str, ts.TensorStore]]:
    """Opens the weights of a checkpoint, to be read in slices.

    Args:
      path: a model directory (latest checkpoint) or a checkpoint_N folder.

    Returns:
      The checkpoint's folder, and its weights by path, joined by slashes.

    Raises:
      InputError: there is no checkpoint, or it is damaged.
    """
    folder = find(path)
    paths = traverse_util.flatten_dict(saved_shapes(folder)["target"], sep="/")
    return folder, checkpoint_arrays.open_all(folder / STATE, paths)


@contextlib.contextmanager
def reading(folder: pathlib.Path) -> Iterator[None]:
    """Raises what a damaged checkpoint brings about inside as a DamagedError.

    Raises:
      InputError: permissions forbid to read it.
    """
    try:
        yield
    except Exception as error:  # Orbax wraps errors of tensorstore in a plain Exception
        wrapped = type(error) is Exception and isinstance(error.__cause__, ValueError)
        if not (wrapped or isinstance(error, OSError | ValueError | KeyError)):
            raise
        reason = str(error.__cause__ if wrapped else error).partition("\n")[0]
        reason = re.sub(r" \[\w+=.*", "", reason)  # tensorstore's account of its settings
        if "Permission denied" in reason:  # nothing is wrong with the checkpoint
            raise InputError(f"{folder}: can't be read ({reason}); make it readable") from error
        raise DamagedError(
            f"{folder}: not a readable checkpoint ({reason}); remove it to use the one before"
        ) from error


def saved_shapes(folder: pathlib.Path) -> Any:
    """Returns the state in a checkpoint as metadata (shape, dtype) without values: "target" etc.

    Raises:
      DamagedError: it can't be read.
    """
    with reading(folder):
        tree = ocp.PyTreeCheckpointHandler().metadata(folder.absolute() / STATE).tree
        return {"target": tree["target"], "state": tree.get("state", {})}


def check_readable(folder: pathlib.Path) -> None:
    """Reads all of a checkpoint, a slice at a time.

    Raises:
      DamagedError: it can't be read.
    """
    paths = _by_path(saved_shapes(folder), _shape)
    with reading(folder):
        checkpoint_arrays.read_through(folder / STATE, paths)


def check_shapes(
    folder: pathlib.Path,
    wanted: Mapping[str, Any],
    dtypes: bool = False,
    saved: Mapping[str, Any] | None = None,
) -> None:
    """Raises InputError naming the first array that differs between checkpoint and run.

    Args:
      folder: of the checkpoint.
      wanted: `jax.ShapeDtypeStruct`s of the run, below "target" (parameters) and maybe "state".
      dtypes: whether types must be the same, too; else arrays are cast when they are restored.
      saved: the same of the checkpoint; by default what it says itself.
    """
    saved = saved_shapes(folder) if saved is None else saved
    for describe in (_shape, _dtype) if dtypes else (_shape,):
        for part, tree in wanted.items():
            has, needs = (_by_path(trees, describe) for trees in (saved[part], tree))
            for name in sorted({*has, *needs}):
                if has.get(name) != needs.get(name):
                    what, where, hint = _MISMATCH["rng" if name == "rng" and "rng" in has else part]
                    raise InputError(
                        f"{folder}: {what} {name} is {has.get(name, 'missing')} in the checkpoint "
                        f"and {needs.get(name, 'missing')} in the {where}; {hint}"
                    )


def check_state(folder: pathlib.Path, wanted: Mapping[str, Any], config: Any) -> None:
    """Raises InputError if a run can't go on from a checkpoint.

    Args:
      folder: of the checkpoint.
      wanted: the run's state, abstract, below "target" and "state".
      config: of the network; compared with the checkpoint's.
    """
    saved = saved_shapes(folder)
    check_shapes(folder, {"target": wanted["target"]}, saved=saved)
    model_files.check_config(folder.parent, config)
    if "param_states" in {*wanted["state"]} - {*saved["state"]}:
        raise InputError(
            f"{folder}: weights only, a run can't resume from it; give it as "
            "INITIAL_CHECKPOINT_PATH and choose another MODEL_DIR"
        )
    names = {*wanted["state"], "param_states"}  # T5X has no key, and some optimizers no state
    state = {name: saved["state"].get(name) for name in names}
    for part, has in {"target": saved["target"], "state": state}.items():
        check_shapes(folder, {part: wanted[part]}, dtypes=True, saved={part: has})


def _shape(leaf: Any) -> tuple[int, ...]:
    return tuple(leaf.shape)


def _dtype(leaf: Any) -> str:
    return np.dtype(leaf.dtype).name


def _by_path(tree: Any, describe: Callable[[Any], Any]) -> dict[str, Any]:
    leaves = traverse_util.flatten_dict(tree, sep="/")
    return {path: describe(leaf) for path, leaf in leaves.items() if hasattr(leaf, "shape")}


_MISMATCH = {
    "target": (
        "parameter",
        "network",
        "choose the gin file of the checkpoint's size and its SCAN_LAYERS, or another checkpoint",
    ),
    "rng": ("the key", "run", "resume with the JAX_DEFAULT_PRNG_IMPL of the checkpoint"),
    "state": (
        "optimizer state",
        "run",
        "resume with the optimizer of the checkpoint, or give it as INITIAL_CHECKPOINT_PATH and "
        "choose another MODEL_DIR",
    ),
}


def sharded(shapes: Any) -> Any:
    """Returns Orbax's arguments that restore arrays into the shards of `shapes`."""
    return jax.tree.map(
        lambda leaf: ocp.ArrayRestoreArgs(sharding=leaf.sharding, dtype=leaf.dtype), shapes
    )
