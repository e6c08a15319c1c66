"""Which files a location means: a path, a folder, a glob, a URL, or the samples."""

import glob
import re
from collections.abc import Iterable, Mapping, Sequence

import fsspec
import httpx2  # what hf:// URLs go through

from commit_t5x import resources
from commit_t5x.data import records
from commit_t5x.errors import InputError


def find(location: str, macro: str, names: Sequence[str], shards: str = "") -> list[str] | None:
    """Returns the files that a location means, sorted, or None for a name on the hub or in TFDS.

    Args:
      location: "samples", a path, a glob such as wiki/*.parquet, a URL that fsspec opens such as
        gs://bucket/wiki (globs too), or a name on the hub or in TFDS.
      macro: the gin macro that set it, for messages.
      names: the one of these files that a folder holds is taken; of the samples, the first.
      shards: a regular expression. Within a folder without any of `names`, the files of a known
        kind whose names match it are shards of one data set.

    Raises:
      InputError: nothing lies where the location points to, or several files of `names` do.
    """
    if location == "samples":
        path = resources.path("samples") / names[0]
        if not path.is_file():
            raise InputError(f"{macro}: the samples hold no {names[0]}; set it to your own data")
        return [str(path)]
    if location.startswith("tfds:"):
        return None
    try:
        filesystem, place = fsspec.url_to_fs(location)
        if filesystem.isfile(place):
            return [location]
        if filesystem.isdir(place):
            folder = location.rstrip("/")
            found = [n for n in names if filesystem.isfile(f"{place}/{n}")]
            if len(found) > 1:
                both = f"{folder}/{found[0]} and {found[1]} are both there"
                raise InputError(f"{macro}: {both}; name one of them")
            found = found or _shards(filesystem.ls(place, detail=True), shards)
            if not found:
                path = f"{folder}/{names[0]}"
                raise InputError(f"{path}: no such file; put it there or set {macro}")
            return [f"{folder}/{name}" for name in found]
        pattern = _literal_folders(filesystem, place)
        matches = filesystem.glob(pattern, detail=True) if glob.has_magic(location) else {}
    except FileNotFoundError:  # a glob in a folder that some file systems don't find
        matches = {}
    except (ImportError, OSError, ValueError, httpx2.TransportError) as error:
        # A protocol that fsspec can't speak, no permission, or no network.
        problem = records.first_line(error)
        raise InputError(f"{macro}: {location} cannot be looked up ({problem})") from error
    if files := sorted(path for path, found in matches.items() if found["type"] != "directory"):
        return list(map(filesystem.unstrip_protocol, files)) if "://" in location else files
    if _looks_like_a_path(location):
        raise InputError(f"{location}: no such file or folder; set {macro} to where the data lies")
    return None


# Of XQuAD and MLQA, whose files lie side by side; other codes may be anything in a name.
_LANGUAGES = frozenset("ar de el en es hi ro ru th tr vi zh".split())


def check_language(path: str, macro: str, language: str) -> None:
    """Raises InputError if a file is named for another language.

    Example:
      >>> check_language("xquad/xquad.en.json", "XQUAD_PATH", "hi")
      InputError: XQUAD_PATH: xquad/xquad.en.json is named for 'en', not 'hi'; ...
    """
    *parts, _ = re.split(r"\.|-context-|-question-", path.rpartition("/")[2])
    named = [part for part in parts if part in _LANGUAGES]
    if named and language.partition("_")[0] not in parts:
        raise InputError(
            f"{macro}: {path} is named for '{named[0]}', not '{language}'; give the file of "
            f"{language}, or rename this one if that is what it holds"
        )


def _literal_folders(filesystem: fsspec.AbstractFileSystem, place: str) -> str:
    """Escapes a glob's folders as far as they exist by that very name, such as `data [1]`."""
    folder, _, rest = place.rpartition("/")
    while folder and not filesystem.isdir(folder):
        folder, _, last = folder.rpartition("/")
        rest = f"{last}/{rest}"
    return f"{glob.escape(folder)}/{rest}" if folder else place


def _shards(entries: Iterable[Mapping[str, object]], pattern: str) -> list[str]:
    present = (e["name"].rpartition("/")[2] for e in entries if e["type"] != "directory")
    return sorted(
        name
        for name in present
        if records.kind(name) in records.READERS
        and name[0] not in "._"  # what systems and tools leave beside the data
        and re.fullmatch(pattern, name)
    )


def _looks_like_a_path(location: str) -> bool:
    # A name on the hub has no suffix and at most one slash.
    return (
        records.kind(location) in records.READERS
        or location.endswith(tuple(records.COMPRESSED))
        or location.startswith((".", "/", "~"))
        or location.endswith("/")
        or location.count("/") > 1
        or glob.has_magic(location)
    )
