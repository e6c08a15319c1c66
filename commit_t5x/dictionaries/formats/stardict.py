"""StarDict: an .ifo file that describes, an .idx of words, and a .dict of their definitions."""

import contextlib
import html
import pathlib
import re
import shutil
import struct
import tempfile
from collections.abc import Iterator
from typing import BinaryIO

from commit_t5x.dictionaries.formats.jobs import Job
from commit_t5x.errors import InputError
from commit_t5x.mixing.dictionary_files import Record

_MAGIC = b"StarDict's dict ifo file"
_TEXTS = "mlghx"  # types of fields that are plain or marked-up text
_MARKUP = re.compile(r"<[^>]*>")
_REMARKS = re.compile(r"\([^)]*\)|\[[^\]]*\]|^\s*\d+[.)]")
_ALTERNATIVES = re.compile(r"[\n;,،、；]")


def read(job: Job) -> Iterator[Record]:
    """Yields each word with the parts of its definition, between line ends, commas and semicolons.

    Markup, remarks in brackets and numbers of senses are dropped. Definitions are free text: look
    at the result, and lower `--max-words` where it holds explanations.

    Raises:
      InputError: a file is missing, can't be read or is cut off.

    Example, of the word "water" with the definition "1. पानी (noun), जल":
      >>> [record[:2] for record in read(Job("eng-hin.ifo", "en", "hi"))]
      [('water', 'पानी'), ('water', 'जल')]
    """
    info = _read_info(job)
    types = info.get("sametypesequence", "")
    number = struct.Struct(">QI" if info.get("idxoffsetbits") == "64" else ">II")
    with _beside(job, ".idx", ".idx.gz") as words, _beside(job, ".dict", ".dict.dz") as packed:
        with tempfile.TemporaryFile() as definitions:  # words needn't stand in its order
            shutil.copyfileobj(packed, definitions)
            for word, place in _index(job, words, number):
                offset, size = place
                definitions.seek(offset)
                data = definitions.read(size)
                if len(data) < size:
                    raise InputError(f"{job.path}: the .dict file is cut off; fetch it again")
                for text in _fields(data, types):
                    # Entities end in semicolons, and may spell what looks like markup.
                    for part in _ALTERNATIVES.split(html.unescape(_MARKUP.sub("\n", text))):
                        if target := _REMARKS.sub("", part).strip():
                            yield Record(word, target, licence=info.get("licence", ""))


def _read_info(job: Job) -> dict[str, str]:
    with job.opened() as file:
        lines = file.read().decode("utf-8-sig").splitlines()
    if not lines or lines[0].encode() != _MAGIC:
        raise InputError(f"{job.path}: not an .ifo file, which begins with {_MAGIC.decode()!r}")
    return {key: value for key, _, value in (line.partition("=") for line in lines[1:])}


@contextlib.contextmanager
def _beside(job: Job, *suffixes: str) -> Iterator[BinaryIO]:
    paths = [pathlib.Path(f"{job.path.with_suffix('')}{suffix}") for suffix in suffixes]
    path = next((path for path in paths if path.exists()), None)
    if path is None:
        raise InputError(f"{job.path}: no {' or '.join(p.name for p in paths)} beside it")
    with job.opened(path) as file:
        yield file


def _index(
    job: Job, file: BinaryIO, number: struct.Struct
) -> Iterator[tuple[str, tuple[int, int]]]:
    data = file.read()  # a few bytes a word
    place = 0
    while place < len(data):
        end = data.find(b"\0", place)
        if end < 0 or end + 1 + number.size > len(data):
            raise InputError(f"{job.path}: the .idx file is cut off; fetch it again")
        yield data[place:end].decode(), number.unpack_from(data, end + 1)
        place = end + 1 + number.size


def _fields(data: bytes, types: str) -> Iterator[str]:
    """Yields the texts of a definition; without `types`, each field begins with its own."""
    named, place = not types, 0
    for count in range(len(types) or len(data)):
        if place >= len(data):
            return
        kind = chr(data[place]) if named else types[count]
        place += named
        if kind.isupper():  # sounds and pictures, with their size before them
            place += 4 + int.from_bytes(data[place : place + 4], "big")
            continue
        last = not named and count == len(types) - 1
        end = len(data) if last else data.find(b"\0", place)
        end = len(data) if end < 0 else end
        if kind in _TEXTS:
            yield data[place:end].decode()
        place = end + 1
