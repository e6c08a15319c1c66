"""Checkpoints: where they lie, how a training run saves and resumes, how weights are read.

A model directory holds

    checkpoint_{step}/    Orbax; state/ in T5X's layout (target, state/step, state/param_states),
                          dataset/ with the position in the data. Written aside, then renamed.
    model_config.json     the network's configuration
    tokenizer.model       a copy of the tokenizer file (.json for a Hugging Face tokenizer)
    config.gin            the gin configuration of the run
"""

import dataclasses
import json
import pathlib
import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
import tensorstore as ts
from flax import traverse_util

from commit_t5x.engine import checkpoint_arrays, data, model_files, train_state, utils
from commit_t5x.errors import InputError
from commit_t5x.llama_config import LlamaConfig

_PREFIX = "checkpoint"
_STATE, _DATASET = "state", "dataset"


def all_steps(model_dir: str | pathlib.Path) -> list[int]:
    """Returns the steps of the finished checkpoints in a model directory, in order."""
    names = [path.name for path in pathlib.Path(model_dir).glob(f"{_PREFIX}_*")]
    # Unfinished ones carry a further suffix.
    matches = [re.fullmatch(rf"{_PREFIX}_(\d+)", name) for name in names]
    return sorted(int(match[1]) for match in matches if match)


def find(path: str | pathlib.Path) -> pathlib.Path:
    """Returns the checkpoint folder that `path` stands for.

    Args:
      path: a model directory, for its latest checkpoint, or a checkpoint_N folder.

    Raises:
      InputError: there is no checkpoint.
    """
    path = pathlib.Path(path)
    if re.fullmatch(rf"{_PREFIX}_\d+", path.name) and (path / _STATE).is_dir():
        return path
    if not path.is_dir():
        raise InputError(
            f"{path}: no such checkpoint; give a model directory or a {_PREFIX}_N folder in it"
        )
    steps = all_steps(path)
    if steps:
        return path / f"{_PREFIX}_{steps[-1]}"
    if (path / "config.json").is_file():
        raise InputError(
            f"{path}: a Hugging Face model, not a checkpoint; convert it first: "
            f"commit-t5x convert --from hf --to native {path} DST"
        )
    raise InputError(f"{path}: holds no {_PREFIX}_N folder; give a model directory")


def restore_params(
    path: str | pathlib.Path,
) -> tuple[dict[str, Any], LlamaConfig, pathlib.Path | None]:
    """Reads the weights of a checkpoint to the host.

    Args:
      path: a model directory (latest checkpoint) or a checkpoint_N folder.

    Returns:
      The parameters as numpy arrays, the network's configuration, and the tokenizer's copy (None if
      there is none).

    Raises:
      InputError: there is no checkpoint, or its configuration is missing.
    """
    folder = find(path)
    config = model_files.read_config(folder.parent)
    shapes = _param_shapes(folder)
    args = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), shapes)
    return _restore_target(folder, shapes, args), config, model_files.tokenizer(folder.parent)


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
    _check_params(folder, params)
    model_files.check_config(folder.parent, config)
    return _restore_target(folder, params, _sharded(params))


def save_params(
    model_dir: str | pathlib.Path,
    params: Any,
    config: LlamaConfig,
    tokenizer_path: str | pathlib.Path | None,
    step: int = 0,
) -> pathlib.Path:
    """Writes weights alone, from which training can start and evaluation and export can read.

    Args:
      model_dir: made if missing.
      params: nested dictionary of numpy or JAX arrays.
      config: of the network.
      tokenizer_path: copied beside the checkpoint; None for none.
      step: names the checkpoint.

    Returns:
      The checkpoint's folder.

    Raises:
      InputError: the checkpoint exists.
    """
    leaves = traverse_util.flatten_dict(params, sep="/")
    shapes = {path: leaf.shape for path, leaf in leaves.items()}
    folder, arrays = create_params(model_dir, shapes, step)
    model_files.write(pathlib.Path(model_dir), config, tokenizer_path)
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
    folder = model_dir / f"{_PREFIX}_{step}"
    if folder.exists():
        raise InputError(f"{folder}: exists; choose another directory")
    # Orbax writes the tree, with a number in each weight's place: shapes stand in the arrays alone.
    target = traverse_util.unflatten_dict(dict.fromkeys(shapes, np.zeros((), np.float32)), sep="/")
    state = {"target": target, "state": {"step": np.asarray(step, np.int32)}}
    options = ocp.CheckpointManagerOptions(step_prefix=_PREFIX, save_root_metadata=False)
    handlers = {_STATE: ocp.PyTreeCheckpointHandler()}
    with ocp.CheckpointManager(model_dir, options=options, item_handlers=handlers) as manager:
        manager.save(step, args=ocp.args.Composite(**{_STATE: ocp.args.PyTreeSave(state)}))
    return folder, checkpoint_arrays.create_all(folder / _STATE, shapes)


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
    paths = traverse_util.flatten_dict(_param_shapes(folder), sep="/")
    return folder, checkpoint_arrays.open_all(folder / _STATE, paths)


