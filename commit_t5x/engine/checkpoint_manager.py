"""How a training run saves checkpoints, and resumes from them with everything."""

import contextlib
import dataclasses
import itertools
import pathlib
from typing import Any, NamedTuple

import orbax.checkpoint as ocp

from commit_t5x import disk
from commit_t5x.engine import (
    checkpoint_arrays,
    checkpoints,
    data,
    train_state,
    utils,
)
from commit_t5x.engine.checkpoints import DATASET, PREFIX, STATE
from commit_t5x.errors import InputError


def writing(path: pathlib.Path) -> contextlib.AbstractContextManager[None]:
    """Raises what the operating system refuses a run that writes as an InputError."""
    remedy = "finished checkpoints are kept. Mend that, and run the same command again"
    return disk.writing(path, remedy)


class Resumed(NamedTuple):
    """What a run goes on from.

    Attributes:
      step: of the checkpoint.
      state: all that it holds.
      notes: a line for each later checkpoint that couldn't be read.
    """

    step: int
    state: train_state.TrainState
    notes: list[str]


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
        self._last_saved = 0
        options = ocp.CheckpointManagerOptions(
            step_prefix=PREFIX,
            max_to_keep=cfg.keep,
            keep_period=cfg.keep_period,
            cleanup_tmp_directories=True,
            save_root_metadata=False,
        )
        handlers = {STATE: ocp.PyTreeCheckpointHandler(), DATASET: _PositionHandler()}
        self._stack = contextlib.ExitStack()
        name = self._stack.enter_context(checkpoints.orbax_name(self.model_dir))
        self._manager = ocp.CheckpointManager(name, options=options, item_handlers=handlers)

    def latest_step(self) -> int | None:
        """Returns the step of the newest finished checkpoint, or None."""
        return self._manager.latest_step()

    def due(self, step: int) -> bool:
        """Returns whether the rule asks for a checkpoint at `step`."""
        return self._cfg.period is not None and step % self._cfg.period == 0

    def save(self, step: int, state: train_state.TrainState, iterator: data.TrainIterator) -> None:
        """Copies the state and starts writing it; waits for a save that is still under way.

        Raises:
          InputError: the one before couldn't be written, or this one can't.
        """
        item = state.state_dict()
        save_args = checkpoint_arrays.save_args(item)
        args = {
            STATE: ocp.args.PyTreeSave(item, save_args=save_args),
            DATASET: _PositionArgs(iterator),
        }
        self.wait()
        self._last_saved = step
        with self._writing():
            self._manager.save(step, args=ocp.args.Composite(**args), force=True)

    def resume(
        self, state: train_state.TrainState, iterator: data.TrainIterator, config: Any = None
    ) -> Resumed:
        """Restores the newest checkpoint that can be read; see `restore`.

        Later ones, which can't, are kept under another name: damaged_checkpoint_N.

        Raises:
          InputError: none can be read, or the checkpoint isn't of this run.
        """
        reasons: dict[int, str] = {}
        for step in reversed(checkpoints.all_steps(self.model_dir)):
            try:
                restored = self.restore(step, state, iterator, config)
            except checkpoints.DamagedError as error:
                reasons[step] = str(error).partition(";")[0]
                continue
            notes = [
                f"{reason}; it is {self._set_aside(damaged)} now"
                for damaged, reason in reasons.items()
            ]
            self._manager.reload()
            return Resumed(step, restored, notes)
        latest, *_ = reasons.values()
        raise InputError(
            f"{latest}, nor is there one before it; put a copy in its place, or choose another "
            "MODEL_DIR"
        )

    def _set_aside(self, step: int) -> str:
        folder = self.model_dir / f"{PREFIX}_{step}"
        names = (f"damaged_{folder.name}{f'.{n}' if n else ''}" for n in itertools.count())
        name = next(name for name in names if not (self.model_dir / name).exists())
        folder.rename(self.model_dir / name)
        return name

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
          DamagedError: the checkpoint can't be read.
          InputError: it is of another network, optimizer or data, or weights only.
        """
        folder = self.model_dir / f"{PREFIX}_{step}"
        shapes = state.state_dict()
        checkpoints.check_state(folder, shapes, config)
        args = {
            STATE: ocp.args.PyTreeRestore(item=shapes, restore_args=checkpoints.sharded(shapes)),
            DATASET: _PositionArgs(iterator),
        }
        with checkpoints.reading(folder):
            restored = self._manager.restore(step, args=ocp.args.Composite(**args))
        return state.restore_state(restored[STATE])

    def check(self) -> None:
        """Raises InputError if the checkpoint in the background failed; doesn't wait for it."""
        if not self._manager.is_saving_in_progress():
            self.wait()

    def wait(self) -> None:
        """Returns when the checkpoint that is being written is complete.

        Raises:
          InputError: it couldn't be written.
        """
        with self._writing():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and ends the background threads."""
        with self._writing(), self._stack:
            self._manager.close()

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return writing(self.model_dir / f"{PREFIX}_{self._last_saved}")


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
