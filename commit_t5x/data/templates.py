"""Prompts as literal and slot segments.

Template blocking (COMMIT) holds by type: a template renders to segments, and only
what fills a slot can be handed to the mixer.
"""

import dataclasses
import pathlib
import string
import tomllib
from collections.abc import Mapping

import gin

from commit_t5x import fingerprints, ranges, resources
from commit_t5x.errors import InputError


@dataclasses.dataclass(frozen=True)
class Literal:
    """Text of the template itself."""

    text: str


@dataclasses.dataclass(frozen=True)
class Slot:
    """A place that a field of the example fills."""

    field: str


@dataclasses.dataclass(frozen=True)
class Rendered:
    """A filled template.

    Attributes:
      text: the whole prompt.
      spans: (start, end) in characters and the field, for each slot from left to right; what lies
        between is literal.
    """

    text: str
    spans: tuple[tuple[int, int, str], ...]


class Template:
    """A prompt with slots, written as Python's format strings are: `{{` stands for a brace.

    Raises:
      ValueError: a brace is neither part of a slot nor doubled, or a slot is not a mere name.

    Example:
      >>> template = Template("### Input:\\n{input}\\n\\n### Response:")
      >>> template.segments[1]
      Slot(field='input')
      >>> template.render({"input": "tea"})
      Rendered(text='### Input:\\ntea\\n\\n### Response:', spans=((11, 14, 'input'),))
    """

    def __init__(self, pattern: str):
        segments: list[Literal | Slot] = []
        text = ""
        for literal, field, form, conversion in string.Formatter().parse(pattern):
            text += literal
            if field is not None:
                if form or conversion or not field.isidentifier():
                    raise ValueError(f"a brace opens {field!r}, which is no slot's name")
                segments += [Literal(text), Slot(field)]
                text = ""
        segments.append(Literal(text))
        self.segments = tuple(s for s in segments if s != Literal(""))

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the slots, from left to right."""
        return tuple(s.field for s in self.segments if isinstance(s, Slot))

    def render(self, values: Mapping[str, str]) -> Rendered:
        """Fills the slots."""
        text, spans = "", []
        for segment in self.segments:
            if isinstance(segment, Literal):
                text += segment.text
            else:
                spans.append((len(text), len(text) + len(values[segment.field]), segment.field))
                text += values[segment.field]
        return Rendered(text, tuple(spans))


@dataclasses.dataclass(frozen=True)
class PromptTemplates:
    """Alpaca's two prompts in one language; the response follows them with nothing between."""

    with_input: Template
    without_input: Template

    def choose(self, values: Mapping[str, str]) -> Template:
        """Returns the prompt for an example: `without_input` if its `input` is empty."""
        return self.with_input if values["input"] else self.without_input


# Each prompt of a file, and the slots that it has.
_SLOTS = {"with_input": ("instruction", "input"), "without_input": ("instruction",)}


@gin.configurable
def get_prompts(language: ranges.Text = "en") -> PromptTemplates:
    """Returns the prompts that `PROMPT_LANGUAGE` names.

    Args:
      language: a shipped language (en, hi, ...), or the path of a TOML file of your own. Such a
        file has the form of the shipped ones: the keys `with_input`, with the slots {instruction}
        and {input}, and `without_input`, with {instruction}. Braces of the text itself are doubled.

    Raises:
      InputError: no prompts exist in that language, or the file is missing or not of that form; it
        names the key.

    Example:
      >>> get_prompts("el").without_input.segments[-1]
      Literal(text='\\n\\n### Απάντηση:')
    """
    if language.endswith(".toml"):
        path = pathlib.Path(language).expanduser()
        fingerprints.record("PROMPT_LANGUAGE", path)
        return _load(path)
    folder = resources.path("data") / "prompts"
    shipped = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    if language not in shipped:
        raise InputError(
            f"PROMPT_LANGUAGE {language!r}: no prompts in that language; use one of "
            f"{', '.join(shipped)}, or the path of a .toml file of your own"
        )
    fingerprints.record("PROMPT_LANGUAGE", shipped[language])
    return _load(shipped[language])


def _load(path: pathlib.Path) -> PromptTemplates:
    try:
        patterns = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check PROMPT_LANGUAGE") from None
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); set PROMPT_LANGUAGE to a TOML file"
        raise InputError(f"{path}: {problem}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not UTF-8; convert the file to UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not TOML: {error}; mend it there") from error
    for key in patterns:
        if key not in _SLOTS:
            raise InputError(f"{path}: {key}: unknown key; use only {' and '.join(_SLOTS)}")
    return PromptTemplates(
        **{key: _template(f"{path}: {key}", patterns.get(key), _SLOTS[key]) for key in _SLOTS}
    )


def _template(place: str, pattern: object, slots: tuple[str, ...]) -> Template:
    """Returns the template of a key, checked; `place` names file and key."""
    if not isinstance(pattern, str):
        problem = "no such key" if pattern is None else "not text"
        raise InputError(f"{place}: {problem}; set it to the text of the prompt")
    try:
        template = Template(pattern)
    except ValueError as error:
        raise InputError(f"{place}: {error}; double each brace that is text") from error
    found = template.fields
    for slot in found:
        if slot not in slots:
            known = " and ".join(f"{{{slot}}}" for slot in slots)
            remedy = f"use only {known}, and double each brace that is text"
            raise InputError(f"{place}: unknown slot {{{slot}}}; {remedy}")
    for slot in slots:
        if found.count(slot) != 1:
            problem = "two or more slots" if slot in found else "no slot"
            remedy = f"put one where the example's {slot} belongs"
            raise InputError(f"{place}: {problem} {{{slot}}}; {remedy}")
    return template
