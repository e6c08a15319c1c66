"""Plans as text: one in full, or several as a table."""

import textwrap
from collections.abc import Sequence
from typing import Any

import tabulate

from commit_t5x.planning import compile, gpus
from commit_t5x.planning.changes import Tried
from commit_t5x.planning.counting import gib
from commit_t5x.planning.fit import Found
from commit_t5x.planning.gpus import Gpus
from commit_t5x.planning.plan import Plan
from commit_t5x.planning.targets import Target
from commit_t5x.planning.topologies import Topology

_GIB = 2**30
_TERA = 1e12


def describe(plan: Plan, target: Target) -> str:
    """Returns a plan in full."""
    lines = [_title(plan, target), "", *_memory(plan, target), ""]
    if plan.collectives:
        lines += ["collectives of a step, on each device:"]
        lines += _aligned(
            [
                (kind, f"{count:,}", gib(num_bytes))
                for kind, (count, num_bytes) in plan.collectives.items()
            ]
        )
        lines.append("")
    lines += [*_time(plan, target), "", verdict(plan)]
    if _takes_more(plan, target):
        lines.append(
            f"Set {gpus.FRACTION} in the environment: JAX takes {gpus.DEFAULT_SHARE:.0%} of a GPU "
            "by default."
        )
    return "\n".join(lines)


def _takes_more(plan: Plan, target: Target) -> bool:
    """Returns whether a plan fits, but not what JAX takes of a GPU by default."""
    if not isinstance(target, Gpus) or not plan.fits or plan.needed is None:
        return False
    return plan.needed > target.default_capacity


def advice(tried: Sequence[Tried], plan: Plan, target: Target) -> str:
    """Returns what to change, the first thing first, with the memory by shapes of each."""
    first = "What would save memory" if plan.fits else "What to change"
    lines = [f"{first}, with the memory by shapes:"]
    for one in tried:
        fits = "fits" if one.fits else "not enough alone"
        flags = " ".join(one.change.flags)
        lines.append(f"  - {flags}: {one.effect}; {gib(one.needed)}, {fits}")
    lines.append("  - --fit behind the command: the fastest of these together that fits")
    larger = target.larger((plan.needed or 0.0) / plan.capacity)
    lines.append(f"  - more devices, or larger ones: --topology={larger}")
    return "\n".join(lines)


def fitting(found: Sequence[Found], target: Target) -> str:
    """Returns the fastest setting that fits, as flags and in full, and a table of the others."""
    best, *others = found
    lines = ["Put behind the run's own flags:", f"  {_flags(best)}", ""]
    lines.append(describe(best.plan, target))
    if others:
        lines += ["", "What else fits, by shapes, and the least time that it takes:", ""]
        lines.append(settings(others))
    return "\n".join(lines)


def settings(found: Sequence[Found]) -> str:
    """Returns a Markdown table of settings that fit."""
    rows = []
    for one in found:
        plan = one.plan
        memory = f"{plan.needed / _GIB:.2f} of {plan.capacity / _GIB:.2f}"
        rows.append((plan.topology, memory, f"{plan.time.total:.2f}", _flags(one)))
    header = ("device", "memory, GiB", "step, s", "flags")
    return tabulate.tabulate(rows, header, "pipe", disable_numparse=True)


def setting_to_json(found: Found) -> dict[str, Any]:
    """Returns what `json` can write of a setting."""
    return {"flags": found.change.flags, **found.plan.to_json()}


def _flags(found: Found) -> str:
    return " ".join(found.change.flags) or "none"


def verdict(plan: Plan) -> str:
    """Returns whether it fits, in one line."""
    capacity = gib(plan.capacity)
    by = "" if plan.compiled else ", by shapes alone: an estimate"
    if plan.fits:
        left = (plan.capacity - plan.needed) / _GIB
        return f"Fits: {left:.2f} of {capacity} a device remain{by}."
    if plan.needed is None:
        return f"Does not fit: the compiler found no way within {capacity} a device."
    return f"Does not fit: {gib(plan.needed)} of {capacity} a device{by}."


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


