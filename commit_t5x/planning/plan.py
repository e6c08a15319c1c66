"""The plan of a run on a slice: whether it fits, how long a step may take, what to change."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax

from commit_t5x.planning import compile, counting, hlo, recipe, roofline
from commit_t5x.planning.topologies import Topology

_GIB = 2**30
# Below this share of a device's memory left, a plan is called tight: other versions of the compiler
# need a little more or less.
_TIGHT = 0.03


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is known of a training step on a slice; bytes are a device.

    Attributes:
      topology: the slice's name.
      options: what was chosen: mesh, batch, dtype, remat policy, ...
      compiled: whether the TPU compiler said so; else the shapes did.
      fits: the verdict.
      capacity: bytes that a program may have.
      needed: bytes that the program needs, code included; None: more than there is.
      code: bytes of the program itself.
      count: the memory by shapes.
      collectives: kind -> (how many, bytes).
      loops: names and turns of the program's loops.
      time: None without a program.
      model_flops: of a step, all devices together.
      compile_seconds: how long the compiler took.
      advice: what to change, most promising first.
    """

    topology: str
    options: dict[str, Any]
    compiled: bool
    fits: bool
    capacity: float
    needed: float | None
    code: float
    count: counting.Count
    collectives: dict[str, tuple[int, float]]
    loops: tuple[tuple[str, int], ...]
    time: roofline.StepTime | None
    model_flops: float
    compile_seconds: float
    advice: tuple[str, ...]

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


def make_plan(run: recipe.Recipe, topology: Topology, use_compiler: bool) -> Plan:
    """Plans a run; with the compiler that takes a minute or more for a 7B model.

    Raises:
      InputError: batch and mesh don't go together, or libtpu knows no such slice.
    """
    generation = topology.generation
    if not use_compiler:
        # As many times the same device: good enough to ask for shardings.
        step = recipe.Step(run, jax.devices()[:1] * topology.num_devices)
        return _from_shapes(step, topology)
    step = recipe.Step(run, compile.devices(topology))
    outcome = compile.compile_step(step.lower())
    known = _known(step, topology) | {"compiled": True, "compile_seconds": outcome.seconds}
    if isinstance(outcome, compile.DoesNotFit):
        return Plan(
            **known | {"capacity": outcome.capacity or generation.usable_memory},
            fits=False,
            needed=outcome.needed,
            code=0.0,
            collectives={},
            loops=(),
            time=None,
            advice=advise(step, topology),
        )
    program = hlo.parse(outcome.text)
    chips = _chips(step.partitioner.mesh.devices.flat)
    time = roofline.estimate(program, topology, chips, step.model_flops())
    needed = outcome.peak_memory + outcome.code
    return Plan(
        **known,
        fits=needed <= generation.usable_memory,
        needed=needed,
        code=outcome.code,
        collectives=hlo.by_kind(program.collectives),
        loops=program.loops,
        time=time,
        advice=advise(step, topology) if needed > _comfortable(topology) else (),
    )


def _from_shapes(step: recipe.Step, topology: Topology) -> Plan:
    known = _known(step, topology)
    needed = known["count"].total
    return Plan(
        **known,
        compiled=False,
        compile_seconds=0.0,
        fits=needed <= topology.generation.usable_memory,
        needed=needed,
        code=0.0,
        collectives={},
        loops=(),
        time=None,
        advice=advise(step, topology) if needed > _comfortable(topology) else (),
    )


def _comfortable(topology: Topology) -> float:
    return (1 - _TIGHT) * topology.generation.usable_memory


def _known(step: recipe.Step, topology: Topology) -> dict[str, Any]:
    counted = counting.count(step)
    return {
        "topology": topology.name,
        "options": _options(step),
        "capacity": topology.generation.usable_memory,
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
    shape = (*step.batch_shape, step.model.config.emb_dim)
    spec = step.partitioner.sharding(axes, shape).spec
    named = [f"{axis}: {mesh}" for axis, mesh in zip(axes, spec, strict=True) if mesh]
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


def advise(step: recipe.Step, topology: Topology) -> tuple[str, ...]:
    """Returns changes that save memory and that the run hasn't made, cheapest in time first."""
    options, mesh = _options(step), step.mesh
    found = []
    if options["dtype"] == "float32":
        found.append("--gin.DTYPE=\"'bfloat16'\": halves activations, and is faster")
    if mesh["model"] > 1 and "model" not in options["residual_stream"]:
        found.append(
            "--gin.ACTIVATION_PARTITIONING_DIMS=2: what layers keep is split over the model axis"
        )
    if options["parameters_split_over"] < topology.num_devices:
        found.append(
            f"--gin.NUM_PARTITIONS={topology.num_devices}, or "
            "--gin.PARAMETER_PARTITIONING_DIMS=2: weights "
            "and optimizer state are split over every device"
        )
    if options["remat_policy"] != "full":
        found.append("--gin.REMAT_POLICY=\"'full'\": keeps each layer's input only")
    rows = options["batch_size"] // options["num_microbatches"]
    if rows > mesh["data"]:
        found.append(
            f"--gin.NUM_MICROBATCHES={options['num_microbatches'] * 2}: the same batch in halves, "
            "one after the other; or a smaller BATCH_SIZE"
        )
    if options["lora_rank"] is None:
        found.append("--gin_file=lora.gin: low-rank factors are trained, over a base in bfloat16")
    elif options["base_dtype"] != "int8":
        found.append("--gin.BASE_DTYPE=\"'int8'\": a byte for each weight of the base")
    found.append(f"a larger slice: --topology={topology.kind}-{_next_size(topology)}")
    return tuple(found)


def _next_size(topology: Topology) -> int:
    generation = topology.generation
    return max(4, generation.growth * topology.num_chips) * generation.counted_cores
