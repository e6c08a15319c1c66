"""The texts of gin files: what they include, which macros they set and use, and where."""

import ast
import functools
import os
import pathlib
import re
from collections.abc import Iterator, Mapping, Sequence

import gin

from commit_t5x import resources
from commit_t5x.errors import InputError

# What a row's file says for `commit-t5x table`: the row whose checkpoint it starts from, and the
# one that it is compared with. No training uses them.
STARTS_FROM, COMPARED_WITH = "STARTS_FROM", "COMPARED_WITH"

_INCLUDE = re.compile(r"""^include +(["'])(.+?)\1""", re.M)
_SETS = re.compile(r"^([\w/]+) *= *(.*?)(?: *  #.*)?$", re.M)
# A macro or a parameter, or what stands in front of a block of parameters: indent, name, value.
_LINE = re.compile(r"^( *)([\w/.]+) *(?::|= *(.*?))(?: *  #.*)?$", re.M)
_USES = re.compile(r"%([\w/]+)")
_STATEMENT = re.compile(f"{_INCLUDE.pattern}|{_SETS.pattern}", re.M)
# The project's files of defaults: read behind a file that sets one, they would take it back.
_DEFAULTS = re.compile(
    r"(data|tasks|text|network|optimizer|hidden_state_distance"
    r"|engines/\w+/(model|step|runs/(finetune|eval|infer|infer_task)))\.gin"
)


def read(names: Sequence[str]) -> dict[str, str]:
    """Returns path -> text of gin files and of all that they include, found as gin finds them.

    One that overrides another is behind it. Those that don't exist are left out: gin says so.

    Raises:
      InputError: a file includes itself, or isn't text.
    """
    found: dict[str, str] = {}
    for name in names:
        _read(name, (), found)
    return found


def _read(name: str, including: tuple[str, ...], found: dict[str, str]) -> None:
    path = next(_places(name), None)
    if path is None:
        return
    if path in including:
        others = including[including.index(path) + 1 :]
        by_way = f", by way of {', '.join(others)}" if others else ""
        raise InputError(f"{path}: includes itself{by_way}; take the include out")
    text = found.pop(path, None)
    if text is None:
        text = _text(path)
    for _, other in _INCLUDE.findall(text):
        _read(other, (*including, path), found)
    found[path] = text


def _text(path: str) -> str:
    reader = next(open_ for open_, exists in gin.config._FILE_READERS if exists(path))
    try:
        with reader(path) as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason}); convert the file") from error


def _places(name: str) -> Iterator[str]:
    for prefix in [""] if os.path.isabs(name) else gin.config._LOCATION_PREFIXES:
        path = os.path.join(prefix, name)
        if any(exists(path) for _, exists in gin.config._FILE_READERS):
            yield path


def check_order(names: Sequence[str]) -> None:
    """Raises InputError for what has no effect since it stands in front of what sets it anew.

    That is a macro that a file of defaults takes back, a parameter that a whole run's file does,
    such as a model's name, or a file of macros alone, as lora.gin is, if the files behind it set
    each of them.
    """
    whole = [any(map(_is_defaults, read([name]))) for name in names]
    for number, name in enumerate(names):
        if whole[number]:
            continue
        behind = names[number + 1 :]
        runs = [other for other, is_run in zip(behind, whole[number + 1 :], strict=True) if is_run]
        own, after, by_runs = (dict(_settings(read(files))) for files in ([name], behind, runs))
        changed = [key for key, value in own.items() if after.get(key, value) != value]
        lost = [key for key in changed if "." in key and key in by_runs]
        has_parameters = any("." in key for key in own)
        if changed and not has_parameters and own.keys() <= after.keys():
            raise InputError(
                f"--gin_file={name}: has no effect, as files behind it set all that it does, "
                f"{changed[0]} among them; put it behind those"
            )
        if lost:
            raise InputError(
                f"--gin_file={name}: its {lost[0]} has no effect, as a run's file behind it sets "
                "it again; put it behind that"
            )
    _check_taken_back(names)


def _check_taken_back(names: Sequence[str]) -> None:
    """Raises InputError for a macro that a file of the project sets anew behind it.

    That file is included further below, or one of defaults. A whole run's file may follow another.
    """
    found: dict[str, tuple[str, str, int]] = {}
    taken_back: dict[str, tuple[str, str]] = {}
    whole = [any(map(_is_defaults, read([name]))) for name in names]
    for number, name in enumerate(names):
        for path, including, macro, value in _in_order(name, ()):
            before, was, where = found.get(macro, (path, value, number))
            taken_back.pop(macro, None)
            belongs = where == number or not whole[where]
            by_defaults = belongs and _is_defaults(path) and not _is_defaults(before)
            from_above = before in including and _in_project(path) is not None
            if was != value and (by_defaults or from_above):
                taken_back[macro] = before, path
            else:
                found[macro] = path, value, number
    for macro, (before, path) in taken_back.items():
        raise InputError(
            f"{before}: {macro} has no effect, as {path}, which is read after it, sets it again; "
            "put it behind that include"
        )


def _in_order(
    name: str, including: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...], str, str]]:
    """Yields file, the files that include it, macro and value as gin reads them."""
    path = next(_places(name), None)
    if path is None:
        return
    for _, included, macro, value in _STATEMENT.findall(_text(path)):
        if included:
            yield from _in_order(included, (*including, path))
        else:
            yield path, including, macro, _normal(value)


def _is_defaults(path: str) -> bool:
    return bool(_DEFAULTS.fullmatch(_in_project(path) or ""))


def _in_project(path: str) -> str | None:
    """Returns a file's place below the project's folder, None if it isn't there."""
    place, project = pathlib.Path(path), resources.path("gin")
    return place.relative_to(project).as_posix() if place.is_relative_to(project) else None


def _settings(texts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields the macros and parameters that files set, and their values; the last one counts."""
    for text in texts.values():
        block = ""
        for indent, name, value in _LINE.findall(text):
            if value:
                yield (f"{block}.{name}" if indent else name), _normal(value)
            else:
                block = name


def stand_ins(texts: Mapping[str, str]) -> list[str]:
    """Returns the files of the current folder that files of the project include."""
    included = [
        other for path in texts if _in_project(path) for _, other in _INCLUDE.findall(texts[path])
    ]
    return [
        name for name in included if next(_places(name), None) == name and not _in_project(name)
    ]


def place(texts: Mapping[str, str], macro: str) -> str | None:
    """Returns "file:line" where a macro gets the value that counts, None if no file sets it."""
    for path, text in reversed(texts.items()):
        for match in _SETS.finditer(text):
            if match[1] == macro:
                return f"{path}:{text.count(chr(10), 0, match.start()) + 1}"
    return None


def used(texts: Mapping[str, str]) -> set[str]:
    """Returns the macros that files use, also where another file binds something else."""
    return {name for text in texts.values() for name in _USES.findall(text)}


@functools.cache
def project_macros() -> Mapping[str, set[str]]:
    """Returns the macros of the project's own files, and the values that they give to each.

    A value is as repr() shows it; "" is one that goes on in the next line.
    """
    found: dict[str, set[str]] = {}
    for path in resources.path("gin").rglob("*.gin"):
        for name, value in _SETS.findall(path.read_text(encoding="utf-8")):
            found.setdefault(name, set()).add(_normal(value))
    return found


def _normal(value: str) -> str:
    if value.startswith(("%", "@")):
        return value
    try:
        return repr(ast.literal_eval(value))
    except SyntaxError:
        return ""
