"""The rows of a table: the gin files of a folder, and what they say of each other."""

import contextlib
import dataclasses
import hashlib
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gin

from commit_t5x import resources
from commit_t5x.engine import gin_errors, gin_files, gin_utils
from commit_t5x.errors import InputError, suggest

BASE = "base"  # the row of the weights that the others start from
_TRAIN = "commit_t5x.engine.train"
_NOT_SET = "%gin.REQUIRED"
# Macros by which rows differ as rows.
_OF_ROWS = frozenset({gin_files.STARTS_FROM, gin_files.COMPARED_WITH, "MODEL_DIR"})


@dataclasses.dataclass(frozen=True)
class Flags:
    """What is given to each row's training; see gin_utils.parse_flags."""

    gin_file: Sequence[str] = ()
    gin_bindings: Sequence[str] = ()
    gin_search_paths: Sequence[str] = ()
    seqio_additional_cache_dirs: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class Row:
    """A row, as its gin file and the flags have it.

    Attributes:
      name: of its file, without the suffix.
      gin_file: as `commit-t5x train` takes it.
      starts_from: the row whose checkpoint it starts from (`STARTS_FROM`); None for `base`.
      compared_with: the row of its paired test (`COMPARED_WITH`); None for none.
      base: INITIAL_CHECKPOINT_PATH, None for random weights.
      language: LANGUAGE.
      steps, seed: TRAIN_STEPS, RANDOM_SEED.
      questions, labels: XQUAD_PATH and QA_LABELS.
      config: a hash of all that its gin files and the flags bind, but for COMPARED_WITH.
      macros: what they bind macros to, as text.
      own_macros: the same of its own gin file alone, without what is given to all rows.
    """

    name: str
    gin_file: str
    starts_from: str | None
    compared_with: str | None
    base: str | None
    language: str | None
    steps: int
    seed: int
    questions: str | None
    labels: str | None
    config: str
    macros: Mapping[str, str]
    own_macros: Mapping[str, str]


def read(table: str, flags: Flags) -> dict[str, Row]:
    """Returns the rows of a table by name, each behind the one that it is compared with.

    Args:
      table: a folder of gin files, relative to a search path, the current folder or the project's
        own gin files.
      flags: what each row is trained with.

    Raises:
      InputError: no such folder, wrong flags or gin files, or a row that names one that isn't
        there, or itself.
    """
    names = sorted(path.stem for path in _folder(table, flags).glob("*.gin"))
    rows = {name: _read(table, name, flags) for name in names}
    for row in rows.values():
        for macro, other, known in (
            (gin_files.STARTS_FROM, row.starts_from, [*rows]),
            (gin_files.COMPARED_WITH, row.compared_with, [*rows, BASE]),
        ):
            if other is not None and other not in known:
                near = suggest(str(other), known) or "; name one of the folder, or None"
                raise InputError(f"{row.gin_file}: {macro}: no row {other!r}{near}")
    for name in names:
        list(_behind(rows, name, "starts_from"))
    return {
        name: rows[name]
        for name in sorted(rows, key=lambda name: len(list(_behind(rows, name, "compared_with"))))
    }


def choose(rows: Mapping[str, Row], names: Sequence[str] | None) -> list[str]:
    """Returns the rows to be scored: those named, or all that no other row starts from, and base.

    Raises:
      InputError: an unknown name.
    """
    has_base = any(row.base is not None for row in rows.values())
    known = [*([BASE] if has_base else []), *rows]
    if names is None:
        return [name for name in known if all(row.starts_from != name for row in rows.values())]
    for name in names:
        if name == BASE and not has_base:
            raise InputError("--rows: no base; give it: --gin.INITIAL_CHECKPOINT_PATH=\"'DIR'\"")
        if name not in known:
            raise InputError(
                f"--rows: no row {name!r}{suggest(name, known)}; there are {', '.join(known)}"
            )
    return [name for name in known if name in names]


def check_distinct(table: Mapping[str, Row], names: Sequence[str]) -> None:
    """Raises InputError if two of the rows would be the same training."""
    seen: dict[tuple[str | None, str], str] = {}
    for name in names:
        row = table[name]
        # What else they start from, they do after rows that are told apart themselves.
        other = seen.setdefault((row.starts_from, row.config), name)
        if other != name:
            raise InputError(
                f"rows {other} and {name} are the same with these flags; leave out the one that "
                "sets what they differ by, or choose one of them by --rows"
            )


def levelled(table: Mapping[str, Row], names: Sequence[str]) -> list[str]:
    """Says which macros have one value in all rows by the flags, and others by their gin files.

    Example:
      >>> levelled(table, ["align", "commit"])
      ['CODEMIX_RATIO = 0.6 in all rows by the flags, by their files 0.5 (align), 0.9 (commit)']
    """
    found = []
    for macro in sorted({macro for name in names for macro in table[name].own_macros}):
        own = {name: table[name].own_macros.get(macro, _NOT_SET) for name in names}
        own = {name: value for name, value in own.items() if value != _NOT_SET}
        now = {table[name].macros.get(macro) for name in names}
        if len({*own.values()}) > 1 and len(now) == 1 and macro not in _OF_ROWS:
            rows = ", ".join(f"{value} ({name})" for name, value in own.items())
            found.append(f"{macro} = {now.pop()} in all rows by the flags, by their files {rows}")
    return found


