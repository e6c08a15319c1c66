"""Fingerprints of the files that a run's data are made of: by their content, not where they lie."""

import contextlib
import contextvars
import hashlib
import os
import pathlib
from collections.abc import Iterable, Iterator

# Of a larger file the ends are read: a change within, of the same size, isn't seen.
_WHOLE = 64 << 20
_END = 1 << 20

_found: contextvars.ContextVar[dict[str, list[str]] | None] = contextvars.ContextVar(
    "found", default=None
)


@contextlib.contextmanager
def recording() -> Iterator[dict[str, list[str]]]:
    """Yields {name: fingerprints}, which `record` fills while data are looked up inside.

    Example:
      >>> with recording() as found:
      ...     seqio.get_mixture_or_task("alpaca_codemix_hi").get_dataset(split="train")
      >>> found
      {'dictionary en-hi': ['13,596 bytes 67a24ac9e9e8'], 'PROMPT_LANGUAGE': ['516 bytes ...']}
    """
    found: dict[str, list[str]] = {}
    token = _found.set(found)
    try:
        yield found
    finally:
        _found.reset(token)


def record(name: str, *places: str | pathlib.Path) -> None:
    """Adds the fingerprints of files to the recording, if there is one."""
    found = _found.get()
    if found is not None and name not in found:
        found[name] = [fingerprint(place) for place in places]


def fingerprint(place: str | pathlib.Path) -> str:
    """Returns size and hash of a local file; of a URL what its file system says; else the name."""
    if "://" in str(place):
        import fsspec  # here: local files do without

        filesystem, path = fsspec.url_to_fs(str(place))
        return f"{filesystem.size(path):,} bytes at {place}"
    path = pathlib.Path(place)
    if not path.is_file():
        return str(place)
    size, digest = path.stat().st_size, hashlib.sha256()
    with path.open("rb") as file:
        if size <= _WHOLE:
            digest.update(file.read())
        else:
            digest.update(file.read(_END))
            file.seek(-_END, 2)
            digest.update(file.read())
    return f"{size:,} bytes {digest.hexdigest()[:12]}"


def of_names(root: pathlib.Path, paths: Iterable[pathlib.Path], times: bool = False) -> str:
    """Returns a hash over names and sizes of those paths that are files, and their times.

    Args:
      root: that the names are relative to.
      paths: of files and folders.
      times: whether those of the last changes count.
    """
    found = []
    for path in paths:
        if path.is_file():
            stat = path.stat()
            found.append((os.path.relpath(path, root), stat.st_size, times and stat.st_mtime_ns))
    return hashlib.sha256(repr(sorted(found)).encode("utf-8")).hexdigest()[:12]
