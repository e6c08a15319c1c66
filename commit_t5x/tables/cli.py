"""`commit-t5x table`: a table of the paper by one command."""

import argparse
import contextlib
import importlib.util
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import rich.console

from commit_t5x import arguments, disk, ranges
from commit_t5x.data import qa_prompts, sources
from commit_t5x.engine import gin_utils, lock
from commit_t5x.errors import InputError
from commit_t5x.evaluation import cli as evaluation_cli
from commit_t5x.tables import record, result, rows, run, stages

_DESCRIPTION = """\
Makes a table of the paper: trains its rows, scores them, and compares them. The rows are the gin
files of a folder. The same command goes on with what an earlier one left, and skips what is done.
The gin flags are those of `commit-t5x train`, those of scoring are `commit-t5x lm-eval`'s."""
_EXAMPLE = """\
example:
  commit-t5x table main_results --language hi --out out --gin_file=models/from_checkpoint.gin \\
    --gin.INITIAL_CHECKPOINT_PATH="'llama'" --gin.TOKENIZER="'llama'" --gin.DICT_DIR="'muse'" \\
    --gin.XQUAD_PATH="'xquad'" --seeds 0,1,2 --batch_size 8

OUT/report holds the table, OUT/results each question's answers, OUT/models the checkpoints and
OUT/logs what the commands printed. On a cluster, run what --dry_run prints, and then this again.
"""
_LANGUAGE = "as --gin.LANGUAGE, where the gin files name none; of several, each has its own folder"
_JOBS = "stages side by side, each on its share of the cores (default: 1); for small models"
_TASKS = "to score (default: XQuAD under LANGUAGE's labels and English ones, and in English)"


def main(argv: Sequence[str]) -> None:
    """Runs the command with its arguments.

    Raises:
      InputError: bad input, another run at work in the same folder, or a stage that failed.
    """
    args, scoring = parse(argv)
    if args.engine == "t5x" and not args.dry_run and importlib.util.find_spec("t5x") is None:
        raise InputError("--engine t5x: T5X isn't installed; see docs/t5x.md, or use --dry_run")
    if len(args.language) > 1:
        failed = _make_several(args, scoring)
    else:
        args.language = next(iter(args.language), None)
        _, failed = _make(args, scoring)
    if args.dry_run:
        again = [word for word in argv if word != "--dry_run"]
        print(stages.shell(["commit-t5x", "table", *again]))
    if failed:
        raise InputError(failed)


def _make_several(args: argparse.Namespace, scoring: Mapping[str, Any]) -> str:
    """Makes a table of each language in a folder of its own, and one of all.

    Returns what failed; "" if nothing did.
    """
    out = pathlib.Path(args.out)
    if (out / record.FILE).is_file():
        raise InputError(f"--out: {out} holds a table of one language; choose another folder")
    contents: dict[str, dict[str, Mapping[str, Any]]] = {}
    failed, left = {}, {}
    for language in dict.fromkeys(args.language):
        own = {"language": language, "out": str(out / language)}
        left[language] = argparse.Namespace(**{**vars(args), **own})
        try:
            if not args.dry_run:  # before the first one takes hours
                kept = record.Record(_out(left[language]), _recorded(left[language], scoring))
                _plan(left[language], scoring, kept)
        except InputError as error:
            del left[language]
            failed[language] = str(error)
            print(f"{language}: {error}; there will be no table of it", file=sys.stderr)
    for language, own in left.items():
        try:
            made, reason = _make(own, scoring, again=not args.dry_run)
        except InputError as error:
            made, reason = {}, str(error)
        for row, content in made.items():
            contents.setdefault(row, {})[language] = content
        if reason:
            failed[language] = reason
    if contents:
        joined = result.union(contents)
        result.write_scores(joined, list(joined), out / "report")
    return "; ".join(f"{language}: {reason}" for language, reason in failed.items())


