"""The fastest setting of a run that fits, found by trying.

Tried are microbatches, what the backward pass recomputes, and the type of the computation; where no
such setting fits, low-rank factors over a base in bfloat16, and at last in int8.
"""

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from commit_t5x.errors import InputError
from commit_t5x.planning import counting, plan, recipe
from commit_t5x.planning.counting import gib
from commit_t5x.planning.recipe import Change
from commit_t5x.planning.targets import Target

# Where no compiler has the last word, this share must be left: shapes have told up to a tenth less
# than the TPU's compiler.
_RESERVE = 0.1
_REMAT = ("none", "minimal", "full")
_LORA = Change(files=("lora.gin",))
_INT8 = Change({"BASE_DTYPE": "'int8'"})
_BF16 = Change({"BASE_DTYPE": "'bfloat16'"})


@dataclasses.dataclass(frozen=True)
class Found:
    """A setting that was tried.

    Attributes:
      change: to the run.
      plan: by shapes, or by the compiler.
      choice: what of the change isn't the number of microbatches; and that which computes nothing
        anew, and is otherwise the same.
    """

    change: Change
    plan: plan.Plan
    choice: tuple[Change, Change]


class Search:
    """Tries settings of a run, for one target after another; what it has traced it keeps.

    All are planned by shapes, and with a compiler the first one by that; without one a tenth of the
    memory is left. Training all weights goes before low-rank factors, and these over bfloat16
    before those over int8: what is trained changes only where nothing else fits.

    Args:
      load: of the run.
      use_compiler: compile the fastest ones, minutes each, until the compiler says that one fits.

    Example:
      >>> Search(load, use_compiler=False).on(targets.parse("rtx4090"))[0].change.flags
      ['--gin_file=lora.gin', '--gin.NUM_PARTITIONS=None', ...]
    """

    def __init__(self, load: recipe.Load, use_compiler: bool):
        self._load = load
        self._use_compiler = use_compiler
        self._seen: dict[tuple[Any, ...], _Traced] = {}

    def on(self, target: Target) -> list[Found]:
        """Returns the settings that fit, the fastest first.

        Raises:
          InputError: nothing fits; the message tells what comes nearest.
        """
        own = self._devices(target)
        nearest: list[tuple[float, Change]] = []
        for tier in _tiers(self._load(change=own)):
            needed = _state(self._traced(own | tier, target).step)
            if not self._fits(needed, target):
                nearest.append((needed, own | tier))
                continue
            found = []
            for choice in self._choices(own | tier):
                needed, change, made = self._try(choice, target)
                nearest.append((needed, change))
                if made is not None:
                    found.append(Found(change, made, choice))
            found.sort(key=_seconds)
            if self._confirms(target):
                found = self._compiled(found, target, nearest)
            if found:
                return found
        needed, change = min(nearest, key=lambda tried: tried[0])
        reserve = "" if self._confirms(target) else ", with a tenth left"
        raise InputError(
            f"--fit: nothing fits {target.name}, {gib(target.capacity)} a device{reserve}; "
            f"{' '.join(change.flags) or 'the run as it is'} comes nearest, with "
            f"{gib(needed)} at least; lower SEQUENCE_LENGTH, take a smaller network, or "
            f"{target.larger(needed / target.capacity)}"
        )

    def _traced(self, change: Change, target: Target, plain: "_Traced | None" = None) -> "_Traced":
        key = (*change.flags, target.num_devices)
        if key not in self._seen:
            self._seen[key] = _Traced(plan.stand_in(self._load(change=change), target), plain)
        return self._seen[key]

    def _devices(self, target: Target) -> Change:
        """A run for another number of devices takes those that are there."""
        try:
            self._traced(Change(), target)
        except InputError as error:
            if "NUM_PARTITIONS" not in str(error):
                raise
            return Change({"NUM_PARTITIONS": "None"})
        return Change()

    def _choices(self, change: Change) -> Iterator[tuple[Change, Change]]:
        """Yields a change with each of the other choices, where they differ from the run's.

        And that which computes nothing anew, and is otherwise the same.
        """
        module = self._load(change=change).model.module
        for dtype in dict.fromkeys([str(module.dtype), "bfloat16"]):
            for remat in _REMAT:
                chosen = {"DTYPE": f"'{dtype}'"} if dtype != str(module.dtype) else {}
                if remat != module.remat_policy:
                    chosen["REMAT_POLICY"] = f"'{remat}'"
                choice = change | Change(chosen)
                if remat == "none":
                    plain = choice
                yield choice, plain

    def _try(
        self, choice: tuple[Change, Change], target: Target, refused: int = 0, factor: float = 1.0
    ) -> tuple[float, Change, plan.Plan | None]:
        """Returns the bytes needed with the fewest microbatches that fit, or with the most of them.

        And the change that sets these; and the plan, if it fits. Numbers up to `refused` are out,
        and those that need too much when shapes tell too little by a factor.
        """
        change, plain = choice
        traced = self._traced(change, target, self._traced(plain, target))
        more = [parts for parts in microbatches(traced.step) if parts > refused]
        if not more:
            return math.inf, change, None
        for parts in more:
            needed = counting.count(traced.step, traced.kept, parts).total
            if self._fits(factor * needed, target):
                break
        if parts != traced.step.trainer.num_microbatches:
            change = change | Change({"NUM_MICROBATCHES": str(parts)})
        if not self._fits(factor * needed, target):
            return needed, change, None
        whole, traced = traced.kept, self._traced(change, target)
        return needed, change, plan.from_shapes(traced.step, target, whole, traced.work)

    def _fits(self, needed: float, target: Target) -> bool:
        return needed <= target.capacity * (1.0 if self._confirms(target) else 1.0 - _RESERVE)

    def _confirms(self, target: Target) -> bool:
        """Returns whether a compiler has the last word."""
        return self._use_compiler and target.has_compiler

    def _compiled(
        self, found: list[Found], target: Target, nearest: list[tuple[float, Change]]
    ) -> list[Found]:
        """Puts the first one that the compiler finds to fit in front, planned by it.

        What it refuses comes again in its turn, with more microbatches; `nearest` has what each
        needs by its word, or what there is, where it doesn't say.
        """
        left = list(found)
        while left:
            candidate = left.pop(0)
            made = plan.make_plan(self._load(change=candidate.change), target, use_compiler=True)
            if made.fits:
                return [dataclasses.replace(candidate, plan=made), *left]
            needed, parts = made.needed or target.capacity, made.options["num_microbatches"]
            nearest[:] = [tried for tried in nearest if tried[1] != candidate.change]
            nearest.append((needed, candidate.change))
            factor = needed / candidate.plan.needed
            _, change, made = self._try(candidate.choice, target, parts, factor)
            if made is not None:
                left = sorted([*left, Found(change, made, candidate.choice)], key=_seconds)
        return []