class CheckpointManager:
    """Saves a training run's checkpoints in the background, and resumes from the latest.

    A checkpoint appears under its name only when it is complete. Older ones are removed, by the
    rule of `cfg`, only when it has.

    Args:
      model_dir: made if missing.
      cfg: when to save, what to keep.
    """

    def __init__(self, model_dir: str | pathlib.Path, cfg: utils.SaveCheckpointConfig):
        self.model_dir = pathlib.Path(model_dir).absolute()
        self._cfg = cfg
        options = ocp.CheckpointManagerOptions(
            step_prefix=_PREFIX,
            max_to_keep=cfg.keep,
            keep_period=cfg.keep_period,
            cleanup_tmp_directories=True,
            save_root_metadata=False,
        )
        handlers = {_STATE: ocp.PyTreeCheckpointHandler(), _DATASET: _PositionHandler()}
        self._manager = ocp.CheckpointManager(
            self.model_dir, options=options, item_handlers=handlers
        )

    def latest_step(self) -> int | None:
        """Returns the step of the newest finished checkpoint, or None."""
        return self._manager.latest_step()

    def due(self, step: int) -> bool:
        """Returns whether the rule asks for a checkpoint at `step`."""
        return self._cfg.period is not None and step % self._cfg.period == 0

    def save(self, step: int, state: train_state.TrainState, iterator: data.TrainIterator) -> None:
        """Copies the state and starts writing it; waits for a save that is still under way."""
        item = state.state_dict()
        save_args = checkpoint_arrays.save_args(item)
        args = {
            _STATE: ocp.args.PyTreeSave(item, save_args=save_args),
            _DATASET: _PositionArgs(iterator),
        }
        self._manager.save(step, args=ocp.args.Composite(**args), force=True)

    def restore(
        self,
        step: int,
        state: train_state.TrainState,
        iterator: data.TrainIterator,
        config: Any = None,
    ) -> train_state.TrainState:
        """Returns the state of a checkpoint, and moves the iterator to its position.

        Args:
          step: of a finished checkpoint.
          state: abstract, with shardings; see TrainStateInitializer.train_state.
          iterator: over the same data.
          config: of the network; compared with the checkpoint's.

        Raises:
          InputError: the checkpoint is of another network, other data, or weights only.
        """
        folder = self.model_dir / f"{_PREFIX}_{step}"
        _check_params(folder, state.params)
        model_files.check_config(self.model_dir, config)
        if not (folder / _DATASET).is_dir():
            raise InputError(
                f"{folder}: weights only, a run can't resume from it; give it as "
                "INITIAL_CHECKPOINT_PATH and choose another MODEL_DIR"
            )
        shapes = state.state_dict()
        args = {
            _STATE: ocp.args.PyTreeRestore(item=shapes, restore_args=_sharded(shapes)),
            _DATASET: _PositionArgs(iterator),
        }
        restored = self._manager.restore(step, args=ocp.args.Composite(**args))
        return state.restore_state(restored[_STATE])

    def wait(self) -> None:
        """Returns when the checkpoint that is being written is complete."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and ends the background threads."""
        self._manager.close()


class _PositionHandler(ocp.CheckpointHandler):
    """Writes and reads a data iterator's position as an item of a checkpoint."""

    def save(self, directory, args: "_PositionArgs") -> None:
        args.iterator.save(pathlib.Path(directory))

    def restore(self, directory, args: "_PositionArgs") -> None:
        args.iterator.restore(pathlib.Path(directory))


@ocp.args.register_with_handler(_PositionHandler, for_save=True, for_restore=True)
@dataclasses.dataclass
class _PositionArgs(ocp.args.CheckpointArgs):
    iterator: data.TrainIterator


def _param_shapes(folder: pathlib.Path) -> Any:
    """Returns the parameters' metadata (shape, dtype) in a checkpoint, without their values."""
    try:
        metadata = ocp.PyTreeCheckpointHandler().metadata(folder.absolute() / _STATE)
        return metadata.tree["target"]
    except (FileNotFoundError, json.JSONDecodeError, KeyError) as error:
        raise InputError(
            f"{folder}: not a readable checkpoint ({error}); remove it to use the one before"
        ) from error


def _check_params(folder: pathlib.Path, params: Any) -> None:
    """Raises InputError naming the first parameter that differs between checkpoint and network."""
    saved = traverse_util.flatten_dict(_param_shapes(folder), sep="/")
    wanted = traverse_util.flatten_dict(params, sep="/")
    remedy = "choose the gin file of the checkpoint's model size, or another checkpoint"
    for name in sorted({*saved, *wanted}):
        shapes = [
            tuple(leaves[name].shape) if name in leaves else "missing" for leaves in (saved, wanted)
        ]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"{folder}: parameter {name} is {shapes[0]} in the checkpoint and {shapes[1]} in "
                f"the network; {remedy}"
            )


def _sharded(shapes: Any) -> Any:
    return jax.tree.map(
        lambda leaf: ocp.ArrayRestoreArgs(sharding=leaf.sharding, dtype=leaf.dtype), shapes
    )


def _restore_target(folder: pathlib.Path, shapes: Any, restore_args: Any) -> Any:
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), shapes)
    args = ocp.args.PyTreeRestore(
        item={"target": shapes}, restore_args={"target": restore_args}, partial_restore=True
    )
    with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
        return checkpointer.restore(folder.absolute() / _STATE, args=args)["target"]
