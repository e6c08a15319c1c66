"""Prompts as literal and slot segments.

Template blocking (COMMIT) holds by type: a template renders to segments, and only
what fills a slot can be handed to the mixer.
"""

import dataclasses
import re
from collections.abc import Mapping

import gin
import tensorflow as tf

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
    """A prompt with slots.

    Example:
      >>> template = Template("### Input:\\n{input}\\n\\n### Response:")
      >>> template.segments[1]
      Slot(field='input')
      >>> template.render({"input": "tea"})
      Rendered(text='### Input:\\ntea\\n\\n### Response:', spans=((11, 14, 'input'),))
    """

    def __init__(self, pattern: str):
        parts = re.split(r"\{(\w+)\}", pattern)
        segments = [Slot(p) if i % 2 else Literal(p) for i, p in enumerate(parts)]
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

    def render_tf(self, values: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Fills the slots for a batch: string [n] per field -> string [n]."""
        return tf.strings.join(self._parts(values))

    def slot_span_tf(self, values: Mapping[str, tf.Tensor], field: str) -> tf.Tensor:
        """Returns where a field lies in the filled prompts, in bytes: int32 [n, 2]; 0, 0 if not.

        Args:
          values: as for `render_tf`.
          field: a slot's field; the last such slot counts.
        """
        lengths = [tf.strings.length(part) for part in self._parts(values)]
        start = end = tf.zeros_like(next(iter(values.values())), tf.int32)
        position = start
        for segment, length in zip(self.segments, lengths, strict=True):
            if segment == Slot(field):
                start, end = position, position + length
            position += length
        return tf.stack([start, end], axis=1)

    def _parts(self, values: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
        return [
            tf.constant(s.text) if isinstance(s, Literal) else values[s.field]
            for s in self.segments
        ]


@dataclasses.dataclass(frozen=True)
class PromptTemplates:
    """Alpaca's two prompts in one language; the response follows them with nothing between."""

    with_input: Template
    without_input: Template

    def choose(self, values: Mapping[str, str]) -> Template:
        """Returns the prompt for an example: `without_input` if its `input` is empty."""
        return self.with_input if values["input"] else self.without_input


PROMPTS = {
    "en": PromptTemplates(
        with_input=Template(
            "Below is an instruction that describes a task, paired with an input that provides "
            "further context. Write a response that appropriately completes the request.\n\n"
            "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
        ),
        without_input=Template(
            "Below is an instruction that describes a task. Write a response that appropriately "
            "completes the request.\n\n### Instruction:\n{instruction}\n\n### Response:"
        ),
    ),
}


@gin.configurable
def get_prompts(language: str = "en") -> PromptTemplates:
    """Returns the prompts of the language that `PROMPT_LANGUAGE` names.

    Raises:
      InputError: no prompts exist in that language.
    """
    if language not in PROMPTS:
        raise InputError(
            f"PROMPT_LANGUAGE {language!r}: no prompts in that language; use {', '.join(PROMPTS)}"
        )
    return PROMPTS[language]
