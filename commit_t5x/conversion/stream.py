"""Moves a checkpoint's tensors from one format to another, a few at a time."""

import collections
import concurrent.futures
import dataclasses
import math
import sys
from collections.abc import Iterable, Sequence

import rich.console
import rich.progress

from commit_t5x.conversion import arrays, rules
from commit_t5x.conversion.formats import Put, Source
from commit_t5x.conversion.rules import Entry, Rule

_WRITERS = 2


@dataclasses.dataclass(frozen=True)
class Transfer:
    """One tensor: what it is in the source, and what it becomes."""

    source: Entry
    target: Entry

    @property
    def size(self) -> int:
        """Number of weights."""
        return math.prod(self.source.shape)

    @property
    def changes(self) -> str:
        """What happens to the tensor on its way, e.g. "transposed, rotary pairs reordered"."""
        transposed = self.source.transposed != self.target.transposed
        reordered = self.source.head_dim != self.target.head_dim
        names = {"transposed": transposed, "rotary pairs reordered": reordered}
        return ", ".join(name for name, applies in names.items() if applies)


def plan(source: Source, target_rules: Sequence[Rule]) -> list[Transfer]:
    """Returns the transfers in the source's order.

    Raises:
      InputError: a tensor of the source is missing, left over or of another shape, or a table
        doesn't cover the network.
    """
    theirs = {entry.foreign: entry for entry in rules.plan(source.rules, source.config)}
    rules.check_foreign(source.name, theirs.values(), source.shapes)
    targets = {(e.path, e.index): e for e in rules.plan(target_rules, source.config)}
    entries = [theirs[name] for name in source.shapes]
    return [Transfer(entry, targets[entry.path, entry.index]) for entry in entries]


def copy(source: Source, transfers: Sequence[Transfer], put: Put, dtype: str) -> None:
    """Hands each tensor to `put`; shows a bar on a terminal.

    Tensors are read in order, by one thread, while others cast and write the few before: as long
    as all together are no larger than the largest one is.

    Args:
      source, transfers: see plan.
      put: writes a tensor by name; called by several threads.
      dtype: that it is written in, for the bar's bytes.

    Raises:
      InputError: a tensor can't be read, or not be written in this dtype.
    """
    itemsize = arrays.DTYPES[dtype].itemsize
    progress = rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.DownloadColumn(),
        rich.progress.TransferSpeedColumn(),
        rich.progress.TimeRemainingColumn(),
        console=rich.console.Console(file=sys.stderr),
        disable=not sys.stderr.isatty(),
    )
    largest = max(transfer.size for transfer in transfers)
    with progress, concurrent.futures.ThreadPoolExecutor(_WRITERS) as writers:
        task = progress.add_task("converting", total=total_bytes(transfers, dtype))
        pending: collections.deque[tuple[int, concurrent.futures.Future]] = collections.deque()
        held = 0
        for transfer in transfers:
            while len(pending) > _WRITERS or (held and held + transfer.size > largest):
                size, written = pending.popleft()
                written.result()
                held -= size
                progress.advance(task, itemsize * size)
            array = transfer.source.to_native(source.get(transfer.source.foreign))
            array = transfer.target.to_foreign(array)
            pending.append((transfer.size, writers.submit(put, transfer.target.foreign, array)))
            held += transfer.size
            del array  # the writer's alone, which lets go of it
        for size, written in pending:
            written.result()
            progress.advance(task, itemsize * size)


def total_bytes(transfers: Iterable[Transfer], dtype: str) -> int:
    """Returns the size of the weights as they are written."""
    return arrays.DTYPES[dtype].itemsize * sum(transfer.size for transfer in transfers)
