"""`commit-t5x vocab`: what a tokenizer costs a language, and a model with more tokens for it."""

import argparse
import dataclasses
import functools
import json
import pathlib
import sys

import rich.console

from commit_t5x import arguments, disk, ranges
from commit_t5x.errors import InputError
from commit_t5x.extension import rows

_DESCRIPTION = "Find out what a tokenizer costs a language, and give a model more tokens for it."
_EXAMPLE = """example:
  commit-t5x vocab report smollm2 wikipedia.hi.txt
  commit-t5x vocab extend smollm2 wikipedia.hi.txt --size 57344 smollm2_hi

`commit-t5x vocab ACTION --help` shows an action's flags."""

_REPORT = "Say what tokenizers make of texts: a line for each text and tokenizer."
_REPORT_EXAMPLE = """example:
  commit-t5x vocab report smollm2 wikipedia.hi.txt wikipedia.el.txt --beside smollm2_hi

TOKENIZER is a SentencePiece model, a tokenizer.json, or a model directory with either. Words are
what white space parts; of scripts without it, compare tokens a character."""

_EXTEND = "Continue a model's tokenizer on text, and give its embedding and head rows for that."
_EXTEND_EXAMPLE = """example:
  commit-t5x vocab extend smollm2 wikipedia.hi.txt --size 57344 smollm2_hi
  commit-t5x vocab extend smollm2 wikipedia.hi.txt --size 57344 smollm2_hi \\
    --method dictionary --dictionary muse/en-hi.txt

Text without letters of the new tokens' scripts keeps its ids; so does, of a language in Latin
script, what --keep names, and other English text but for some words. MODEL is anything that
`commit-t5x convert` reads, with a tokenizer of byte-pair encoding.

methods:
  mean        of the tokens that the old tokenizer spells the new one with
  dictionary  that, and the mean of the word's English translations
  random      drawn by the mean and the deviation of the old rows; a baseline"""
_MOSTLY = 0.5  # of a text's letters
_WIDE = 1000  # columns; a table takes what it needs


class _Parser(argparse.ArgumentParser):
    """Takes flags between the names of several files."""

    _nested = False  # argparse's own way to do so calls the method that is called here

    def parse_known_args(self, args=None, namespace=None):
        if self._nested:
            return super().parse_known_args(args, namespace)
        self._nested = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._nested = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(
        dest="action", required=True, metavar="ACTION", parser_class=_Parser
    )

    add = functools.partial(arguments.add_action, actions)

    report = add("report", _REPORT, _REPORT_EXAMPLE)
    report.add_argument("tokenizer", metavar="TOKENIZER", help="file or model directory")
    report.add_argument(
        "texts", nargs="+", metavar="TEXT", help="text, JSON, JSONL or Parquet, plain or compressed"
    )
    report.add_argument(
        "--beside", nargs="+", default=[], metavar="OTHER", help="tokenizers to compare with"
    )
    report.add_argument("--json", action="store_true", help="print a JSON list, one object a line")
    report.add_argument("--plot", metavar="FILE.png", help="also plot tokens a word")

    extend = add("extend", _EXTEND, _EXTEND_EXAMPLE)
    extend.add_argument("model", metavar="MODEL", help="checkpoint, with its tokenizer")
    extend.add_argument(
        "texts", nargs="+", metavar="TEXT", help="text, JSON, JSONL or Parquet, plain or compressed"
    )
    extend.add_argument("out", metavar="OUT", help="directory to write")
    positive = {"type": arguments.of(ranges.Positive), "metavar": "N"}
    extend.add_argument("--size", required=True, **positive, help="tokens and rows in all")
    extend.add_argument(
        "--multiple-of",
        default=128,
        **positive,
        help="round the size up to one of these, so that devices get equal parts (default: 128)",
    )
    extend.add_argument(
        "--method", default="mean", choices=rows.METHODS, help="see below (default: mean)"
    )
    extend.add_argument(
        "--dictionary",
        action="append",
        default=[],
        metavar="FILE",
        help="word pairs with English on either side, for --method dictionary; may be repeated",
    )
    extend.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="TEXT",
        help="learn words in Latin script, too, but no token that changes the ids of this English "
        "text; may be repeated",
    )
    extend.add_argument(
        "--seed", default=0, type=arguments.of(ranges.Seed), metavar="N", help="of random rows"
    )
    extend.add_argument("--to", choices=("hf", "native"), help="format of OUT (default: MODEL's)")
    extend.add_argument("--overwrite", action="store_true", help="replace OUT")


def main(args: argparse.Namespace) -> None:
    """Runs the command; raises InputError on bad input."""
    {"report": _report, "extend": _extend}[args.action](args)


def _report(args: argparse.Namespace) -> None:
    from commit_t5x.extension import report
    from commit_t5x.vocabularies import configured

    names = list(dict.fromkeys([args.tokenizer, *args.beside]))
    if args.plot:
        disk.check_writable(args.plot)
        disk.check_apart("--plot", args.plot, *args.texts, *names)
        if pathlib.Path(args.plot).suffix.lower() != ".png":
            raise InputError(f"--plot: {args.plot}: only PNG is drawn; let the name end in .png")
    with rich.console.Console(stderr=True).status("Tokenizing ..."):
        tokenizers = {name: configured.load(name) for name in names}
        measured = [
            report.measure(text, name, tokenizer)
            for text in args.texts
            for name, tokenizer in tokenizers.items()
        ]
    if args.plot:
        disk.write(args.plot, report.plot(measured))
    if args.json:
        print(json.dumps([dataclasses.asdict(line) for line in measured], indent=2))
    else:
        # What reads a pipe has no width to keep to.
        width = None if sys.stdout.isatty() else _WIDE
        rich.console.Console(width=width).print(report.table(measured))


def _extend(args: argparse.Namespace) -> None:
    from commit_t5x.extension import extend

    with rich.console.Console(stderr=True).status("Learning tokens ..."):
        done = extend.extend(
            args.model,
            args.texts,
            args.out,
            size=args.size,
            method=args.method,
            dictionaries=args.dictionary,
            multiple_of=args.multiple_of,
            keep=args.keep,
            seed=args.seed,
            to=args.to,
            overwrite=args.overwrite,
        )
    scripts = ", ".join(done.scripts)
    print(f"Wrote {args.out}: {done.old:,} tokens and {done.new:,} new ones, in {scripts}")
    if args.dictionary:
        print(f"{done.translated:,} of them have a translation, or a known word near them")
    for note in done.notes:
        print(f"note: {note}")
    if done.share < _MOSTLY:
        print(
            f"commit-t5x: warning: {', '.join(args.texts)}: {done.share:.0%} of its letters are "
            f"{scripts}; tokens are learnt from those alone",
            file=sys.stderr,
        )