def _make(
    args: argparse.Namespace, scoring: Mapping[str, Any], again: bool = False
) -> tuple[dict[str, Mapping[str, Any]], str]:
    """Makes the table of a language, or prints what is left to do; `again` is as _plan's.

    Returns the scores, {row: what its result files hold}, and what failed; "" if nothing did.
    """
    out = _out(args)
    kept = record.Record(out, _recorded(args, scoring))
    if args.dry_run:
        *_, found = _plan(args, scoring, kept)
        for stage in found:
            if not stage.done():
                print(stages.shell(stage.command))
        return {}, ""
    with contextlib.ExitStack() as stack:
        with disk.writing(out):
            keep = stack.enter_context(lock.held(out, "makes a table here", "--out"))
        table, chosen, found = _plan(args, scoring, kept, again)
        keep()
        kept.write()
        failed = run.run(found, kept, out / "logs", _console(), args.jobs)
        contents, problem = result.scored(chosen, found)
        result.write(table, chosen, contents, out / "report")
    if failed:
        name, reason = next(iter(failed.items()))
        problem = f"{len(failed)} of {len(found)} stages failed, first {name}: {reason}; "
        problem += "mend it and run the same command again"
    return contents, problem


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    """Returns the arguments, and of those of scoring the ones that are given, by name."""
    own, scoring = (argparse.ArgumentParser(add_help=False) for _ in range(2))
    add = own.add_argument
    add("table", metavar="TABLE", help="main_results, table3, table4, miniature, or your folder")
    add("--language", type=_names, default=[], metavar="CODE,...", help=_LANGUAGE)
    add("--seeds", type=_seeds, metavar="N,...", help="of training (default: the gin files' one)")
    add(
        "--rows",
        type=_names,
        metavar="ROW,...",
        help="some of the rows (default: all)",
    )
    add("--tasks", type=_names, metavar="TASK,...", help=_TASKS)
    add("--out", required=True, metavar="DIR", help="for all that is made")
    add("--export", action="store_true", help="also convert each row to Hugging Face's format")
    add("--jobs", type=arguments.of(ranges.Positive), default=1, metavar="N", help=_JOBS)
    add("--engine", choices=("native", "t5x"), default="native", help="of training")
    add("--dry_run", action="store_true", help="print what is left to do as commands of a shell")
    evaluation_cli.add_scoring_arguments(scoring)
    args = gin_utils.parse_flags(
        argv,
        prog="commit-t5x table",
        description=_DESCRIPTION,
        epilog=_EXAMPLE,
        parents=[own, scoring],
    )
    defaults = vars(scoring.parse_args([]))
    given = {name: getattr(args, name) for name in defaults}
    if "pretrained=" in args.model_args:
        raise InputError("--model_args: pretrained is each row's own; leave it out")
    if any(text.partition("=")[0].strip() == "MODEL_DIR" for text in args.gin_bindings):
        raise InputError("--gin.MODEL_DIR: rows have their own, below --out; leave it out")
    return args, {name: value for name, value in given.items() if value != defaults[name]}


def _out(args: argparse.Namespace) -> pathlib.Path:
    disk.check_local(args.out)
    out = pathlib.Path(args.out)
    return out.absolute() if args.engine == "t5x" else out  # T5X takes no other MODEL_DIR


def _names(text: str) -> list[str]:
    if found := evaluation_cli.names(text):
        return found
    raise argparse.ArgumentTypeError("names nothing; give one, or several with commas between")


def _seeds(text: str) -> list[int]:
    return list(dict.fromkeys(map(arguments.of(ranges.Seed), text.split(","))))


