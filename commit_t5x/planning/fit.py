"""The fastest setting of a run that fits, found by trying.

Tried are microbatches, what the backward pass recomputes, and the type of the computation; where no
such setting fits, low-rank factors over a base in bfloat16, and at last in int8.
"""

import dataclasses
from collections.abc import Iterator, Sequence

from commit_t5x.errors import InputError
from commit_t5x.planning import counting, plan, recipe
from commit_t5x.planning.recipe import Change
from commit_t5x.planning.targets import Target

_GIB = 2**30
_REMAT = ("none", "minimal", "full")
_LORA = Change(files=("lora.gin",))
_INT8 = Change({"BASE_DTYPE": "'int8'"})


@dataclasses.dataclass(frozen=True)
class Found:
    """A setting that was tried.

    Attributes:
      change: to the run.
      plan: by shapes, or by the compiler.
    """

    change: Change
    plan: plan.Plan


def search(load: recipe.Load, target: Target, use_compiler: bool) -> list[Found]:
    """Returns the settings that fit, the fastest first.

    All are planned by shapes; with a compiler the first one by that. Training all weights goes
    before low-rank factors, and these over bfloat16 before those over int8: what is trained changes
    only where nothing else fits.

    Args:
      load: of the run.
      target: the devices.
      use_compiler: compile the fastest ones, a minute each, until the compiler says that one fits.

    Raises:
      InputError: nothing fits; the message tells what comes nearest.
    """
    own = on(load, target)
    nearest: list[tuple[float, Change]] = []
    for tier in _tiers(load(change=own)):
        step = plan.stand_in(load(change=own | tier), target)
        state = step.state.params, step.state.frozen, step.state.param_states
        if (needed := counting.state_bytes(state)) > target.capacity:
            nearest.append((needed, own | tier))
            continue
        tried = [_try(load, change, target) for change in _choices(load, own | tier)]
        nearest += [(needed, change) for needed, change, _ in tried]
        found = [Found(change, made) for _, change, made in tried if made is not None]
        found.sort(key=_seconds)
        if use_compiler and target.has_compiler:
            found = _compiled(found, load, target)
        if found:
            return found
    needed, change = min(nearest, key=lambda tried: tried[0])
    raise InputError(
        f"--fit: nothing fits {target.name}, {_gib(target.capacity)} a device; "
        f"{' '.join(change.flags) or 'the run as it is'} comes nearest, with {_gib(needed)} at "
        f"least by shapes; lower SEQUENCE_LENGTH, take a smaller network, or {target.larger}"
    )


def _seconds(found: Found) -> float:
    assert found.plan.time is not None
    return found.plan.time.total


def on(load: recipe.Load, target: Target) -> Change:
    """A run for another number of devices takes those that are there."""
    try:
        plan.stand_in(load(), target)
    except InputError as error:
        if "NUM_PARTITIONS" not in str(error):
            raise
        return Change({"NUM_PARTITIONS": "None"})
    return Change()


def _tiers(run: recipe.Recipe) -> Sequence[Change]:
    """The run's way of training, and those that need less."""
    options = run.model.lora
    if options.rank is None:
        return [Change(), _LORA, _LORA | _INT8]
    return [Change()] if options.base_dtype == "int8" else [Change(), _INT8]


def _choices(load: recipe.Load, change: Change) -> Iterator[Change]:
    """Yields a change with each of the other choices, where they differ from the run's."""
    module = load(change=change).model.module
    dtypes = dict.fromkeys([str(module.dtype), "bfloat16"])
    for dtype in dtypes:
        for remat in _REMAT:
            chosen = {"DTYPE": f"'{dtype}'"} if dtype != str(module.dtype) else {}
            if remat != module.remat_policy:
                chosen["REMAT_POLICY"] = f"'{remat}'"
            yield change | Change(chosen)


def _try(
    load: recipe.Load, change: Change, target: Target
) -> tuple[float, Change, plan.Plan | None]:
    """Returns the bytes needed with the fewest microbatches that fit, or with the most of them.

    And the change that sets these; and the plan, if it fits.
    """
    step = plan.stand_in(load(change=change), target)
    of_batch = counting.kept(step)
    for parts in microbatches(step):
        needed = counting.count(step, of_batch, parts).total
        if needed <= target.capacity:
            break
    if parts != step.trainer.num_microbatches:
        change = change | Change({"NUM_MICROBATCHES": str(parts)})
    if needed > target.capacity:
        return needed, change, None
    return (
        needed,
        change,
        plan.from_shapes(plan.stand_in(load(change=change), target), target, of_batch),
    )


def microbatches(step: recipe.Step) -> list[int]:
    """Returns the numbers of microbatches that the devices can share, the fewest first."""
    rows = step.batch_shape[0] // step.mesh["data"]
    return [parts for parts in range(1, rows + 1) if rows % parts == 0]


def _compiled(found: list[Found], load: recipe.Load, target: Target) -> list[Found]:
    """Puts the first one that the compiler finds to fit in front, planned by it."""
    for number, candidate in enumerate(found):
        made = plan.make_plan(load(change=candidate.change), target, use_compiler=True)
        if made.fits:
            return [Found(candidate.change, made), *found[number + 1 :]]
    return []


def _gib(num_bytes: float) -> str:
    return f"{num_bytes / _GIB:.2f} GiB"
