"""`commit-t5x plan`: whether a run fits a TPU slice or a GPU, and how fast, without one."""

import argparse
import functools
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from commit_t5x.engine import gin_utils
from commit_t5x.errors import InputError

_DESCRIPTION = """\
Says of a run's training step, on a machine without the devices, whether it fits a TPU slice or a
GPU, what goes over the links, and how long a step should take by a model. The gin flags are those
of `commit-t5x train`; what the step doesn't depend on (MODEL_DIR, LANGUAGE, ...) needs no value.
For TPUs the step is compiled, by libtpu: pip install 'commit-t5x[plan]'; a model of 7B takes about
a minute and a few GB of memory for each plan. Without libtpu, and for GPUs, memory is estimated
from shapes."""
_EXAMPLE = """\
example:
  commit-t5x plan --gin_file=main_results/commit.gin --topology=v3-8
  commit-t5x plan --gin_file=main_results/commit.gin --topology=rtx4090 --fit
  commit-t5x plan --gin_file=main_results/commit.gin --topology=v5e-64 --gin.BATCH_SIZE=64 --json
  commit-t5x plan --gin_file=main_results/commit.gin --topology=v3-8,v5e-8 \\
    --sweep NUM_PARTITIONS=1,8 --sweep BATCH_SIZE=8,16,32

--sweep alone tries each mesh, the remat policies full and minimal, and half, once and twice the
batch. Values are separated by commas; strings keep their quotes: --sweep "REMAT_POLICY='full'".
"""


def main(argv: Sequence[str]) -> None:
    """Runs the command with its arguments; raises InputError on bad input."""
    args = _parse(argv)
    import rich.console  # here, like the others: they take seconds to load

    from commit_t5x.planning import compile, recipe, targets

    names = [name.strip() for name in args.topology.split(",")]
    if not all(names):
        raise InputError(f"--topology={args.topology}: no name between two commas; take one out")
    chosen = [targets.parse(name) for name in names]
    if args.fit and args.sweep:
        raise InputError("--fit: searches by itself; leave out --sweep, or --fit")
    compile.prepare()
    use_compiler = compile.has_compiler() and not args.shapes
    if not use_compiler and not args.shapes and any(target.has_compiler for target in chosen):
        print(
            f"libtpu is not installed, so memory is estimated from shapes: {compile.INSTALL}",
            file=sys.stderr,
        )
    load = functools.partial(recipe.load, args.gin_file, args.gin_bindings, args.gin_search_paths)
    console = rich.console.Console(stderr=True)
    if args.fit:
        _fit(load, chosen, use_compiler, console, args.json)
    else:
        _plan(load, chosen, use_compiler, console, args)


def _plan(load, chosen, use_compiler, console, args) -> None:
    """Prints a plan, or a table of several."""
    import jax

    from commit_t5x.planning import changes, plan, report
    from commit_t5x.planning.recipe import Change

    found = []
    tries = [
        (target, macros)
        for target in chosen
        for macros in (_choices(args.sweep, load, target) if args.sweep else [{}])
    ]
    for number, (target, macros) in enumerate(tries, 1):
        what = " ".join([target.name, *(f"{name}={value}" for name, value in macros.items())])
        with console.status(f"Plan {number} of {len(tries)}: {what} ..."):
            try:
                made = plan.make_plan(load(change=Change(macros)), target, use_compiler)
            except InputError as error:
                if len(tries) == 1:
                    raise
                print(f"left out: {what}: {error}", file=sys.stderr)
                continue
        jax.clear_caches()  # else a sweep's programs pile up
        found.append((macros, made))
        if len(tries) > 1:
            print(f"{number} of {len(tries)}, {what}: {report.verdict(made)}", file=sys.stderr)
    if not found:
        raise InputError("--topology, --sweep: no combination can be planned; see above")
    if len(tries) > 1:
        print(json.dumps(report.to_json(found), indent=2) if args.json else report.table(found))
        return
    tried, wanted = [], changes.wanted(made)
    if wanted:
        with console.status("Trying what would save memory ..."):
            tried = changes.advise(load, made, target)
    if args.json:
        advice = {"advice": [report.change_to_json(one) for one in tried]}
        print(json.dumps(report.to_json(found)[0] | advice, indent=2))
        return
    print(report.describe(made, target))
    if wanted:
        print(report.advice(tried, made, target))


def _fit(load, chosen, use_compiler, console, as_json: bool) -> None:
    """Prints the fastest setting that fits, and what else does; of several targets a table."""
    from commit_t5x.planning import fit, report

    search = fit.Search(load, use_compiler)
    best = []
    for target in chosen:
        with console.status(f"Trying settings for {target.name} ..."):
            try:
                found = search.on(target)
            except InputError as error:
                if len(chosen) == 1:
                    raise
                print(f"left out: {target.name}: {error}", file=sys.stderr)
                continue
        best.append(found[0])
    if not best:
        raise InputError("--fit: nothing fits any of these; see above")
    if as_json:
        settings = best if len(chosen) > 1 else found
        print(json.dumps([report.setting_to_json(one) for one in settings], indent=2))
    elif len(chosen) > 1:
        print(report.settings(best))
    else:
        print(report.fitting(found, chosen[0]))


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--topology",
        required=True,
        metavar="NAME,...",
        help="TPU slices by their Cloud names (v3-8, v5e-1, v5p-8, v6e-8, v5e-64, ...), GPUs by "
        "theirs (t4, rtx4090, a100-80, a100-80x8, ...) or by their memory (gpu:24GiB); a table for "
        "several",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--fit",
        action="store_true",
        help="search microbatches, recomputation, precision and low-rank factors for the fastest "
        "setting that fits, and print its flags",
    )
    parser.add_argument(
        "--sweep",
        nargs="?",
        const="",
        action="append",
        metavar="NAME=V1,V2",
        help="try each value of a macro, and all combinations where repeated; print a table",
    )
    parser.add_argument(
        "--shapes", action="store_true", help="count from shapes, also where there is a compiler"
    )
    return gin_utils.parse_flags(
        argv,
        prog="commit-t5x plan",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        parents=[parser],
    )


def _choices(sweeps: Sequence[str], load: Any, target: Any) -> Iterator[dict[str, str]]:
    """Yields macro -> value for each combination."""
    grid: dict[str, list[str]] = {}
    for sweep in sweeps:
        if not sweep:
            batch = load().train_dataset_cfg.batch_size
            devices = target.num_devices
            sizes = [n for n in range(1, devices + 1) if devices % n == 0]
            grid |= {
                "NUM_PARTITIONS": [str(size) for size in sizes],
                "REMAT_POLICY": ["'full'", "'minimal'"],
                "BATCH_SIZE": [str(size) for size in (batch // 2, batch, 2 * batch) if size],
            }
            continue
        name, _, values = sweep.partition("=")
        if not values:
            raise InputError(f"--sweep {sweep}: has no values; write --sweep {name}=VALUE,VALUE")
        grid[name] = values.split(",")
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))
