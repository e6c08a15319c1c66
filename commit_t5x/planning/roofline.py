"""How long a step should take: the compiler's cycles, and a lower bound for the links.

A cost model, good for ratios: nothing ran on a TPU. The parts are added up, as if nothing
overlapped. Without a program, the products of matrices at the peak rate and their memory traffic
stand for the cycles: a step takes longer than that.
"""

import dataclasses
from collections.abc import Sequence

from commit_t5x.planning import counting, hlo
from commit_t5x.planning.targets import Target
from commit_t5x.planning.topologies import Topology


@dataclasses.dataclass(frozen=True)
class StepTime:
    """Seconds of a step, and what they mean.

    Attributes:
      compute: the compiler's estimated cycles over the clock: matrix products, vector units and
        memory traffic; and the writing of random bits, for which it has none, at the memory's full
        speed. Without a compiler, matrix products at the peak rate.
      memory: bytes to and from memory at its full speed, where the compiler's cycles don't hold
        them.
      parts: of `compute`, by the part of the step; {} without a program.
      links: bytes over the links at their full speed; without a program they aren't known.
      utilisation: model FLOPs over what the devices could do in that time.
    """

    compute: float
    memory: float
    links: float
    utilisation: float
    parts: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def total(self) -> float:
        return self.compute + self.memory + self.links


def estimate(
    program: hlo.Program,
    topology: Topology,
    chips: Sequence[int],
    model_flops: float,
) -> StepTime:
    """Estimates the time of a step.

    Args:
      program: of one device.
      topology: the slice.
      chips: of each device of the mesh, in the mesh's order.
      model_flops: of the whole step.
    """
    writing = program.random_bytes / topology.memory_bandwidth
    parts = {name: found / topology.generation.clock for name, found in program.cycles.items()}
    compute = sum(parts.values()) + writing
    links = sum(
        collective.count * link_seconds(collective, topology, chips)
        for collective in program.collectives
    )
    time = _step_time(compute, 0.0, links, model_flops, topology, "bfloat16")
    return dataclasses.replace(time, parts=parts)


def from_work(work: counting.Work, target: Target, model_flops: float, dtype: str) -> StepTime:
    """Returns the least time of a step by what was counted, shared evenly by all devices.

    Args:
      work: of the whole step.
      target: the devices.
      model_flops: of the whole step.
      dtype: that the network computes in.
    """
    compute = sum(flops / target.peak(kind) for kind, flops in work.flops.items())
    memory = work.num_bytes / target.memory_bandwidth
    devices = target.num_devices
    return _step_time(compute / devices, memory / devices, 0.0, model_flops, target, dtype)


def _step_time(
    compute: float, memory: float, links: float, model_flops: float, target: Target, dtype: str
) -> StepTime:
    possible = (compute + memory + links) * target.peak(dtype) * target.num_devices
    return StepTime(compute, memory, links, model_flops / possible)


# Share of the array that passes each link of a ring of n: (n - 1) / n times this.
_PASSES = {"all-reduce": 2.0, "all-gather": 1.0, "reduce-scatter": 1.0, "all-to-all": 1.0}


def link_seconds(collective: hlo.Collective, topology: Topology, chips: Sequence[int]) -> float:
    """Returns the least time that a collective's bytes need on the links between chips.

    Rings over all links of a chip, at full speed in both directions; cores of one chip reach each
    other through its memory, which counts nothing, but share its links.
    """
    group = collective.groups[0] if collective.groups else range(len(chips))
    members = [chips[place] for place in group]
    num_chips = len(set(members))
    if num_chips == 1 or topology.links == 0:
        return 0.0
    # Groups that each have one of a chip's devices send over its links at the same time.
    sharing = topology.generation.devices * num_chips / len(members)
    bandwidth = topology.links * topology.generation.link_bandwidth
    passes = _PASSES.get(collective.kind, 1.0)
    share = passes * (num_chips - 1) / num_chips if collective.kind in _PASSES else 1.0
    return collective.num_bytes * share * sharing / bandwidth
