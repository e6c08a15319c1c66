"""Gin's errors as one line that says where, what is wrong, and what may have been meant."""

import contextlib
import inspect
import re
import sys
import tokenize
from collections.abc import Iterator

import gin

from commit_t5x import resources
from commit_t5x.errors import InputError, suggest

# What gin's parser raises for input that it can't make sense of.
_PARSE_ERRORS = (
    AttributeError,
    ImportError,
    KeyError,
    NameError,
    OSError,
    SyntaxError,
    ValueError,
    tokenize.TokenError,
)


# What gin appends to any error's message.
_TRAIL = re.compile(r"\n  (?:In call to configurable|In file|In bindings|No values supplied)")


@contextlib.contextmanager
def located(place: str, binding: str | None = None) -> Iterator[None]:
    """Turns what gin raises while parsing into an InputError that says where."""
    try:
        yield
    except InputError as error:
        raise InputError(_TRAIL.split(str(error))[0]) from error
    except _PARSE_ERRORS as error:
        message, place = _describe(error, place)
        if binding is not None and isinstance(error, SyntaxError | ValueError):
            name, _, value = map(str.strip, binding.partition("="))
            if value.capitalize() in ("True", "False", "None"):
                message += f"; write --gin.{name}={value.capitalize()}"
            elif re.fullmatch(r"[^\W\d][\w./-]*", value):
                message += f"; strings need quotes: --gin.{name}=\"'{value}'\""
        raise InputError(f"{place}: {message}") from error


def _describe(error: Exception, place: str) -> tuple[str, str]:
    """Returns what is wrong in one line, and the file and line if the error knows them."""
    if isinstance(error, SyntaxError):
        if error.filename:
            place = f"{error.filename}:{error.lineno}"
        # A value's own error is the last line of what wraps it.
        return error.msg.splitlines()[-1].strip(), place
    lines = str(error).splitlines() or [type(error).__name__]
    # The innermost file comes first; the others include it.
    location = re.search(r'In file "(.*)", line (\d+)', str(error))
    if location:
        place = f"{location[1]}:{location[2]}"
    # str() of a KeyError is quoted.
    message = (lines[0].strip("'\"") if isinstance(error, KeyError) else lines[0]).rstrip(".")
    if missing := re.match(r"Unable to open file: (\S+)\. Searched", lines[0]):
        message = f"no such gin file: {missing[1]}"
        return message + suggest(missing[1], _project_files()), place
    return message + _remedy(lines[0]), place


def _remedy(message: str) -> str:
    """Returns "; did you mean ...?" or another hint for one of gin's messages."""
    if match := re.search(r"Configurable '(\S+)' doesn't have a parameter named '(\w+)'", message):
        configurables = gin.config._REGISTRY.matching_selectors(match[1])
        if len(configurables) == 1:
            signature = inspect.signature(gin.get_configurable(configurables[0]))
            return suggest(match[2], list(signature.parameters))
    if match := re.search(r"No configurable matching (?:reference )?'@?([\w.]+)", message):
        known = [".".join(name.split(".")[-2:]) for name, _ in gin.config._REGISTRY.items()]
        return suggest(match[1], known)
    if match := re.search(r"<module '([\w.]+)'.* has no attribute (\w+)", message):
        return suggest(match[2], dir(sys.modules[match[1]]))
    if "was not provided by an import statement" in message:
        return "; import its module at the top of the file"
    return ""


def _project_files() -> list[str]:
    """Returns the project's gin files, as --gin_file names them."""
    project = resources.path("gin")
    native = project / "engines" / "native"
    files = [path.relative_to(native) for path in native.rglob("*.gin")]
    files += [path.relative_to(project) for path in project.rglob("*.gin")]
    return [str(path) for path in files if path.parts[0] != "engines"]


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Takes away what gin appends to an error that passes through configurables.

    Use it around calls of anything that gin configures.

    Raises:
      InputError: one that was raised inside, as it was; or a parameter without a value.
    """
    try:
        yield
    except InputError as error:
        raise InputError(_TRAIL.split(str(error))[0]) from error
    except (RuntimeError, TypeError) as error:
        if (name := _unset_parameter(str(error))) is None:
            raise
        raise InputError(
            f"{name}: required, but not set; add the gin file that sets it, or --gin.{name}=VALUE"
        ) from error


def _unset_parameter(message: str) -> str | None:
    """Returns "configurable.parameter" if gin called a configurable without a required value."""
    if match := re.match(r"Required bindings for `(.+)` not provided.*\['(\w+)'", message):
        return f"{match[1]}.{match[2]}"
    # Python's own complaint, if the function that lacks it is the one that gin called.
    missing = r"(\w+)(?:\.__init__)?\(\) missing \d+ required [\w -]+: '(\w+)'"
    match = re.match(missing, message)
    called = re.search(r"In call to configurable '(\w+)'", message)
    return f"{match[1]}.{match[2]}" if match and called and match[1] == called[1] else None
