"""Single changes that save memory, each tried by shapes."""

import dataclasses
from collections.abc import Iterator

from commit_t5x.errors import InputError
from commit_t5x.planning import counting, fit, plan, recipe
from commit_t5x.planning.recipe import Change
from commit_t5x.planning.targets import Target

# Below this share of a device's memory left, a plan is called tight: other versions of the compiler
# need a little more or less.
_TIGHT = 0.03


@dataclasses.dataclass(frozen=True)
class Tried:
    """A change, and what it gives.

    Attributes:
      change: to the run.
      effect: in words.
      needed: bytes a device, by shapes.
      fits: whether that is little enough.
    """

    change: Change
    effect: str
    needed: float
    fits: bool


def wanted(found: plan.Plan) -> bool:
    """Returns whether a plan needs more than there is, or nearly so."""
    return not found.fits or (found.needed or 0.0) > (1 - _TIGHT) * found.capacity


def advise(load: recipe.Load, found: plan.Plan, target: Target) -> list[Tried]:
    """Returns changes that the run hasn't made: those that fit first, cheapest in time first."""
    tried = []
    for change, effect in _candidates(load, found, target):
        try:
            step = plan.stand_in(load(change=change), target)
        except InputError:  # one that this run can't make
            continue
        needed = counting.count(step).total
        if needed < found.count.total:
            tried.append(Tried(change, effect, needed, needed <= target.capacity))
    return sorted(tried, key=lambda one: not one.fits)


def _candidates(
    load: recipe.Load, found: plan.Plan, target: Target
) -> Iterator[tuple[Change, str]]:
    options, mesh = found.options, found.options["mesh"]
    if options["dtype"] == "float32":
        yield Change({"DTYPE": "'bfloat16'"}), "halves activations, and is faster"
    if mesh["model"] > 1 and "model" not in options["residual_stream"]:
        yield (
            Change({"ACTIVATION_PARTITIONING_DIMS": "2"}),
            "what layers keep is split over the model axis",
        )
    if options["parameters_split_over"] < target.num_devices:
        split = "weights and optimizer state are split over every device"
        yield Change({"NUM_PARTITIONS": str(target.num_devices)}), split
        yield Change({"PARAMETER_PARTITIONING_DIMS": "2"}), split
    yield from _in_parts(load, found, target)
    if options["remat_policy"] != "full":
        yield Change({"REMAT_POLICY": "'full'"}), "keeps each layer's input only"
    if options["lora_rank"] is None:
        yield Change(files=("adafactor.gin",)), "another optimizer, whose state is next to nothing"
        yield Change(files=("lora.gin",)), "trains low-rank factors, over a base in bfloat16"
    elif options["base_dtype"] == "float32":
        yield Change({"BASE_DTYPE": "'bfloat16'"}), "two bytes for each weight of the base"
    if options["base_dtype"] != "int8":
        files = ("lora.gin",) if options["lora_rank"] is None else ()
        yield Change({"BASE_DTYPE": "'int8'"}, files), "a byte for each weight of the base"
    yield (
        Change({"SEQUENCE_LENGTH": str(options["sequence_length"] // 2)}),
        "shorter rows, in which examples may be cut",
    )


def _in_parts(load: recipe.Load, found: plan.Plan, target: Target) -> Iterator[tuple[Change, str]]:
    """The fewest microbatches that fit, or the most."""
    step = plan.stand_in(load(), target)
    more = [n for n in fit.microbatches(step) if n > found.options["num_microbatches"]]
    if not more:
        return
    of_batch = counting.kept(step)
    fitting = [n for n in more if counting.count(step, of_batch, n).total <= target.capacity]
    parts = (fitting or more[-1:])[0]
    yield Change({"NUM_MICROBATCHES": str(parts)}), "the same batch, in parts one after the other"