def _recorded(args: argparse.Namespace, scoring: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what must stay as it is in a table's folder: no more seeds, rows or exports."""
    names = ("table", "language", "engine", "tasks", *_GIN)
    return {
        **{name: getattr(args, name) for name in names},
        **{name: value for name, value in scoring.items() if name != "batch_size"},
    }


_GIN = ("gin_file", "gin_bindings", "gin_search_paths", "seqio_additional_cache_dirs")


def _plan(
    args: argparse.Namespace, scoring: Mapping[str, Any], kept: record.Record, again: bool = False
) -> tuple[Mapping[str, rows.Row], list[str], list[stages.Stage]]:
    """Returns all rows, those chosen, and the stages, which it shows and checks.

    What there is to say of the flags it doesn't say again.
    """
    flags = training_flags(args)
    with _console().status("Reading gin files ..."):
        table = rows.read(args.table, flags)
    chosen = rows.choose(table, args.rows)
    options = {"data_dir": _questions(table), "labels": rows.common(table, "labels"), **scoring}
    options = {name: value for name, value in options.items() if value is not None}
    settings = stages.Settings(
        out=_out(args),
        flags=flags,
        tasks=args.tasks or _tasks(table, options.get("labels"), options.get("data_dir")),
        model_args=options.pop("model_args", ""),
        scoring=options,
        engine=args.engine,
        export=args.export,
    )
    seeds = args.seeds or [rows.common(table, "seed")]
    found = stages.build(table, chosen, seeds, settings)
    trained = sorted({stage.row for stage in found if stage.kind == "train"})
    rows.check_distinct(table, trained)
    for note in rows.levelled(table, trained) if not again else ():
        print(f"note: {note}", file=sys.stderr)
    kept.set_rows({name: table[name].config for name in trained})
    kept.check_starts(found)
    run.show_plan(found, kept, _console(), args.jobs)
    try:
        with _console().status("Checking data and weights ..."):
            _check(table, found, settings, options, kept, is_here=not args.dry_run)
    except InputError as error:
        if not all(stage.done() for stage in found):
            raise
        print(f"note: could not be made anew: {error}", file=sys.stderr)
    return table, chosen, found


def training_flags(args: argparse.Namespace) -> rows.Flags:
    """Returns what each row is trained with."""
    flags = rows.Flags(**{name: list(getattr(args, name)) for name in _GIN})
    if args.language:
        flags.gin_bindings.append(rows.binding("LANGUAGE", args.language))
    return flags


def _check(
    table: Mapping[str, rows.Row],
    found: Sequence[stages.Stage],
    settings: stages.Settings,
    options: Mapping[str, Any],
    kept: record.Record,
    is_here: bool,
) -> None:
    """Raises InputError for what would end a stage before it has done anything.

    And where rows have been trained or scored on other data than there are now.

    Args:
      table, found, settings, options: what is made, and how.
      kept: takes what the questions are.
      is_here: whether the stages run on this machine.
    """
    from commit_t5x.evaluation import lm_eval_tasks  # here: it takes a while to load

    first = {stage.row: stage for stage in reversed(found) if stage.kind == "train"}
    for name, stage in first.items():
        # T5X's account of a run's data is its own.
        folder = stage.output.parent if settings.engine == "native" else "nowhere"
        own = {"MODEL_DIR": str(folder), "RANDOM_SEED": stage.seed}
        rows.check(table[name], settings.flags, is_here, **own)
    places = {name: options.get(name) for name in ("data_dir", "labels")}
    loaded = lm_eval_tasks.load(settings.tasks, options.get("include_path"), **places)
    tasks = loaded["tasks"]
    # What has scores of its own under its name: else no result file would be known as complete.
    groups = [name for name, group in loaded["groups"].items() if group.has_aggregation]
    for name in settings.tasks:
        if name not in [*tasks, *groups]:
            raise InputError(f"--tasks: {name} stands for {', '.join(tasks)}; name each")
    kept.set_questions({name: lm_eval_tasks.fingerprint(task) for name, task in tasks.items()})
    _check_seeds(found)


def _check_seeds(found: Sequence[stages.Stage]) -> None:
    """Raises InputError where seeds of a row, which become one mean, had other data."""
    from commit_t5x.engine import data_record  # here, as the gin files have loaded it

    first: dict[str, tuple[pathlib.Path, Mapping[str, Any]]] = {}
    for stage in found:
        data = data_record.newest(stage.made) if stage.kind == "train" else None
        if data is not None:
            place, usual = first.setdefault(stage.row, (stage.made, data))
            changed = {name for name in usual | data if usual.get(name) != data.get(name)}
            if changed := changed - {"DatasetConfig.seed"}:
                raise InputError(
                    f"{stage.made}: was trained on other data than {place}, says {min(changed)} "
                    "in their data.json; remove one of them to train it anew"
                )


def _tasks(table: Mapping[str, rows.Row], labels: str | None, place: str | None) -> list[str]:
    language = rows.common(table, "language")
    if language is None:
        raise InputError("--language: not given; such as --language hi")
    own = [f"ogx_xquad_{language}"]
    if labels is None:
        try:
            qa_prompts.get_labels(language)
        except InputError as error:
            own = []
            reason = str(error).partition("\n")[0]  # without gin's lines on where it was
            print(f"Scored under English labels alone: {reason}", file=sys.stderr)
    english = ["ogx_xquad_en"]
    if place is not None and pathlib.Path(place).is_file() and language != "en":
        english = []
        print(
            f"Not scored in English, as {place} is one file of questions; a folder with "
            f"xquad.{language}.json and xquad.en.json has both",
            file=sys.stderr,
        )
    return [*own, f"ogx_xquad_en{language}", *english]


def _questions(table: Mapping[str, rows.Row]) -> str | None:
    """Returns where the questions lie, for lm-eval; None for the hub."""
    place = rows.common(table, "questions")
    return None if place == sources.Locations.xquad else place


def _console() -> rich.console.Console:
    return rich.console.Console(stderr=True)
