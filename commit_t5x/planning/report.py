"""Plans as text: one in full, or several as a table."""

import textwrap
from collections.abc import Sequence
from typing import Any

import tabulate

from commit_t5x.planning import compile
from commit_t5x.planning.plan import Plan
from commit_t5x.planning.topologies import Topology

_GIB = 2**30
_TERA = 1e12


def describe(plan: Plan, topology: Topology) -> str:
    """Returns a plan in full."""
    lines = [_title(plan, topology), "", *_memory(plan), ""]
    if plan.collectives:
        lines += ["collectives of a step, on each device:"]
        lines += _aligned(
            [
                (kind, f"{count:,}", f"{num_bytes / _GIB:.2f} GiB")
                for kind, (count, num_bytes) in plan.collectives.items()
            ]
        )
        lines.append("")
    lines += [*_time(plan, topology), "", verdict(plan)]
    if plan.advice:
        lines += ["What would save memory:" if plan.fits else "What to change, one or several:"]
        lines += [f"  - {change}" for change in plan.advice]
    return "\n".join(lines)


def verdict(plan: Plan) -> str:
    """Returns whether it fits, in one line."""
    capacity = f"{plan.capacity / _GIB:.2f} GiB"
    by = "" if plan.compiled else ", by shapes alone: a guess"
    if plan.fits:
        left = (plan.capacity - plan.needed) / _GIB
        return f"Fits: {left:.2f} of {capacity} a device remain{by}."
    if plan.needed is None:
        return f"Does not fit: the compiler found no way within {capacity} a device."
    return f"Does not fit: {plan.needed / _GIB:.2f} GiB of {capacity} a device{by}."


def table(plans: Sequence[tuple[dict[str, str], Plan]]) -> str:
    """Returns a Markdown table, a row for each plan.

    Args:
      plans: what was set for each, macro -> value, and the plan.
    """
    kinds = ("all-reduce", "all-gather", "reduce-scatter")
    rows = [
        ["slice", *plans[0][0], "mesh", "memory, GiB", *(f"{kind}, GiB" for kind in kinds)]
        + ["step, s", "utilisation", "verdict"]
    ]
    for chosen, plan in plans:
        time = plan.time
        needed = "?" if plan.needed is None else f"{plan.needed / _GIB:.2f}"
        rows.append(
            [
                plan.topology,
                *(value.strip("'\"") for value in chosen.values()),
                _mesh(plan),
                f"{needed} of {plan.capacity / _GIB:.2f}",
                *(_gib(plan, kind) for kind in kinds),
                "-" if time is None else f"{time.total:.2f}",
                "-" if time is None else f"{time.utilisation:.0%}",
                "fits" if plan.fits else "does not fit",
            ]
        )
    known = [column for column in zip(*rows, strict=True) if set(column[1:]) != {"-"}]
    header, *rows = zip(*known, strict=True)
    return tabulate.tabulate(rows, header, "pipe", disable_numparse=True)


def to_json(plans: Sequence[tuple[dict[str, str], Plan]]) -> list[dict[str, Any]]:
    """Returns what `json` can write: the plans, with what was set for each."""
    return [{"set": chosen, **plan.to_json()} for chosen, plan in plans]


def _title(plan: Plan, topology: Topology) -> str:
    options = plan.options
    parts = [
        f"{options['parameters']:,} parameters",
        f"batch {options['batch_size']} x {options['sequence_length']}",
        f"compute in {options['dtype']}",
        f"remat {options['remat_policy']}",
        "layers scanned" if options["scan_layers"] else "layers unrolled",
    ]
    if options["num_microbatches"] > 1:
        parts.insert(2, f"{options['num_microbatches']} microbatches")
    if options["lora_rank"] is not None:
        factors = f"factors of rank {options['lora_rank']} over a base in {options['base_dtype']}"
        parts.insert(1, factors)
    devices = f"{topology.num_chips} chips, {topology.num_devices} devices"
    return (
        f"{plan.topology} ({devices}), mesh data x model {_mesh(plan)}\n"
        f"{', '.join(parts)}\n"
        f"parameters split over {options['parameters_split_over']} devices; "
        f"residual stream: {options['residual_stream']}"
    )


def _memory(plan: Plan) -> list[str]:
    rows = [("parameters and optimizer", _size(plan.count.state))]
    if plan.compiled and plan.needed is not None and plan.fits:
        rows += [
            ("everything else at the peak", _size(plan.needed - plan.count.state - plan.code)),
            ("program", _size(plan.code)),
        ]
    elif not plan.compiled:
        rows += [
            ("gradients", _size(plan.count.gradients)),
            ("activations kept, about", _size(plan.count.activations)),
        ]
    if plan.needed is not None:
        rows.append(("together", _size(plan.needed)))
    rows.append(("capacity", _size(plan.capacity)))
    lines = ["memory of a device:", *_aligned(rows)]
    if not plan.compiled:
        lines += [
            "  counted from shapes, without what the compiler adds for its own work; for its",
            f"  answer: {compile.INSTALL}",
        ]
    return lines


def _time(plan: Plan, topology: Topology) -> list[str]:
    flops = f"{plan.model_flops / topology.num_devices / _TERA:.3g} TFLOP a device"
    if plan.time is None:
        least = plan.model_flops / topology.num_devices / topology.device_flops
        return [f"time of a step: at least {least:.3g} s ({flops} at the peak rate)"]
    time, generation = plan.time, topology.generation
    return [
        f"time of a step, by a model: {time.total:.3g} s, utilisation {time.utilisation:.0%}",
        *_aligned([("compute", f"{time.compute:.3g} s"), ("links", f"{time.links:.3g} s")]),
        f"  compute: the compiler's cycles at {generation.clock / 1e9:.2f} GHz, loops multiplied "
        "out; links: {} a chip at {:.0f} GB/s,".format(
            topology.links, generation.link_bandwidth / 1e9
        ),
        f"  full speed, no overlap; utilisation: {flops} without recomputation, of "
        f"{topology.device_flops / _TERA:.1f} TFLOP/s.",
        "  Good for ratios between plans; nothing ran on a TPU.",
    ]


def _mesh(plan: Plan) -> str:
    return "x".join(str(size) for size in plan.options["mesh"].values())


def _gib(plan: Plan, kind: str) -> str:
    return f"{plan.collectives[kind][1] / _GIB:.1f}" if kind in plan.collectives else "-"


def _size(num_bytes: float) -> str:
    return f"{num_bytes / _GIB:.2f} GiB"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of cells: the first left-aligned, the others right-aligned."""
    sides = ["left", *("right" for _ in rows[0][1:])]
    table = tabulate.tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=sides)
    return textwrap.indent(table, "  ").splitlines()
