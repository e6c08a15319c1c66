"""`commit-t5x plan`: whether a run fits a TPU slice, and how fast it should be, without one."""

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from commit_t5x.engine import gin_utils
from commit_t5x.errors import InputError

_DESCRIPTION = """\
Compiles a run's training step for a TPU slice, on a machine without a TPU, and says whether it
fits, what goes over the links, and how long a step should take by a model. The gin flags are those
of `commit-t5x train`; what the step doesn't depend on (MODEL_DIR, LANGUAGE, ...) needs no value.
The compiler is libtpu's: pip install 'commit-t5x[plan]'. Without it, memory is counted from shapes.
A model of 7B takes about a minute and a few GB of memory for each plan."""
_EXAMPLE = """\
example:
  commit-t5x plan --gin_file=main_results/commit.gin --topology=v3-8
  commit-t5x plan --gin_file=main_results/commit.gin --topology=v5e-64 --gin.BATCH_SIZE=64 --json
  commit-t5x plan --gin_file=main_results/commit.gin --topology=v3-8,v5e-8 \\
    --sweep NUM_PARTITIONS=1,8 --sweep BATCH_SIZE=8,16,32

--sweep alone tries each mesh, the remat policies full and minimal, and half, once and twice the
batch. Values are separated by commas; strings keep their quotes: --sweep "REMAT_POLICY='full'".
"""


def main(argv: Sequence[str]) -> None:
    """Runs the command with its arguments; raises InputError on bad input."""
    flags, own = _parse(argv)
    import jax  # here, like the others: they take seconds to load
    import rich.console

    from commit_t5x.planning import compile, plan, recipe, report, topologies

    slices = [topologies.parse(name) for name in own.topology.split(",")]
    compile.prepare()
    use_compiler = compile.has_compiler() and not own.shapes
    if not use_compiler and not own.shapes:
        print(
            f"libtpu is not installed, so memory is counted from shapes: {compile.INSTALL}",
            file=sys.stderr,
        )

    def load(bindings: Sequence[str] = ()) -> recipe.Recipe:
        given = [*flags.gin_bindings, *bindings]
        return recipe.load(flags.gin_file, given, flags.gin_search_paths)

    console = rich.console.Console(stderr=True)
    found = []
    tries = [
        (topology, chosen)
        for topology in slices
        for chosen in (_choices(own.sweep, load, topology) if own.sweep else [{}])
    ]
    for number, (topology, chosen) in enumerate(tries, 1):
        bindings = [f"{name} = {value}" for name, value in chosen.items()]
        what = " ".join([topology.name, *(f"{name}={value}" for name, value in chosen.items())])
        with console.status(f"Plan {number} of {len(tries)}: {what} ..."):
            try:
                made = plan.make_plan(load(bindings), topology, use_compiler)
            except InputError as error:
                if len(tries) == 1:
                    raise
                print(f"left out: {what}: {error}", file=sys.stderr)
                continue
        jax.clear_caches()  # else a sweep's programs pile up
        found.append((chosen, made))
        if len(tries) > 1:
            print(f"{number} of {len(tries)}, {what}: {report.verdict(made)}", file=sys.stderr)
    if not found:
        raise InputError("--topology, --sweep: no combination can be planned; see above")
    if own.json:
        plans = report.to_json(found)
        print(json.dumps(plans if len(tries) > 1 else plans[0], indent=2))
    elif len(tries) > 1:
        print(report.table(found))
    else:
        print(report.describe(found[0][1], slices[0]))


def _parse(argv: Sequence[str]) -> tuple[Any, argparse.Namespace]:
    """Returns the gin flags and the command's own."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(
        "--topology",
        required=True,
        metavar="NAME,...",
        help="slices by their Cloud names: v3-8, v4-8, v5e-8, v5p-8, v6e-8, v5e-64, ...; a table "
        "for several",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
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
    # The parser of the gin flags knows its own only: it shows ours in its help, and is then given
    # what ours leaves.
    if {"-h", "--help"} & set(argv):
        gin_utils.parse_flags(argv, **_texts(), parents=[parser])
    own, rest = parser.parse_known_args(argv)
    return gin_utils.parse_flags(rest, **_texts()), own


def _texts() -> dict[str, str]:
    return {"prog": "commit-t5x plan", "description": _DESCRIPTION, "epilog": _EXAMPLE}


def _choices(sweeps: Sequence[str], load, topology) -> Iterator[dict[str, str]]:
    """Yields macro -> value for each combination."""
    grid: dict[str, list[str]] = {}
    for sweep in sweeps:
        if not sweep:
            batch = load().train_dataset_cfg.batch_size
            devices = topology.num_devices
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