def common(table: Mapping[str, Row], field: str) -> Any:
    """Returns what those rows that say something say of a field; None if none does.

    Raises:
      InputError: they say several things.
    """
    found = {getattr(row, field) for row in table.values()} - {None}
    if len(found) > 1:
        values = " and ".join(sorted(map(str, found)))
        raise InputError(f"rows differ in their {field}: {values}; give one by its flag")
    return next(iter(found), None)


def check(row: Row, flags: Flags, is_here: bool = True, **macros: Any) -> None:
    """Raises InputError where the row's training would end before its first step.

    Args:
      row: whose data, dictionary and tokenizer are looked at, and whether the base is of its size.
      flags: what it is trained with.
      is_here: whether it is trained on this machine, whose devices count then.
      **macros: MODEL_DIR and what else is set for it.
    """
    _load(row.gin_file, flags, macros)
    with _naming(row.gin_file), gin_errors.plain_errors():
        if not is_here:
            with gin.unlock_config():
                gin.bind_parameter(f"{_TRAIN}.train.partitioner", None)
        arguments = gin.get_bindings(f"{_TRAIN}.train", resolve_references=True)
        from commit_t5x.engine import train  # here: the gin files have loaded it

        train.check(**arguments)


def binding(macro: str, value: Any) -> str:
    """Returns a macro's value as `gin_bindings` has it: LANGUAGE='hi'."""
    return f"{macro}={value!r}"


def _folder(table: str, flags: Flags) -> pathlib.Path:
    project = resources.path("gin")
    for prefix in (*flags.gin_search_paths, "", project):
        folder = pathlib.Path(prefix, table).expanduser()
        if folder.is_dir() and any(folder.glob("*.gin")):
            return folder
    known = [path.name for path in project.iterdir() if path.is_dir()]
    raise InputError(f"{table}: no such folder of gin files{suggest(table, known)}")


def _read(table: str, name: str, flags: Flags) -> Row:
    if name == BASE:
        raise InputError(f"{table}/{name}.gin: {BASE} is what rows start from; rename the file")
    gin_file = f"{table}/{name}.gin"
    own_macros: Mapping[str, str] = {}
    if flags.gin_file or flags.gin_bindings:
        with _naming(gin_file):
            gin_utils.parse([gin_file], (), flags.gin_search_paths)
        own_macros = _macros()
    _load(gin_file, flags, {"MODEL_DIR": "nowhere"})
    bound = {k: v for k, v in gin_utils.bindings().items() if k != gin_files.COMPARED_WITH}
    return Row(
        name,
        gin_file,
        starts_from=_macro(gin_files.STARTS_FROM),
        compared_with=_macro(gin_files.COMPARED_WITH),
        base=_macro("INITIAL_CHECKPOINT_PATH"),
        language=_macro("LANGUAGE"),
        steps=_macro("TRAIN_STEPS"),
        seed=_macro("RANDOM_SEED"),
        questions=_macro("XQUAD_PATH"),
        labels=_macro("QA_LABELS"),
        config=hashlib.sha256(repr(sorted(bound.items())).encode("utf-8")).hexdigest()[:12],
        macros=_macros(),
        own_macros=own_macros,
    )


def _macros() -> dict[str, str]:
    """Returns the macros that gin has, and their values on a line each."""
    found = gin_utils.bindings()
    return {name: " ".join(value.split()) for name, value in found.items() if "." not in name}


def _load(gin_file: str, flags: Flags, macros: Mapping[str, Any]) -> None:
    own = [binding(name, value) for name, value in macros.items()]
    files, bindings = [gin_file, *flags.gin_file], [*flags.gin_bindings, *own]
    with _naming(gin_file):
        gin_utils.load(files, bindings, flags.gin_search_paths)


@contextlib.contextmanager
def _naming(gin_file: str) -> Iterator[None]:
    """Says of which row an error is, but of a flag's: that is of all."""
    try:
        yield
    except InputError as error:
        raise error if str(error).startswith("--") else InputError(f"{gin_file}: {error}") from None


def _macro(name: str) -> Any:
    try:
        return gin.query_parameter(f"%{name}")
    except ValueError:  # no file sets it
        return None


def _behind(rows: Mapping[str, Row], name: str, link: str) -> Iterator[str]:
    """Yields the rows that a link leads to, one after the other."""
    seen = [name]
    while (other := getattr(rows[seen[-1]], link)) is not None:
        yield other
        if other in seen:
            raise InputError(f"{rows[other].gin_file}: {link.upper()} leads back to {other}")
        if other == BASE:
            return
        seen.append(other)
