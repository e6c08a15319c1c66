"""`commit-t5x dicts`: fetch MUSE's dictionaries, import others, rewrite and check any."""

import argparse
import dataclasses
import functools
import json
import pathlib
import shutil
import sys

from commit_t5x import arguments, ranges
from commit_t5x.errors import InputError
from commit_t5x.mixing import dictionary_files

_DESCRIPTION = "Get bilingual dictionaries, make one of several, and check what one holds."
_EXAMPLE = """example:
  commit-t5x dicts fetch hi el --to muse
  commit-t5x dicts check muse/en-hi.txt muse/hi-en.txt

`commit-t5x dicts ACTION --help` shows an action's flags."""

_FETCH = "Download MUSE dictionaries (CC BY-NC 4.0) between English and other languages."
_FETCH_EXAMPLE = """example:
  commit-t5x dicts fetch hi el th --to muse
  commit-t5x train --gin_file=... --gin.DICT_DIR="'muse'"

Files that are there and can be read stay."""

_IMPORT = "Write a dictionary of another format as one of the project's own."
_IMPORT_EXAMPLE = """example:
  commit-t5x dicts import kaikki kaikki.jsonl.gz --source-language en --target-language hi en-hi.tsv
  commit-t5x dicts import cldr all --source-language en --target-language sw en-sw.tsv

formats:
{formats}"""

_MERGE = "Join dictionaries, the preferred one first."
_MERGE_EXAMPLE = """example:
  commit-t5x dicts merge --prefer first mine/en-hi.tsv muse/en-hi.txt en-hi.tsv"""

_INVERT = "Turn a dictionary round."
_INVERT_EXAMPLE = """example:
  commit-t5x dicts invert en-hi.tsv hi-en.tsv"""

_ROMANISE = "Write a dictionary's translations in Latin letters, by uroman."
_ROMANISE_EXAMPLE = """example:
  commit-t5x dicts romanise en-hi.tsv --language hin latin/en-hi.tsv"""

