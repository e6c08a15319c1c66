"""Reading a TPU program's text: its collectives and the compiler's cycles, loops multiplied out.

The compiler's own cost analysis counts a loop's body once, however often it runs.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = (.*)$")
_ARRAY = re.compile(r"\b(pred|[a-z]+\d+\w*)\[([\d,]*)\]")
_CALLED = re.compile(
    r"(calls|body|condition|to_apply|branch_computations|called_computations)="
    r"(?:\{([^}]*)\}|%?([\w.\-]+))"
)
_CYCLES = re.compile(r'"estimated_cycles":"?(\d+)')
_TRIPS = re.compile(r'"known_trip_count":\{"n":"?(\d+)')
_GROUPS = re.compile(r"replica_groups=(\{\{.*?\}\}|\[[\d,]+\]<=\[[\d,]+\](?:T\([\d,]+\))?)")
# The devices as a grid with named sides, and the sides along which a group lies.
_GRID = re.compile(
    r"replica_groups=mesh\[([^\]]*)\](?:, device_ids=\((\[[\d,]+\](?:T\([\d,]+\))?)\))? \{([^}]*)\}"
)
# What newer chips carry out beside other work is cut into pieces, in several computations.
_CHAIN = re.compile(r'chain_id="\d+"')
# Parts of a step, by what names its operations; the first that matches.
PARTS = {
    "computed anew": re.compile(r"/rematted_computation/"),
    "slices of stacked arrays": re.compile(r"dynamic_(?:update_)?(?:index_in_dim|slice)"),
    "linear layers": re.compile(r"/(?:query|key|value|out|wi_0|wi_1|wo)/dot_general"),
    "dropout": re.compile(r"Dropout_"),
    "attention": re.compile(r"/self_attention/"),
    "the rest of the layers": re.compile(r"/layers(?:_\d+)?/"),
    "embedding, head, loss, casts": re.compile(r"Llama|jvp"),
    "optimizer, clipping, others": re.compile(""),
}
_OP_NAME = re.compile(r'op_name="([^"]*)"')
_PAIRS = re.compile(r"source_target_pairs=\{(\{.*?\})\}")


@dataclasses.dataclass(frozen=True)
class Collective:
    """A collective operation.

    Attributes:
      kind: of KINDS.
      num_bytes: of the whole array a device ends up with or, for a reduce-scatter, begins with.
      groups: the devices that take part, by their place in the mesh; (): all of them.
      count: how often it runs in a step.
    """

    kind: str
    num_bytes: float
    groups: tuple[tuple[int, ...], ...]
    count: int


@dataclasses.dataclass(frozen=True)
class Program:
    """What a step does on each device.

    Attributes:
      cycles: the compiler's estimate, of operations that have one, by part of `PARTS`.
      random_bytes: that the hardware's random generator writes, which has no cycles.
      collectives: each with how often it runs.
      loops: names and numbers of turns of the loops.
    """

    cycles: dict[str, float]
    random_bytes: float
    collectives: tuple[Collective, ...]
    loops: tuple[tuple[str, int], ...]


@dataclasses.dataclass(frozen=True)
class _Instruction:
    name: str
    shape: str
    opcode: str
    rest: str

    @functools.cached_property
    def called(self) -> list[tuple[str, str]]:
        """Pairs of a role ("body", "calls", ...) and a computation's name."""
        found = []
        for role, several, one in _CALLED.findall(self.rest):
            names = several.split(",") if several else [one]
            found += [(role, name.strip().lstrip("%")) for name in names]
        return found


def parse(text: str) -> Program:
    """Reads an optimised program.

    Args:
      text: as `jax.stages.Compiled.as_text()` gives it.
    """
    computations, entry = _computations(text)
    cycles = dict.fromkeys(PARTS, 0.0)
    random_bytes = 0.0
    collectives: list[Collective] = []
    loops: list[tuple[str, int]] = []
    chains: set[str] = set()

    def visit(name: str, times: int, fused: bool) -> None:
        nonlocal random_bytes
        for instruction in computations.get(name, ()):
            # The cycles of a fusion stand at the fusion.
            if not fused and (found := _CYCLES.search(instruction.rest)):
                cycles[_part(instruction)] += times * int(found[1])
            if (collective := _collective(instruction, times, name)) is not None:
                chain = _CHAIN.search(instruction.rest)
                if chain is None or chain[0] not in chains:
                    collectives.append(collective)
                if chain is not None:
                    chains.add(chain[0])
            if instruction.opcode == "rng-bit-generator":
                random_bytes += times * shape_bytes(instruction.shape)
            turns = 1
            if instruction.opcode == "while":
                turns = _trip_count(instruction, computations)
                loops.append((instruction.name, turns))
            for role, called in instruction.called:
                if role != "to_apply" or instruction.opcode == "call":
                    visit(called, times * turns, fused or instruction.opcode == "fusion")

    visit(entry, 1, False)
    return Program(cycles, random_bytes, tuple(collectives), tuple(loops))


def _part(instruction: _Instruction) -> str:
    name = _OP_NAME.search(instruction.rest)
    return next(part for part, pattern in PARTS.items() if pattern.search(name[1] if name else ""))


