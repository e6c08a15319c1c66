"""`commit-t5x dicts`: fetch MUSE's dictionaries, and check any."""

import argparse
import dataclasses
import json
import pathlib
import shutil
import sys

from commit_t5x.errors import InputError
from commit_t5x.mixing import dictionary_files

_DESCRIPTION = "Fetch MUSE's bilingual dictionaries, and check what a dictionary file holds."
_EXAMPLE = """example:
  commit-t5x dicts fetch hi el --to muse
  commit-t5x dicts check muse/en-hi.txt muse/hi-en.txt

`commit-t5x dicts fetch --help` and `commit-t5x dicts check --help` show the flags."""

_FETCH = "Download MUSE dictionaries (CC BY-NC 4.0) between English and other languages."
_FETCH_EXAMPLE = """example:
  commit-t5x dicts fetch hi el th --to muse
  commit-t5x train --gin_file=... --gin.DICT_DIR="'muse'"

Files that are there and can be read stay."""

_CHECK = "Say what dictionary files hold: MUSE's format, TSV or CSV, plain or .gz."
_CHECK_EXAMPLE = """example:
  commit-t5x dicts check muse/en-hi.txt muse/hi-en.txt
  commit-t5x dicts check --json en-xx.csv
  commit-t5x dicts check muse/en-hi.txt --text alpaca.jsonl

A file named as en-hi.txt is also tried on a text: how many words it finds. One that seems to be the
wrong way round is warned of.

The exit code is 2 if a file can't be used: it can't be read, or has lines that aren't pairs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    from commit_t5x.dictionaries import muse

    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", required=True, metavar="{fetch,check}")

    def add(name: str, description: str, example: str) -> argparse.ArgumentParser:
        return actions.add_parser(
            name,
            help=description,
            description=description,
            epilog=example,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )

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

    check = add("check", _CHECK, _CHECK_EXAMPLE)
    check.add_argument("files", nargs="+", metavar="FILE", help="dictionaries")
    check.add_argument(
        "--text",
        metavar="FILE",
        help="text, JSON, JSONL or Parquet in the dictionaries' source language, to find words in "
        "(default: a shipped text, for en, el, hi and th)",
    )
    check.add_argument("--json", action="store_true", help="print a JSON list, one object a file")


def main(args: argparse.Namespace) -> None:
    """Runs the command; raises InputError on bad input."""
    if args.action == "fetch":
        _fetch(args)
    else:
        _check(args)


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

    summaries, unusable = [], []
    for path in args.files:
        try:
            summary = check.summarise(path, args.text)
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