class _Traced:
    """A step, and what tracing it for seconds has told."""

    def __init__(self, step: recipe.Step, plain: "_Traced | None"):
        self.step = step
        self._plain = plain

    @functools.cached_property
    def kept(self) -> counting.Kept:
        return counting.kept(self.step, self._plain and self._plain.kept)

    @functools.cached_property
    def work(self) -> counting.Work:
        return counting.work(self.step)


def microbatches(step: recipe.Step) -> list[int]:
    """Returns the numbers of microbatches that the devices can share, the fewest first.

    Distances of hidden states are of a whole batch's pairs.
    """
    if step.model.hidden_state_distance.kind is not None:
        return [1]
    rows = step.batch_shape[0] // step.mesh["data"]
    return [parts for parts in range(1, rows + 1) if rows % parts == 0]


def _tiers(run: recipe.Recipe) -> Sequence[Change]:
    """The run's way of training, and those that need less."""
    options = run.model.lora
    if options.rank is None:
        return [Change(), _LORA, _LORA | _INT8]
    less = {"float32": [_BF16, _INT8], "bfloat16": [_INT8], "int8": []}
    return [Change(), *less[options.base_dtype]]


def _state(step: recipe.Step) -> float:
    return counting.state_bytes((step.state.params, step.state.frozen, step.state.param_states))


def _seconds(found: Found) -> float:
    return found.plan.time.total
