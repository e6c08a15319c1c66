"""Training that begins with the rows that `commit-t5x vocab extend` gave embedding and head."""

import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import optax

from commit_t5x import disk, ranges
from commit_t5x.errors import InputError
from commit_t5x.model.lora import EMBEDDING, FACTORS, HEAD
from commit_t5x.model.optim import Optimizer

FILE = "vocabulary_extension.json"  # beside the weights; "old_tokens" is the first new row
_TABLES = {(EMBEDDING, "embedding"): 0, (HEAD, "kernel"): 1}  # weight -> axis of the tokens


def first(
    optimizer: Any,
    steps: ranges.Count = 0,
    path: ranges.Location | None = None,
    train_old_rows: bool = True,
) -> optax.GradientTransformation:
    """Lets an optimizer change new rows alone for the first steps, and then everything.

    Until then nothing else moves, nor decays. Adam's moments are those of all gradients from the
    first step on: begun later, they would be too small for their bias correction, and the first
    steps of everything too large.

    Args:
      optimizer: e.g. `optim.adamw(...)`.
      steps: so many.
      path: of what `commit-t5x vocab extend` wrote: the model directory, or a checkpoint in it.
      train_old_rows: whether the other rows belong to everything; False leaves them as they are.
        With 0 steps, True returns the optimizer as it is.

    Raises:
      InputError: there is no such path; or (by `update`) the embedding isn't trained, or old rows
        are to stay and low-rank factors would change them.
    """
    if not steps and train_old_rows:
        return optimizer
    macro = "NEW_ROWS_ONLY_STEPS" if steps else "TRAIN_OLD_ROWS"
    first_new = _first_new_row(path, macro)
    chained = optax.chain(optimizer, _masked(first_new, steps, train_old_rows, macro))
    if not isinstance(optimizer, Optimizer):
        return chained
    return Optimizer(chained.init, chained.update, optimizer.learning_rate)


def file_of(model: str | pathlib.Path) -> pathlib.Path:
    """Returns where FILE lies, or would, of a model directory or a checkpoint in it."""
    place = pathlib.Path(model).expanduser()
    return (place.parent if place.name.startswith("checkpoint_") else place) / FILE


def _first_new_row(path: str | None, macro: str) -> int:
    remedy = "give INITIAL_CHECKPOINT_PATH what `commit-t5x vocab extend --to native` wrote"
    if path is None:
        raise InputError(f"{macro}: there are no new rows; {remedy}, or leave new_rows.gin out")
    file = file_of(path)
    number = disk.read_json(file, remedy).get("old_tokens")
    if type(number) is not int:
        raise InputError(f"{file}: doesn't say which rows are new; {remedy}")
    return number


def _masked(
    first_new: int, steps: int, train_old_rows: bool, macro: str
) -> optax.GradientTransformation:
    # The state is one of optax's own, which T5X knows how to keep.
    def init(params: Any) -> optax.ScaleByScheduleState:
        del params
        return optax.ScaleByScheduleState(count=jnp.zeros((), jnp.int32))

    def update(updates: Any, state: optax.ScaleByScheduleState, params: Any = None) -> Any:
        del params
        paths = [_names(path) for path, _ in jax.tree_util.tree_leaves_with_path(updates)]
        if not any(path[-2:] in _TABLES for path in paths):
            raise InputError(
                f"{macro}: the embedding isn't trained; set "
                f"""--gin.TRAINED_PARTS="('{EMBEDDING}',)\""""
            )
        adapted = [
            path[-2] for path in paths if path[-1] in FACTORS and path[-2] in (EMBEDDING, HEAD)
        ]
        if adapted and not train_old_rows:
            raise InputError(
                f"TRAIN_OLD_ROWS: factors of {adapted[0]} change its old rows, too; take it out of "
                "LORA_TARGETS"
            )
        everything = state.count >= steps

        def masked(path: Any, leaf: jax.Array) -> jax.Array:
            axis = _TABLES.get(_names(path)[-2:])
            if axis is None:
                return jnp.where(everything, leaf, jnp.zeros_like(leaf))
            rows = jax.lax.broadcasted_iota(jnp.int32, leaf.shape, axis)
            moves = (rows >= first_new) | (everything & train_old_rows)
            return jnp.where(moves, leaf, jnp.zeros_like(leaf))

        updates = jax.tree_util.tree_map_with_path(masked, updates)
        return updates, optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)


def _names(path: Any) -> tuple[str, ...]:
    return tuple(str(getattr(key, "key", key)) for key in path)
