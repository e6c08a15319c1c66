"""Gin on the command line: T5X's flags, our search paths, and checks that gin does not make."""

import argparse
import functools
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gin

from commit_t5x import collector, disk, quiet, resources
from commit_t5x.engine import gin_check, gin_files
from commit_t5x.engine.gin_errors import located, plain_errors
from commit_t5x.errors import InputError, suggest


def run(argv: Sequence[str], configurable: Callable | str, **parser_options: Any) -> Any:
    """Parses flags and gin files, then calls a function with what they bind.

    Args:
      argv: the arguments after the program's name.
      configurable: a function that a gin file binds, or its name, such as
        "commit_t5x.engine.train.train"; then the gin files import it, not the caller.
      **parser_options: for argparse.ArgumentParser: prog, description, epilog.

    Raises:
      InputError: for flags, files and bindings that are wrong, with one line that says where.

    Example:
      >>> run(["--gin_file=quickstart.gin", "--gin.TRAIN_STEPS=20"], train.train)
    """
    flags = parse_flags(argv, **parser_options)
    load(flags.gin_file, flags.gin_bindings, flags.gin_search_paths)
    return call(configurable)


def call(configurable: Callable | str) -> Any:
    """Calls a function with what the loaded files bind; as `run` does.

    Raises:
      InputError: no file binds it, or its arguments are wrong.
    """
    try:
        configured = gin.get_configurable(configurable)
    except ValueError as error:
        name = getattr(configurable, "__name__", configurable).rpartition(".")[2]
        raise InputError(
            f"--gin_file: no file configures {name}; add a run file: "
            "runs/finetune.gin to train, runs/eval.gin to evaluate, runs/infer.gin to infer"
        ) from error
    with plain_errors():
        return configured()


def parse_flags(argv: Sequence[str], **parser_options: Any) -> argparse.Namespace:
    """Parses T5X's flags; `--gin.NAME=value` is short for `--gin_bindings=NAME=value`.

    argparse prints usage and exits with code 2 for flags that it doesn't know.

    Returns:
      `gin_file`: paths, each relative to a search path; later ones override earlier ones.
      `gin_bindings`: `NAME=value` strings, which override the files.
      `gin_search_paths`: folders searched before the current one and the project's own.
      And what the `parents` among **parser_options define.

    Raises:
      InputError: a `--gin.NAME` has no value.
    """
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **parser_options,
    )
    repeatable = {"action": "append", "default": []}
    folders = {"type": lambda paths: paths.split(","), "default": [], "metavar": "DIR,..."}
    parser.add_argument(
        "--gin_file",
        **repeatable,
        metavar="FILE",
        help="gin file, e.g. main_results/commit.gin; repeatable, later files override earlier",
    )
    parser.add_argument(
        "--gin_bindings",
        **repeatable,
        metavar="NAME=VALUE",
        help="a gin binding, applied after the files; repeatable. Short form: --gin.NAME=VALUE "
        "(strings keep their quotes: --gin.MODEL_DIR=\"'out'\")",
    )
    parser.add_argument(
        "--gin_search_paths",
        **folders,
        help="folders to search for gin files before the current one and the package's own",
    )
    parser.add_argument(
        "--seqio_additional_cache_dirs",
        **folders,
        help="folders in which seqio_cache_tasks wrote tasks",
    )
    args = parser.parse_args([_rewrite(arg) for arg in argv])
    if args.seqio_additional_cache_dirs:
        import seqio  # here: it takes seconds to load

        seqio.add_global_cache_dirs(args.seqio_additional_cache_dirs)
    return args


def _rewrite(arg: str) -> str:
    if not arg.startswith("--gin."):
        return arg
    binding = arg.removeprefix("--gin.")
    if "=" not in binding:
        raise InputError(f"{arg}: has no value; write {arg}=VALUE")
    return f"--gin_bindings={binding}"


def load(
    files: Sequence[str],
    gin_bindings: Sequence[str] = (),
    search_paths: Sequence[str] = (),
    whole: bool = True,
) -> None:
    """Replaces gin's configuration by that of the files and bindings, checks and locks it.

    `whole` is that of `gin_check.check`.

    Raises:
      InputError: see parse; or what `gin_check.check` finds.
    """
    texts = parse(files, gin_bindings, search_paths)
    gin_check.check(gin.config._CONFIG, texts, whole=whole, flags=gin_bindings)
    gin.finalize()