_CHECK = "Say what dictionary files hold: MUSE's format, TSV or CSV, plain or .gz."
_CHECK_EXAMPLE = """example:
  commit-t5x dicts check muse/en-hi.txt muse/hi-en.txt
  commit-t5x dicts check --json en-xx.csv
  commit-t5x dicts check muse/en-hi.txt --text alpaca.jsonl --word-list offensive.txt

A file named as en-hi.txt is also tried on a text: how many words it finds. One that seems to be the
wrong way round is warned of.

The exit code is 2 if a file can't be used: it can't be read, or has lines that aren't pairs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    from commit_t5x.dictionaries import importing, joining, muse

    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    add = functools.partial(arguments.add_action, actions)

    fetch = add("fetch", _FETCH, _FETCH_EXAMPLE)
    fetch.add_argument("languages", nargs="+", metavar="LANG", help="codes such as hi, el or th")
    fetch.add_argument("--to", default="muse", metavar="DIR", help="folder (default: muse)")
    fetch.add_argument(
        "--direction",
        default="both",
        choices=("both", "from-en", "to-en"),
        help="which dictionaries: en-LANG mixes a language into English text, LANG-en mixes "
        "English into the language's (default: both)",
    )
    fetch.add_argument("--force", action="store_true", help="fetch what is there anew")
    fetch.add_argument(
        "--url",
        default=muse.BASE_URL,
        metavar="BASE",
        help="where the files lie on the web (default: %(default)s)",
    )

    formats = "\n".join(f"  {name:9} {what.help}" for name, what in importing.FORMATS.items())
    imported = add("import", _IMPORT, _IMPORT_EXAMPLE.format(formats=formats))
    imported.add_argument("format", metavar="FORMAT", help="one of those below")
    imported.add_argument("src", metavar="SRC", help="what is read: a file, or as FORMAT says")
    for side in ("source", "target"):
        imported.add_argument(
            f"--{side}-language",
            required=True,
            metavar="CODE",
            help=f"the {side} language, as SRC spells its code",
        )
    imported.add_argument(
        "--licence", metavar="NAME", help="of the records (default: what SRC or the format says)"
    )
    imported.add_argument(
        "--max-words",
        type=arguments.of(ranges.Positive),
        default=5,
        metavar="N",
        help="leave out pairs with more words on a side (default: %(default)s)",
    )
    imported.add_argument(
        "--lower-case", action="store_true", help="write both sides in lower case, as MUSE has them"
    )

    merge = add("merge", _MERGE, _MERGE_EXAMPLE)
    merge.add_argument("files", nargs="+", metavar="FILE", help="dictionaries")
    merge.add_argument(
        "--prefer",
        required=True,
        choices=tuple(joining.PREFERENCES),
        help="first: of each word, the translations of the first dictionary that knows it; all: "
        "those of all, each once",
    )

    invert = add("invert", _INVERT, _INVERT_EXAMPLE)
    romanise = add("romanise", _ROMANISE, _ROMANISE_EXAMPLE)
    romanise.add_argument(
        "--language",
        metavar="CODE",
        help="of the translations, by ISO 639-3, such as hin or ukr: some letters are read by it",
    )
    for action in (invert, romanise):
        action.add_argument("file", metavar="FILE", help="a dictionary")
    for action in (imported, merge, invert, romanise):
        action.add_argument("out", metavar="OUT", help="what is written: a .tsv or .tsv.gz file")
        action.add_argument("--overwrite", action="store_true", help="replace OUT")

    check = add("check", _CHECK, _CHECK_EXAMPLE)
    check.add_argument("files", nargs="+", metavar="FILE", help="dictionaries")
    check.add_argument(
        "--text",
        metavar="FILE",
        help="text, JSON, JSONL or Parquet in the dictionaries' source language, to find words in "
        "(default: a shipped text, for en, el, hi and th)",
    )
    check.add_argument(
        "--word-list",
        metavar="FILE",
        help="unwanted words, such as offensive ones, one a line: says which pairs have one",
    )
    check.add_argument("--json", action="store_true", help="print a JSON list, one object a file")


def main(args: argparse.Namespace) -> None:
    """Runs the command; raises InputError on bad input."""
    actions = {"fetch": _fetch, "import": _import, "check": _check}
    actions.get(args.action, _rewrite)(args)


def _import(args: argparse.Namespace) -> None:
    from commit_t5x.dictionaries import importing

    count, skipped = importing.import_dictionary(
        args.format,
        args.src,
        args.out,
        args.source_language,
        args.target_language,
        licence=args.licence,
        max_words=args.max_words,
        lower_case=args.lower_case,
        overwrite=args.overwrite,
    )
    left_out = importing.describe(skipped)
    print(f"Wrote {args.out}: {_count(count, 'pair')}" + f"; left out: {left_out}" * bool(left_out))


def _rewrite(args: argparse.Namespace) -> None:
    """Makes a dictionary of others."""
    from commit_t5x.dictionaries import importing, joining, romanising

    files = args.files if args.action == "merge" else [args.file]
    importing.check_out(args.out, *files, overwrite=args.overwrite)
    match args.action:
        case "merge":
            records = joining.merged(files, args.prefer)
        case "invert":
            records = joining.inverted(*files)
        case "romanise":
            records = romanising.romanised(*files, args.language)
    print(f"Wrote {args.out}: {_count(dictionary_files.write_records(args.out, records), 'pair')}")


def _fetch(args: argparse.Namespace) -> None:
    from commit_t5x.dictionaries import muse

    which = {"both": slice(None), "from-en": slice(0, 1), "to-en": slice(1, 2)}[args.direction]
    names = [name for language in args.languages for name in muse.file_names(language)[which]]
    folder = pathlib.Path(args.to).expanduser()
    print(muse.LICENCE, flush=True)
    for name in dict.fromkeys(names):
        path = folder / name
        if not args.force and path.exists():
            try:
                print(f"{path} is there: {_size(muse.read(path))}")
                continue
            except InputError as error:
                print(f"Fetching anew: {error}", flush=True)
        report = muse.fetch(f"{args.url.rstrip('/')}/{name}", path)
        print(f"Wrote {path}: {_size(report)}", flush=True)
    print(f"""Use them with --gin.DICT_DIR="'{folder}'".""")


def _size(report: dictionary_files.LoadReport) -> str:
    odd = f", {_count(report.odd, 'odd line')} (see commit-t5x dicts check)" if report.odd else ""
    return f"{_count(report.pairs, 'pair')}, {_count(report.entries, 'word')}{odd}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _check(args: argparse.Namespace) -> None:
    from commit_t5x.dictionaries import check

    word_list = None if args.word_list is None else check.read_word_list(args.word_list)
    summaries, unusable = [], []
    for path in args.files:
        try:
            summary = check.summarise(path, args.text, word_list)
        except InputError as error:
            unusable.append(str(error))
            continue
        summaries.append(summary)
        if summary.odd:
            unusable.append(f"{path}: {_count(summary.odd, 'odd line')}; mend or remove them")
    if args.json:
        print(json.dumps([dataclasses.asdict(s) for s in summaries], ensure_ascii=False, indent=2))
    elif summaries:
        # What reads a pipe has no width to keep to.
        check.show(summaries, shutil.get_terminal_size().columns if sys.stdout.isatty() else None)
    for summary in summaries:
        if summary.warning:
            print(f"commit-t5x: warning: {summary.warning}", file=sys.stderr)
    if unusable:
        raise InputError("; ".join(unusable))
