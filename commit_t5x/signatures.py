"""Values against the annotations of the parameters that take them: type, range and choice.

pydantic checks, in strict mode: `True` is no number, 2.0 is no whole number and "2" is neither. An
int serves as a float, and a list as a tuple, as in Python and in gin files.
"""

import ast
import collections.abc
import functools
import inspect
import math
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from commit_t5x.errors import InputError
from commit_t5x.ranges import Example

_UNIONS = (Union, types.UnionType)
_NOUNS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text in quotes",
    type(None): "None",
}


def check(function: Callable, arguments: Mapping[str, Any]) -> None:
    """Checks arguments of a call in Python, as those of a gin file are.

    Raises:
      InputError: naming the parameter, what it got, and what it takes.

    Example:
      >>> check(Sampling, {"top_p": 2.0})
      InputError: top_p: 2.0 doesn't fit; it takes a number above 0 and at most 1, e.g. 1.0
    """
    for name, parameter in parameters(function).items():
        if name in arguments and not fits(parameter.annotation, arguments[name]):
            value = arguments[name]
            found = example(parameter, value)
            hint = "" if found is inspect.Parameter.empty else f", e.g. {found!r}"
            raise InputError(f"{name}: {mismatch(parameter.annotation, value)}{hint}")


@functools.lru_cache(maxsize=256)
def parameters(function: Callable) -> Mapping[str, inspect.Parameter]:
    """Returns the parameters of a function or class, annotations that are texts evaluated."""
    try:
        return inspect.signature(function, eval_str=True).parameters
    except NameError:  # of what is imported for type checkers alone
        return inspect.signature(function).parameters


def fits(annotation: Any, value: Any) -> bool:
    """Returns whether a parameter of the annotation takes the value."""
    import pydantic  # here: it takes a while to load

    adapter = _adapter(annotation)
    try:
        return adapter is None or bool(adapter.validate_python(_tuples(value)) or True)
    except pydantic.ValidationError:
        return False


@functools.lru_cache(maxsize=256)
def _adapter(annotation: Any) -> Any:
    """Returns pydantic's; None for annotations that it can't make sense of."""
    import pydantic

    if annotation is inspect.Parameter.empty or isinstance(annotation, str):
        return None
    config = pydantic.ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
    try:
        return pydantic.TypeAdapter(_own(annotation), config=config)
    except pydantic.errors.PydanticUserError:
        return None


def _own(annotation: Any) -> Any:
    """Returns the annotation with classes, but for Python's own, as classes to be instances of.

    Of data classes and named tuples pydantic would take the fields.
    """
    import pydantic

    if get_origin(annotation) in _UNIONS:
        return Union[tuple(map(_own, get_args(annotation)))]  # noqa: UP007, of a number unknown
    if inspect.isclass(annotation) and annotation.__module__ not in ("builtins", "typing"):
        return Annotated[Any, pydantic.PlainValidator(functools.partial(_instance, annotation))]
    return annotation


def _instance(class_: type, value: Any) -> Any:
    if not isinstance(value, class_):
        raise ValueError(f"no {class_.__name__}")
    return value


