"""What a conversion would do, as a table for people."""

from collections.abc import Sequence

import tabulate

from commit_t5x.conversion import stream
from commit_t5x.conversion.formats import Source
from commit_t5x.conversion.stream import Transfer


def render(source: Source, transfers: Sequence[Transfer], dtype: str) -> str:
    """Returns a line for each tensor, and the totals.

    The shapes are those of the target.
    """
    rows = []
    for transfer in transfers:
        stored = source.dtypes[transfer.source.foreign]
        rows.append(
            {
                "from": transfer.source.foreign,
                "to": transfer.target.foreign,
                "shape": " x ".join(map(str, transfer.target.shape)),
                "dtype": dtype if stored == dtype else f"{stored} -> {dtype}",
                "change": transfer.changes or "-",
            }
        )
    table = tabulate.tabulate(rows, "keys", "plain", disable_numparse=True)
    weights = sum(transfer.size for transfer in transfers)
    files = source.tokenizer.files if source.tokenizer is not None else ()
    totals = (
        f"{len(transfers)} tensors, {weights:,} weights, "
        f"{stream.total_bytes(transfers, dtype) / 1e6:,.1f} MB to write; "
        f"other files: {', '.join(sorted(files)) or 'none'}"
    )
    return "\n".join([table, "", totals, *(f"note: {note}" for note in source.notes)])