def shape_bytes(shape: str) -> float:
    """Returns the bytes of the arrays in a shape, the layout's padding left out.

    Example:
      >>> shape_bytes("(bf16[8,128]{1,0:T(8,128)(2,1)}, s32[])")
      2052.0
    """
    return sum(_array_bytes(*found) for found in _ARRAY.findall(shape))


def _array_bytes(dtype: str, sizes: str) -> float:
    bits = 8 if dtype == "pred" else int(re.search(r"\d+", dtype)[0])
    return math.prod(int(size) for size in sizes.split(",") if size) * bits / 8


def _computations(text: str) -> tuple[dict[str, list[_Instruction]], str]:
    computations: dict[str, list[_Instruction]] = {}
    entry, current = "", []
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            current = computations[match[2]] = []
            entry = match[2] if match[1] else entry
        elif match := _INSTRUCTION.match(line):
            shape, rest = _split_shape(match[2])
            opcode, _, rest = rest.partition("(")
            current.append(_Instruction(match[1], shape, opcode.strip(), rest))
    return computations, entry


def _split_shape(text: str) -> tuple[str, str]:
    """Splits "SHAPE opcode(...)"; a tuple's shape has spaces and parentheses of its own."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character in "({") - (character in ")}")
        if character == " " and depth == 0:
            return text[:place], text[place + 1 :]
    return text, ""


def _trip_count(loop: _Instruction, computations: dict[str, list[_Instruction]]) -> int:
    """Returns how often a loop runs: as the compiler says, else what its condition compares to."""
    if known := _TRIPS.search(loop.rest):
        return int(known[1])
    condition = dict(loop.called).get("condition", "")
    constants = [
        int(found[1])
        for instruction in computations.get(condition, ())
        if instruction.opcode == "constant" and (found := re.match(r"(\d+)\)", instruction.rest))
    ]
    return max(constants, default=1)


def _collective(instruction: _Instruction, times: int, computation: str) -> Collective | None:
    opcode = instruction.opcode
    if opcode.endswith("-done"):
        return None
    kind = opcode.removesuffix("-start")
    if kind not in KINDS:
        return None
    sizes = [_array_bytes(*found) for found in _ARRAY.findall(instruction.shape)]
    # The start of an asynchronous one has operands and results, and maybe counters, in its shape.
    num_bytes = max(sizes, default=0.0) if opcode.endswith("-start") else sum(sizes)
    groups = _groups(instruction.rest)
    if kind == "reduce-scatter":
        num_bytes *= len(groups[0]) if groups else 1
    if kind == "all-reduce" and "all-reduce-scatter" in computation:
        kind = "reduce-scatter"  # as the compiler writes one: the reduction, sliced, in a fusion
    return Collective(kind, num_bytes, groups, times)


def _groups(text: str) -> tuple[tuple[int, ...], ...]:
    """Returns the groups of devices that an operation's attributes name.

    Example: the forms in which programs have them.
      >>> _groups("replica_groups={{0,1},{2,3}}"), _groups("replica_groups=[2,2]<=[2,2]T(1,0)")
      (((0, 1), (2, 3)), ((0, 2), (1, 3)))
      >>> _groups("replica_groups=mesh['a'=2,'b'=2] {'b'}")
      ((0, 1), (2, 3))
    """
    if pairs := _PAIRS.search(text):
        return tuple(_lists(pairs[1]))
    if match := _GRID.search(text):
        return _along(*match.groups())
    match = _GROUPS.search(text)
    if match is None:
        return ()
    if match[1].startswith("{"):
        return tuple(_lists(match[1]))
    shape, _, source = match[1].partition("<=")
    return tuple(map(tuple, _places(source).reshape(_numbers(shape)).tolist()))


def _along(grid: str, source: str | None, sides: str) -> tuple[tuple[int, ...], ...]:
    """Returns the groups along some sides of a grid, such as "'a'=2,'b'=4" and "'b'"."""
    sizes = {name: int(size) for name, size in re.findall(r"'(\w+)'=(\d+)", grid)}
    chosen = re.findall(r"'(\w+)'", sides)
    places = np.arange(math.prod(sizes.values())) if source is None else _places(source)
    places = places.reshape(tuple(sizes.values()))
    names = list(sizes)
    order = [names.index(name) for name in names if name not in chosen]
    order += [names.index(name) for name in chosen]
    members = math.prod(sizes[name] for name in chosen)
    return tuple(map(tuple, places.transpose(order).reshape(-1, members).tolist()))


def _places(source: str) -> np.ndarray:
    """Returns 0, 1, ... in a shape, "[4,2]", with its sides maybe reordered, "[4,2]T(1,0)"."""
    shape, _, order = source.partition("T")
    places = np.arange(math.prod(_numbers(shape))).reshape(_numbers(shape))
    return places.transpose(_numbers(order)) if order else places


def _lists(text: str) -> Iterator[tuple[int, ...]]:
    for inside in re.findall(r"\{([\d,]+)\}", text):
        yield _numbers(inside)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))


def by_kind(collectives: Sequence[Collective]) -> dict[str, tuple[int, float]]:
    """Returns, for each kind that occurs, how many run in a step and the bytes of all of them."""
    found: dict[str, tuple[int, float]] = {}
    for kind in KINDS:
        same = [collective for collective in collectives if collective.kind == kind]
        if same:
            total = sum(collective.count * collective.num_bytes for collective in same)
            found[kind] = (sum(collective.count for collective in same), total)
    return found