def _tuples(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(map(_tuples, value))
    return {key: _tuples(item) for key, item in value.items()} if type(value) is dict else value


def mismatch(annotation: Any, value: Any) -> str:
    """Says in one line that a value doesn't fit, and what would.

    Example:
      >>> mismatch(int, "12")
      "'12' doesn't fit; it takes a whole number"
    """
    shown = f"@{value.__name__}" if hasattr(value, "__name__") else repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
    return f"{shown} doesn't fit; it takes {describe(annotation)}"


def describe(annotation: Any) -> str:
    """Says what an annotation takes.

    Example:
      >>> describe(Annotated[float, Interval(ge=0, le=1)] | None)
      'a number from 0 to 1, or None'
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return describe(arguments[0]) + _bounds(arguments[1:])
    if origin in _UNIONS:
        return ", or ".join(map(describe, arguments))
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if origin is tuple and arguments:
        return f"({', '.join(map(describe, arguments))})"
    if _is_kind(origin, collections.abc.Mapping):
        return f"{{{describe(arguments[0])}: {describe(arguments[1])}, ...}}"
    if _is_kind(origin, collections.abc.Iterable):
        return f"[{describe(arguments[0])}, ...]"
    if _is_kind(origin, collections.abc.Callable):
        return "a function or class (@...)"
    name = getattr(annotation, "__name__", str(annotation))
    return _NOUNS.get(annotation) or f"{'an' if name[0] in 'AEIOU' else 'a'} {name} (@...())"


def _is_kind(origin: Any, kind: type) -> bool:
    return inspect.isclass(origin) and issubclass(origin, kind)


def _bounds(metadata: tuple[Any, ...]) -> str:
    names = "ge", "le", "gt", "lt", "min_length", "max_length"
    low, high, above, below, shortest, longest = (_bound(metadata, name) for name in names)
    if low is not None and high is not None:
        return f" from {low} to {high}"
    texts = {"above {}": above, "from {} on": low, "at most {}": high, "below {}": below}
    found = [text.format(bound) for text, bound in texts.items() if bound is not None]
    if longest is not None:
        found.append(f"of length {longest}")
    elif shortest is not None:
        found.append("that isn't empty")
    return f" {' and '.join(found)}" if found else ""


def _bound(metadata: tuple[Any, ...], name: str) -> Any:
    found = (getattr(item, name, None) for item in metadata)
    return next((bound for bound in found if bound is not None), None)


def example(parameter: inspect.Parameter, value: Any) -> Any:
    """Returns a value that the parameter takes, near to the one given; `empty` if none is known.

    Example:
      >>> example(parameters(CodeMixer)["ratio"], "0.5")
      0.5
    """
    annotation = parameter.annotation
    for candidate in (*_near(value), parameter.default, *_samples(annotation)):
        if candidate is parameter.empty or candidate is None:
            continue
        if isinstance(candidate, _LITERALS) and fits(annotation, candidate):
            return candidate
    return None if fits(annotation, None) else parameter.empty


_LITERALS = (bool, int, float, str, list, tuple, dict)


def _near(value: Any) -> Iterator[Any]:
    """Yields what may have been meant by a value."""
    if isinstance(value, str):
        try:
            yield ast.literal_eval(value.strip().capitalize())
        except (ValueError, SyntaxError):
            yield (value,)
    elif isinstance(value, float):
        if math.isfinite(value):
            yield int(value)
    elif isinstance(value, list | tuple):
        yield value[0] if len(value) == 1 else (value,)


def _samples(annotation: Any) -> Iterator[Any]:
    """Yields values of an annotation, some of which may be out of its range."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        base, *metadata = arguments
        yield from (item.value for item in metadata if isinstance(item, Example))
        low, above = _bound(tuple(metadata), "ge"), _bound(tuple(metadata), "gt")
        if low is not None:
            yield base(low)
        if above is not None:
            yield above + 1
        if length := _bound(tuple(metadata), "max_length"):
            yield tuple(range(1, length + 1))
        yield from _samples(base)
    elif origin in _UNIONS:
        for argument in arguments:
            yield from _samples(argument)
    elif origin is Literal:
        yield from arguments
    elif origin is tuple:
        yield tuple(next(_samples(argument), None) for argument in arguments)
    elif _is_kind(origin, collections.abc.Mapping):
        yield dict([tuple(next(_samples(argument), None) for argument in arguments)])
    elif _is_kind(origin, collections.abc.Iterable):
        yield (next(_samples(arguments[0]), None),)
    else:
        yield from {bool: [True], int: [1], float: [0.5, 1.0], str: ["text"]}.get(annotation, [])


def inner(annotation: Any, key: Any) -> Any:
    """Returns the annotation of an item of a container, `empty` where that isn't known.

    Example:
      >>> inner(Mapping[str, int] | None, "inputs")
      <class 'int'>
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return inner(arguments[0], key)
    if origin in _UNIONS:
        found = (inner(argument, key) for argument in arguments)
        return next((a for a in found if a is not inspect.Parameter.empty), inspect.Parameter.empty)
    if _is_kind(origin, collections.abc.Mapping):
        return arguments[1]
    if origin is tuple and arguments[-1] is not Ellipsis:
        return arguments[key] if key < len(arguments) else inspect.Parameter.empty
    if _is_kind(origin, collections.abc.Iterable):
        return arguments[0]
    return inspect.Parameter.empty
