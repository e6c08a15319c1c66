"""What a conversion would do, as a table for people."""

from collections.abc import Sequence

from commit_t5x.conversion import stream
from commit_t5x.conversion.formats import Source
from commit_t5x.conversion.stream import Transfer

_COLUMNS = ("from", "to", "shape", "dtype", "change")


def render(source: Source, transfers: Sequence[Transfer], dtype: str) -> str:
    """Returns a line for each tensor, and the totals.

    The shapes are those of the target.
    """
    rows = [_COLUMNS]
    for transfer in transfers:
        name = transfer.source.foreign
        stored = source.dtypes[name]
        rows.append(
            (
                name,
                transfer.target.foreign,
                " x ".join(map(str, transfer.target.shape)),
                dtype if stored == dtype else f"{stored} -> {dtype}",
                transfer.changes or "-",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    files = ", ".join(sorted(source.files)) or "none"
    weights = sum(transfer.size for transfer in transfers)
    lines += [
        "",
        f"{len(transfers)} tensors, {weights:,} weights, "
        f"{stream.total_bytes(transfers, dtype) / 1e6:,.1f} MB to write; other files: {files}",
        *(f"note: {note}" for note in source.notes),
    ]
    return "\n".join(lines)
