"""The plan of a run on a slice or on GPUs: whether it fits, and how long a step may take."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax

from commit_t5x.planning import compile, counting, hlo, recipe, roofline
from commit_t5x.planning.targets import Target
from commit_t5x.planning.topologies import Topology


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What is known of a training step on a target; bytes are a device.

    Attributes:
      topology: the target's name.
      options: what was chosen: mesh, batch, dtype, remat policy, ...
      compiled: whether the TPU compiler said so; else the shapes did.
      fits: the verdict.
      capacity: bytes that a program may have.
      needed: bytes that the program needs, code included; None: more than there is.
      code: bytes of the program itself.
      count: the memory by shapes.
      collectives: kind -> (how many, bytes).
      loops: names and turns of the program's loops.
      time: by the program, or else by the work that was counted; None of what doesn't fit, by
        the compiler.
      model_flops: of a step, all devices together.
      compile_seconds: how long the compiler took.
    """

    topology: str
    options: dict[str, Any]
    compiled: bool
    fits: bool
    capacity: float
    needed: float | None
    code: float = 0.0
    count: counting.Count
    collectives: dict[str, tuple[int, float]] = dataclasses.field(default_factory=dict)
    loops: tuple[tuple[str, int], ...] = ()
    time: roofline.StepTime | None = None
    model_flops: float
    compile_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Returns what `json` can write."""
        fields = dataclasses.asdict(self)
        fields["collectives"] = {
            kind: {"count": count, "bytes": num_bytes}
            for kind, (count, num_bytes) in self.collectives.items()
        }
        fields["state"] = self.count.state
        if self.time is not None:
            fields["time"]["total"] = self.time.total
        return fields


def make_plan(run: recipe.Recipe, target: Target, use_compiler: bool) -> Plan:
    """Plans a run; with the compiler that takes a minute or more for a 7B model.

    Args:
      run: what gin files configure.
      target: the devices.
      use_compiler: where libtpu is installed, and compiles for these.

    Raises:
      InputError: batch and mesh don't go together, or libtpu knows no such slice.
    """
    if not (use_compiler and isinstance(target, Topology)):
        return from_shapes(stand_in(run, target), target)
    step = recipe.Step(run, compile.devices(target))
    outcome = compile.compile_step(step.lower())
    known = _known(step, target, counting.count(step))
    known |= {"compiled": True, "compile_seconds": outcome.seconds}
    if isinstance(outcome, compile.DoesNotFit):
        return Plan(
            **known | {"capacity": outcome.capacity or target.capacity},
            fits=False,
            needed=outcome.needed,
        )
    program = hlo.parse(outcome.text)
    chips = _chips(step.partitioner.mesh.devices.flat)
    needed = outcome.peak_memory + outcome.code
    return Plan(
        **known,
        fits=needed <= target.capacity,
        needed=needed,
        code=outcome.code,
        collectives=hlo.by_kind(program.collectives),
        loops=program.loops,
        time=roofline.estimate(program, target, chips, step.model_flops()),
    )


def stand_in(run: recipe.Recipe, target: Target) -> recipe.Step:
    """Returns the step on as many times the same device: good enough to ask for shardings."""
    return recipe.Step(run, jax.devices()[:1] * target.num_devices)


def from_shapes(
    step: recipe.Step,
    target: Target,
    of_batch: counting.Kept | None = None,
    work: counting.Work | None = None,
) -> Plan:
    """Plans a step by its shapes alone; what `counting` says of it may be at hand."""
    counted = counting.count(step, of_batch)
    known = _known(step, target, counted)
    work, dtype = work or counting.work(step), known["options"]["dtype"]
    time = roofline.from_work(work, target, step.model_flops(), dtype)
    return Plan(
        **known,
        compiled=False,
        fits=counted.total <= target.capacity,
        needed=counted.total,
        time=time,
    )


def _known(step: recipe.Step, target: Target, counted: counting.Count) -> dict[str, Any]:
    return {
        "topology": target.name,
        "options": _options(step),
        "capacity": target.capacity,
        "count": counted,
        "model_flops": step.model_flops(),
    }


def _options(step: recipe.Step) -> dict[str, Any]:
    module, (rows, length) = step.model.module, step.batch_shape
    return {
        "parameters": module.config.num_parameters,
        "mesh": step.mesh,
        "batch_size": rows,
        "sequence_length": length,
        "num_microbatches": step.trainer.num_microbatches,
        "dtype": str(module.dtype),
        "remat_policy": module.remat_policy,
        "scan_layers": module.scan_layers,
        "lora_rank": module.lora.rank,
        "base_dtype": module.lora.base_dtype,
        "residual_stream": _residual_spec(step),
        "parameters_split_over": _split_over(step),
    }


def _residual_spec(step: recipe.Step) -> str:
    """Returns mesh axes of the residual stream, "batch: data, embed: model"."""
    axes = ("batch", "length", "embed")
    pairs = zip(axes, step.residual_spec, strict=True)
    named = [f"{axis}: {mesh}" for axis, mesh in pairs if mesh]
    return ", ".join(named) or "replicated"


def _split_over(step: recipe.Step) -> int:
    """Returns the number of devices over which the largest parameter is split."""
    params = step.state.params, step.state.frozen
    largest = max(jax.tree.leaves(params), key=lambda leaf: leaf.size)
    shard = largest.sharding.shard_shape(largest.shape)
    return largest.size // math.prod(shard)


def _chips(devices: Sequence[Any]) -> list[int]:
    """Returns a number for the chip of each device."""
    places: dict[tuple[int, ...], int] = {}
    return [places.setdefault(tuple(device.coords), len(places)) for device in devices]