# Python up to 3.11.7 refuses to parse "1000" where a collection, in which other threads get their
# turn, comes between (CPython issue 106905); gin parses each value.
@collector.paused()
def parse(
    files: Sequence[str], gin_bindings: Sequence[str] = (), search_paths: Sequence[str] = ()
) -> Mapping[str, str]:
    """Replaces gin's configuration by that of the files and bindings, complete or not.

    Returns:
      The texts of the files, and of those that they include, by name.

    Raises:
      InputError: a missing file, a syntax error, an unknown configurable, parameter or macro; or a
        file in front of one that sets all that it does.
    """
    gin.clear_config()
    # Gin's other reader looks into installed packages, and logs an error for each miss.
    gin.config._FILE_READERS[:] = [(functools.partial(open, encoding="utf-8"), os.path.isfile)]
    project = resources.path("gin")
    gin.config._LOCATION_PREFIXES[:] = [
        *map(os.path.expanduser, search_paths),
        "",
        str(project / "engines" / "native"),
        str(project),
    ]
    texts = gin_files.read(files)
    gin_files.check_order(files)
    for gin_file in files:
        # A file imports what it configures, and TensorFlow greets before it looks at any log level.
        with located(f"--gin_file={gin_file}"), quiet.native_stderr_closed():
            gin.parse_config_file(gin_file)
    config = gin.config._CONFIG
    known = gin_check.defined(config) | {repr(used)[1:] for _, used in gin_check.references(config)}
    for binding in gin_bindings:
        name = binding.partition("=")[0].strip()
        if "." not in name and name not in known:
            bound = gin_check.parameters(config, name)
            close = f"; did you mean {bound[0]}?" if bound else suggest(name, sorted(known))
            raise InputError(f"--gin.{name}: no gin file defines or uses this macro{close}")
        with located(f"--gin.{binding}", binding):
            gin.parse_config(binding)
    return texts


def bindings() -> dict[str, str]:
    """Returns {macro or parameter: what the configuration has it be, as gin writes it}."""
    return _bindings(gin.config_str())


def _bindings(text: str) -> dict[str, str]:
    return dict(re.findall(r"^([\w./]+) =((?:.*)(?:\n .*)*)", text, re.M))


def summarize_gin_config(
    model_dir: str | pathlib.Path, summary_writer: Any | None, step: int
) -> None:
    """Writes the configuration to MODEL_DIR/config.gin and, given CLU's writer, to TensorBoard.

    A run that goes on with another one leaves the first as it is, and writes config_{step}.gin.
    """
    text = gin.config_str()
    path = pathlib.Path(model_dir) / "config.gin"
    if step and path.is_file() and path.read_text(encoding="utf-8") != text:
        path = path.with_name(f"config_{step}.gin")
    disk.write(path, text)
    if summary_writer is not None:
        summary_writer.write_texts(step, {"config": gin.markdown(text)})


# What says nothing of how a run is trained.
_OF_ONE_START = frozenset({"MODEL_DIR", "ACCEPT_CHANGES"})


def other_settings(model_dir: pathlib.Path) -> list[str]:
    """Names the macros and parameters that gin gives other values than a run's last start had.

    Example:
      >>> other_settings(pathlib.Path("out"))
      ['LEARNING_RATE = 0.01 (was 0.002)']
    """
    files = [*model_dir.glob("config.gin"), *model_dir.glob("config_*.gin")]
    if not files:
        return []
    newest = max(files, key=lambda path: int(path.stem.partition("_")[2] or 0))
    was, now = _bindings(newest.read_text("utf-8")), bindings()
    found = {}
    for parameter in (name for name in {*was, *now} if "." in name):
        before, after = _resolved(parameter, was), _resolved(parameter, now)
        if before != after:
            name = now.get(parameter, "").strip().removeprefix("%")
            name = name if name in now else parameter
            found[name] = f"{name} ={after} (was{before})"
    return [found[name] for name in sorted(found.keys() - _OF_ONE_START)]


def _resolved(parameter: str, bindings: Mapping[str, str]) -> str:
    """Returns a parameter's value in gin's words, macros replaced by what they stand for."""
    value = bindings.get(parameter, " not set")
    while macro := re.search(r" ?%([\w/]+)", value):
        if macro[1] not in bindings:  # gin's own
            break
        value = value.replace(macro[0], bindings[macro[1]], 1)
    return value
