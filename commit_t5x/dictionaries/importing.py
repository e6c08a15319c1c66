"""Dictionaries from where they are: `dicts import`, and what becomes of records on the way."""

import collections
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

import rich.console
import rich.progress

from commit_t5x import disk
from commit_t5x.dictionaries import muse
from commit_t5x.dictionaries.formats import (
    jobs,
    localisation,
    markup,
    panlex,
    stardict,
    tables,
    wiktionary,
)
from commit_t5x.errors import InputError, suggest
from commit_t5x.mixing import dictionary_files
from commit_t5x.mixing.dictionary_files import Record

_SUFFIXES = (".tsv", ".txt", ".tsv.gz", ".txt.gz")


@dataclasses.dataclass(frozen=True)
class Format:
    """A format that dictionaries come in.

    Attributes:
      read: yields the records of a job's place.
      help: what the place is.
      licence: of all that comes in it; empty where each file has its own.
    """

    read: Callable[[jobs.Job], Iterator[Record]]
    help: str
    licence: str = ""


FORMATS = {
    "muse": Format(tables.read, "a MUSE file", muse.TERMS),
    "tsv": Format(tables.read, "a file of lines of source<TAB>target, or with a header"),
    "csv": Format(tables.read, "the same with commas; its name ends in .csv"),
    "gatitos": Format(tables.read, "a file of GATITOS, such as en_bm.tsv", "CC BY 4.0"),
    "kaikki": Format(wiktionary.read, "Wiktionary as kaikki.org's JSONL", wiktionary.LICENCE),
    "panlex": Format(
        panlex.read, "PanLex Lite's SQLite file, or its folder of CSV", panlex.LICENCE
    ),
    "freedict": Format(markup.read_freedict, "a .tei file of FreeDict"),
    "stardict": Format(stardict.read, "an .ifo file, with .idx and .dict (or .dict.dz) beside it"),
    "apertium": Format(markup.read_apertium, "a bilingual .dix file"),
    "gettext": Format(
        localisation.read_gettext,
        "a .po or .mo file, or a folder that holds some as CODE/LC_MESSAGES/*.po",
    ),
    "cldr": Format(
        localisation.read_cldr,
        f"`all` names of CLDR, or some: {','.join(localisation.KINDS)}",
        localisation.CLDR_LICENCE,
    ),
}


def import_dictionary(
    name: str,
    place: str,
    out: str | pathlib.Path,
    source_language: str,
    target_language: str,
    *,
    licence: str | None = None,
    max_words: int = 5,
    lower_case: bool = False,
    overwrite: bool = False,
) -> tuple[int, collections.Counter]:
    """Reads a dictionary in any of the `FORMATS` and writes it as a file of the project's own.

    Args:
      name: of the format.
      place: what is read: a file, and of some formats a folder, or `all`.
      out: what is written, as `dictionary_files.write_records` does.
      source_language: the language of the words; `place` may hold several.
      target_language: the language of the translations.
      licence: of the records; by default what the file, else the format says.
      max_words: records longer than that on either side are left out.
      lower_case: write both sides in lower case.
      overwrite: replace `out`, if it is there.

    Returns:
      How many records were written, and what was left out: reason -> how often.

    Raises:
      InputError: the format is unknown, the place can't be read or has no pair, or `out` can't be
        written.
    """
    if name not in FORMATS:
        raise InputError(
            f"format {name!r}: expected one of {', '.join(FORMATS)}{suggest(name, list(FORMATS))}"
        )
    format = FORMATS[name]
    check_out(out, place, overwrite=overwrite)
    console = rich.console.Console(stderr=True)
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.DownloadColumn(),
        rich.progress.TimeRemainingColumn(),
    )
    with rich.progress.Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        path = pathlib.Path(place).expanduser()
        bar = bars.add_task(path.name, total=None)

        def watch(file: BinaryIO) -> BinaryIO:
            total = int(bars.tasks[bar].completed) + os.fstat(file.fileno()).st_size
            return bars.wrap_file(file, total, task_id=bar)

        job = jobs.Job(place, source_language, target_language, watch)

        def records() -> Iterator[Record]:
            count = 0
            for record in format.read(job):
                source, target, weight, part_of_speech, sense, file, terms = record
                source, target = source.strip(), target.strip()
                if lower_case:
                    source, target = source.lower(), target.lower()
                if not (source and target):
                    job.skipped["pairs with an empty side"] += 1
                elif source.count(" ") >= max_words or target.count(" ") >= max_words:
                    job.skipped[f"pairs of more than {max_words} words"] += 1
                else:
                    file = file or path.name
                    terms = licence or terms or format.licence
                    yield Record(source, target, weight, part_of_speech, sense, file, terms)
                    count += 1
            if not count:
                left_out = describe(job.skipped)
                raise InputError(
                    f"{place}: no pairs from {source_language} to {target_language}"
                    + f"; left out: {left_out}" * bool(left_out)
                )

        return dictionary_files.write_records(out, records()), job.skipped


def check_out(out: str | pathlib.Path, *places: str | pathlib.Path, overwrite: bool) -> None:
    """Raises InputError if a dictionary can't be written there, ahead of the work."""
    if not str(out).endswith(_SUFFIXES):
        raise InputError(f"{out}: name it .tsv, which it will be, or .tsv.gz")
    disk.check_apart("OUT", out, *places)
    disk.check_free(pathlib.Path(out), overwrite)
    disk.check_writable(out)


def describe(skipped: collections.Counter) -> str:
    """Returns what was left out as text.

    Example:
      >>> describe(collections.Counter({"lines that aren't pairs": 1200}))
      "lines that aren't pairs (1,200)"
    """
    return ", ".join(f"{what} ({count:,})" for what, count in skipped.items() if count)
