"""What gin has read, checked before anything is built: values, names and scopes.

Each value is checked against the signature that it is bound to, and an error names the macro that
holds it. Both engines run these checks, the native one after it has read the files and T5X by a
hook, as it reads the files itself.
"""

import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import gin

from commit_t5x import signatures
from commit_t5x.engine import gin_files
from commit_t5x.errors import InputError, suggest

Config = Mapping[tuple[str, str], Mapping[str, Any]]  # (scope, selector) -> parameter -> value

_EMPTY = inspect.Parameter.empty
_MACRO, _CONSTANT, _VALUE = "gin.macro", "gin.constant", "value"
_UNKNOWN = object()  # what is made only when the run is


def check(
    config: Config,
    texts: Mapping[str, str],
    counterparts: Mapping[str, Callable] | None = None,
    whole: bool = True,
    flags: Collection[str] = (),
) -> None:
    """Checks a configuration.

    Args:
      config: gin's own.
      texts: the files that it was read from, as `gin_files.read` returns them.
      counterparts: for functions and classes that aren't the project's: name -> one of the project,
        whose parameters of the same names say what is taken.
      whole: the files are all of a run's. Else what this part doesn't use isn't warned of.
      flags: the bindings that flags give, "NAME=value".

    Raises:
      InputError: a value of the wrong type or range, a macro without a value, one that nothing uses
        and the project doesn't know, or a binding in a scope in which nothing calls its function.
    """
    if whole:
        for path in gin_files.stand_ins(texts):
            print(
                f"commit-t5x: warning: {path} of the current folder is read in place of the "
                "project's file of that name",
                file=sys.stderr,
            )
    _check_macros(config)
    _check_unused(config, texts, whole, {flag.partition("=")[0].strip() for flag in flags})
    _check_scopes(config)
    for (scope, selector), bindings in config.items():
        function = gin.config._REGISTRY[selector].wrapped
        known = _parameters(function, counterparts or {})
        for name, value in bindings.items():
            if name in known:
                binding = gin.config._REGISTRY.minimal_selector(selector)
                place = "/".join(filter(None, [scope, f"{binding}.{name}"]))
                _check_value(config, place, known[name], value)


def _parameters(
    function: Callable, counterparts: Mapping[str, Callable]
) -> dict[str, inspect.Parameter]:
    ours = function.__module__.startswith("commit_t5x.")
    known = dict(signatures.parameters(function)) if ours else {}
    if counterpart := counterparts.get(function.__name__):
        wanted = inspect.signature(function).parameters
        others = signatures.parameters(counterpart)
        known |= {name: others[name] for name in others if name in wanted}
    return known


def _check_value(
    config: Config,
    place: str,
    parameter: inspect.Parameter,
    value: Any,
    macros: tuple[str, ...] = (),
) -> None:
    """Checks a value at a place: a macro's name or a binding, as a flag of --gin. takes it.

    `macros` are those by which the value was found.
    """
    while (name := macro_name(value)) is not None:
        if name in macros:
            raise InputError(f"{name}: its value is itself; write --gin.{name}=VALUE")
        place, value, macros = name, config[name, _MACRO][_VALUE], (*macros, name)
    for key, item in _items(value):
        if any(gin.config.iterate_references({"": item})):
            annotation = signatures.inner(parameter.annotation, key)
            known = parameter.replace(annotation=annotation, default=_EMPTY)
            _check_value(config, f"{place}[{key!r}]", known, item, macros)
    plain = _plain(config, value)
    if plain is _UNKNOWN or signatures.fits(parameter.annotation, plain):
        return
    found = signatures.example(parameter, plain)
    hint = "" if found is _EMPTY else f", e.g. {flag(place, found)}"
    raise InputError(f"{place}: {signatures.mismatch(parameter.annotation, plain)}{hint}")


def _plain(config: Config, value: Any) -> Any:
    """Returns a value with its references resolved, _UNKNOWN where gin must call something."""
    if (name := macro_name(value)) is not None:
        return _plain(config, config[name, _MACRO][_VALUE])
    if isinstance(value, gin.config.ConfigurableReference):
        if value.configurable.selector == _CONSTANT:
            return value.scoped_configurable_fn()
        return _UNKNOWN if value.evaluate else value.configurable.wrapped
    items = {key: _plain(config, item) for key, item in _items(value)}
    if any(item is _UNKNOWN for item in items.values()):
        return _UNKNOWN
    if isinstance(value, list | tuple):
        return type(value)(items.values())
    return items if isinstance(value, dict) else value


def _items(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list | tuple) else []


def flag(place: str, value: Any) -> str:
    """Returns the flag that gives a macro or a parameter a value, as a shell takes it.

    Example:
      >>> flag("LANGUAGE", "hi")
      '--gin.LANGUAGE="\\'hi\\'"'
    """
    text = repr(value)
    return f"--gin.{place}=" + (text if re.fullmatch(r"[\w.-]+", text) else f'"{text}"')


