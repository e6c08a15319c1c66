"""Templates inside a TensorFlow graph: batches filled as `Template.render` fills each."""

from collections.abc import Mapping

import tensorflow as tf

from commit_t5x.data.templates import Literal, Slot, Template


def render(template: Template, values: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Fills the slots for a batch: string [n] per field -> string [n]."""
    return tf.strings.join(_parts(template, values))


def slot_span(template: Template, values: Mapping[str, tf.Tensor], field: str) -> tf.Tensor:
    """Returns where a field lies in the filled prompts, in bytes: int32 [n, 2]; 0, 0 if not.

    Args:
      template: what is filled.
      values: as for `render`.
      field: a slot's field; the last such slot counts.
    """
    lengths = [tf.strings.length(part) for part in _parts(template, values)]
    start = end = tf.zeros_like(next(iter(values.values())), tf.int32)
    position = start
    for segment, length in zip(template.segments, lengths, strict=True):
        if segment == Slot(field):
            start, end = position, position + length
        position += length
    return tf.stack([start, end], axis=1)


def _parts(template: Template, values: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
    return [
        tf.constant(s.text) if isinstance(s, Literal) else values[s.field]
        for s in template.segments
    ]
