"""The texts of gin files: what they include, which macros they set and use, and where."""

import ast
import functools
import os
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
_USES = re.compile(r"%([\w/]+)")


def read(names: Sequence[str]) -> dict[str, str]:
    """Returns path -> text of gin files and of all that they include, found as gin finds them.

    Those that don't exist are left out: gin says so.

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
    if path not in found:
        reader = next(open_ for open_, exists in gin.config._FILE_READERS if exists(path))
        try:
            with reader(path) as file:
                found[path] = file.read()
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 ({error.reason}); convert the file") from error
    for _, other in _INCLUDE.findall(found[path]):
        _read(other, (*including, path), found)


def _places(name: str) -> Iterator[str]:
    for prefix in [""] if os.path.isabs(name) else gin.config._LOCATION_PREFIXES:
        path = os.path.join(prefix, name)
        if any(exists(path) for _, exists in gin.config._FILE_READERS):
            yield path


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
