"""What programs are translated by: gettext's catalogues, and CLDR's names."""

import dataclasses
import pathlib
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import babel
from babel import localedata, units
from babel.messages import mofile, pofile

from commit_t5x.dictionaries.formats.jobs import Job
from commit_t5x.errors import InputError
from commit_t5x.mixing.dictionary_files import Record

CLDR_LICENCE = "Unicode-3.0"

_PLACEHOLDER = re.compile(r"%[\w(%-]|[{}<>\n]")
_ACCELERATOR = re.compile(r"(?<!\w)[&_](?=\w)")
_WIDTHS = ("wide", "abbreviated")


def read_gettext(job: Job) -> Iterator[Record]:
    """Yields the messages of a .po or .mo file, or of all in a folder for the target language.

    Messages are taken to be in the source language. Those with placeholders or markup are left out,
    colons and full stops at the end and marks of keyboard shortcuts are dropped. A message's
    context is its sense.

    Raises:
      InputError: a catalogue can't be read or is in another language, or the folder has none.

    Example, of `msgctxt "menu"`, `msgid "_Open:"`, `msgstr "_Fungua:"`:
      >>> next(read_gettext(Job("sw.po", "en", "sw")))[:5]
      ('Open', 'Fungua', None, '', 'menu')
    """
    for path in _catalogues(job):
        for message in _messages(job, path):
            if not message.id or message.fuzzy:
                continue
            ids, strings = message.id, message.string
            if isinstance(ids, str):
                ids, strings = (ids,), (strings,)
            # Languages have one to six plural forms; the last is that of most numbers.
            for source, target in {ids[0]: strings[0], ids[-1]: strings[-1]}.items():
                if _PLACEHOLDER.search(f"{source} {target}"):
                    job.skipped["messages with placeholders or markup"] += 1
                elif target:
                    sense = message.context or ""
                    yield Record(_label(source), _label(target), sense=sense, file=path.name)


def _label(text: str) -> str:
    return _ACCELERATOR.sub("", text).rstrip(" :：.…。।")


def _catalogues(job: Job) -> list[pathlib.Path]:
    if not job.path.is_dir():
        return [job.path]
    paths = [p for p in sorted(job.path.rglob("*.[pm]o")) if p.parent.name == "LC_MESSAGES"]
    wanted = job.target_language.replace("-", "_").lower()
    chosen = [p for p in paths if p.parent.parent.name.replace("-", "_").lower() == wanted]
    if not chosen:
        raise job.missing(job.target_language, sorted(p.parent.parent.name for p in paths))
    # A compiled catalogue holds what the text beside it does.
    return [p for p in chosen if p.suffix == ".po" or p.with_suffix(".po") not in chosen]


def _messages(job: Job, path: pathlib.Path) -> Iterator[Any]:
    with job.opened(path) as file:
        try:
            if path.suffix == ".mo":
                catalogue = mofile.read_mo(file)
            else:
                catalogue = pofile.read_po(file, abort_invalid=True)
        except UnicodeDecodeError:
            raise
        except (pofile.PoFileError, struct.error, OSError, LookupError, ValueError) as error:
            if isinstance(error, OSError) and error.errno:  # babel's own have none
                raise
            raise InputError(f"{path}: not a gettext catalogue ({error})") from error
    language = catalogue.locale_identifier or ""
    if language and _primary(language) != _primary(job.target_language):
        raise job.missing(job.target_language, [language])
    return iter(catalogue)


def _primary(language: str) -> str:
    return re.split("[-_@]", language)[0].lower()


def read_cldr(job: Job) -> Iterator[Record]:
    """Yields CLDR's names of things in both languages, as babel has them.

    Args:
      job: whose place is `all`, or some of the kinds, with commas between.

    Raises:
      InputError: there is no such kind, or CLDR lacks a language.

    Example:
      >>> next(read_cldr(Job("months", "en", "sw")))[:5]
      ('January', 'Januari', None, '', 'months')
    """
    kinds = list(KINDS) if job.place == "all" else job.place.split(",")
    for kind in kinds:
        if kind not in KINDS:
            raise InputError(f"{kind}: CLDR has no such names; expected all, or {','.join(KINDS)}")
    source, target = (_locale(job, code) for code in (job.source_language, job.target_language))
    pairs = {}
    for kind in kinds:
        translations = KINDS[kind](target)
        for key, name in KINDS[kind](source).items():
            if key in translations:
                pairs[name, translations[key], kind] = None
    for name, translation, kind in pairs:
        yield Record(name, translation, sense=kind, file="CLDR")


def _locale(job: Job, code: str) -> Any:
    try:
        return babel.Locale.parse(code, sep="-" if "-" in code else "_")
    except (babel.UnknownLocaleError, ValueError):
        known = (name for name in localedata.locale_identifiers() if "_" not in name)
        raise dataclasses.replace(job, place="CLDR").missing(code, sorted(known)) from None


def _calendar(names: Mapping[str, Any]) -> dict[Any, str]:
    return {
        (context, width, number): name
        for context in ("format", "stand-alone")
        for width in _WIDTHS
        for number, name in names[context][width].items()
    }


def _units(locale: Any) -> dict[str, str]:
    keys = localedata.load("en")["unit_display_names"]
    names = {key: units.get_unit_name(key, "long", locale) for key in keys}
    return {key: name for key, name in names.items() if name}


def _relative_dates(locale: Any) -> dict[Any, str]:
    """Yesterday, next week and so on."""
    fields = localedata.load(str(locale))["date_fields"]
    return {
        (unit, number): name
        for unit in ("year", "quarter", "month", "week", "day", "hour", "minute", "second")
        for number, name in fields[unit].get("relative", {}).items()
    }


# Kind -> a locale's names, by what they are names of.
KINDS: Mapping[str, Callable[[Any], Mapping[Any, str]]] = {
    "territories": lambda locale: locale.territories,
    "languages": lambda locale: locale.languages,
    "scripts": lambda locale: locale.scripts,
    "currencies": lambda locale: locale.currencies,
    "months": lambda locale: _calendar(locale.months),
    "days": lambda locale: _calendar(locale.days),
    "quarters": lambda locale: _calendar(locale.quarters),
    "units": _units,
    "relative_dates": _relative_dates,
}