def change_to_json(tried: Tried) -> dict[str, Any]:
    """Returns what `json` can write of a change."""
    return {"flags": tried.change.flags, "needed": tried.needed, "fits": tried.fits}


def _title(plan: Plan, target: Target) -> str:
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
    return (
        f"{plan.topology} ({target.summary}), mesh data x model {_mesh(plan)}\n"
        f"{', '.join(parts)}\n"
        f"parameters split over {options['parameters_split_over']} devices; "
        f"residual stream: {options['residual_stream']}"
    )


def _memory(plan: Plan, target: Target) -> list[str]:
    count = plan.count
    rows = [("parameters and optimizer", gib(count.state))]
    if plan.compiled and plan.needed is not None and plan.fits:
        rows += [
            ("everything else at the peak", gib(plan.needed - count.state - plan.code)),
            ("program", gib(plan.code)),
        ]
    elif not plan.compiled:
        parts = {
            "gradients": count.gradients,
            "weights in the type of the computation": count.copies,
            "activations kept, about": count.activations,
            "work on one layer, about": count.working,
        }
        rows += [(name, gib(num_bytes)) for name, num_bytes in parts.items() if num_bytes]
    if plan.needed is not None:
        rows.append(("together", gib(plan.needed)))
    rows.append(("capacity", gib(plan.capacity)))
    lines = ["memory of a device:", *_aligned(rows)]
    if not plan.compiled:
        lines.append("  estimated from shapes, without what a compiler adds for its own work")
        if target.has_compiler and not compile.has_compiler():
            lines.append(f"  for its answer: {compile.INSTALL}")
    return lines


def _time(plan: Plan, target: Target) -> list[str]:
    flops = f"{plan.model_flops / target.num_devices / _TERA:.3g} TFLOP a device"
    peak = f"{target.peak(plan.options['dtype']) / _TERA:.4g} TFLOP/s"
    if plan.time is None:
        return [f"{flops} without recomputation; peak {peak}"]
    time = plan.time
    parts = {"compute": time.compute, "memory": time.memory, "links": time.links}
    rows = [(name, f"{seconds:.3g} s") for name, seconds in parts.items() if seconds]
    rows[1:1] = [(f"- {name}", f"{seconds:.3f} s") for name, seconds in time.parts.items()]
    of_peak = f"utilisation: {flops} without recomputation, of {peak}."
    if not (plan.compiled and isinstance(target, Topology)):
        return [
            f"time of a step, at least: {time.total:.3g} s, utilisation {time.utilisation:.0%}",
            *_aligned(rows),
            "  matrix products, recomputation included, at the peak rate, and their bytes and the",
            f"  update's at {target.memory_bandwidth / 1e9:.0f} GB/s; no links; {of_peak}",
            "  Good for ratios between plans; nothing was run.",
        ]
    generation = target.generation
    return [
        f"time of a step, by a model: {time.total:.3g} s, utilisation {time.utilisation:.0%}",
        *_aligned(rows),
        f"  compute: the compiler's cycles at {generation.clock / 1e9:.2f} GHz, loops multiplied "
        "out; links: {} a chip at {:.0f} GB/s,".format(
            target.links, generation.link_bandwidth / 1e9
        ),
        f"  full speed, no overlap; {of_peak}",
        "  Good for ratios between plans; nothing ran on a TPU.",
    ]


def _mesh(plan: Plan) -> str:
    return "x".join(str(size) for size in plan.options["mesh"].values())


def _gib(plan: Plan, kind: str) -> str:
    return f"{plan.collectives[kind][1] / _GIB:.1f}" if kind in plan.collectives else "-"


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of cells: the first left-aligned, the others right-aligned."""
    sides = ["left", *("right" for _ in rows[0][1:])]
    table = tabulate.tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=sides)
    return textwrap.indent(table, "  ").splitlines()