def macro_name(value: Any) -> str | None:
    """Returns the name of the macro that a value refers to, None if it refers to none."""
    is_reference = isinstance(value, gin.config.ConfigurableReference)
    if is_reference and value.configurable.selector == _MACRO:
        return "/".join(value.scopes)
    return None


def macro_value(config: Config, name: str) -> Any:
    """Returns what a macro stands for, by way of other macros; None if it isn't set."""
    while name is not None:
        value = config.get((name, _MACRO), {}).get(_VALUE)
        name = macro_name(value)
    return value


def references(config: Config) -> Iterator[tuple[str, Any]]:
    """Yields "configurable.parameter" or a macro, and each macro or constant in its value."""
    for (scope, selector), parameters in config.items():
        for parameter, value in parameters.items():
            binding = f"{selector.rpartition('.')[2]}.{parameter}"
            binding = scope if selector == _MACRO else binding
            for reference in gin.config.iterate_references({parameter: value}):
                if repr(reference).startswith("%"):
                    yield binding, reference


def defined(config: Config) -> set[str]:
    """Returns the macros that have a value."""
    return {scope for scope, selector in config if selector == _MACRO}


def parameters(config: Config, name: str) -> list[str]:
    """Returns what a configuration binds under a parameter's name: ["make_mixer.protected"]."""
    minimal = gin.config._REGISTRY.minimal_selector
    return sorted(
        f"{minimal(selector)}.{name}"
        for (_, selector), bindings in config.items()
        if name in bindings and selector != _MACRO
    )


def _check_unused(
    config: Config, texts: Mapping[str, str], whole: bool, given: Collection[str]
) -> None:
    """Raises InputError for a macro that nothing uses, unless other runs of the project do.

    Of the latter one that a flag gives, or that has another value than in the project's files, is
    warned of, if the run is whole.
    """
    used = {repr(reference)[1:] for _, reference in references(config)}
    used |= gin_files.used(texts) - {*given}  # by other rows, too, but a flag is for this run
    used |= {gin_files.STARTS_FROM, gin_files.COMPARED_WITH}
    project = gin_files.project_macros()
    for name in sorted(defined(config) - used):
        place = None if name in given else gin_files.place(texts, name)
        where = f"{place}: {name}" if place else f"--gin.{name}"
        if name not in project:
            known = suggest(name, sorted(used | {*project}))
            raise InputError(f"{where}: nothing uses this macro{known or '; take it out'}")
        value = repr(config[name, _MACRO][_VALUE])
        if whole and (name in given or not {value, ""} & project[name]):
            note = f"{where}: nothing in this run uses it, so {value} has no effect"
            print(f"commit-t5x: warning: {note}", file=sys.stderr)


def _check_macros(config: Config) -> None:
    """Raises InputError for macros that are used but not set."""
    known = defined(config)
    required = []
    for binding, reference in references(config):
        name = repr(reference)[1:]
        if name == "gin.REQUIRED":
            required.append(binding)
        elif name not in known and reference.configurable.selector == _MACRO:
            raise InputError(
                f"{name}: used by {binding}, but not set{suggest(name, sorted(known))}; "
                f"add the gin file that sets it, or --gin.{name}=VALUE"
            )
    if required:
        flags = " ".join(f"--gin.{name}=VALUE" for name in required)
        raise InputError(f"{', '.join(required)}: required, but not set; add {flags}")


def _check_scopes(config: Config) -> None:
    """Raises InputError for a binding in a scope in which nothing calls what it binds.

    Functions that no file refers to are called by Python, in any of the scopes that are entered.
    """
    calls = {((), selector) for _, selector in config}
    todo = list(calls)
    while todo:
        scopes, selector = todo.pop()
        for length in range(len(scopes) + 1):
            bindings = config.get(("/".join(scopes[:length]), selector), {})
            for reference in gin.config.iterate_references(bindings):
                call = tuple(reference.scopes) or scopes, reference.configurable.selector
                if call not in calls:
                    calls.add(call)
                    todo.append(call)
    entered = {scopes[: end + 1] for scopes, _ in calls for end in range(len(scopes))}
    referred = {
        reference.configurable.selector for reference in gin.config.iterate_references(config)
    }
    for scope, selector in config:
        if not scope or selector == _MACRO:
            continue
        path = tuple(scope.split("/"))
        called = {scopes[: len(path)] for scopes, name in calls if name == selector}
        if path in (called if selector in referred else entered):
            continue
        name = gin.config._REGISTRY.minimal_selector(selector)
        close = suggest(scope, sorted("/".join(scopes) for scopes in entered - {path}))
        raise InputError(
            f"{scope}/{name}: bound, but nothing calls {name} in the scope {scope}"
            f"{close or f'; bind {name} without it'}"
        )
