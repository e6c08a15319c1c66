"""The text of a task's examples in plain Python, made as the task's preprocessors make it."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gin
import numpy as np
import seqio
import tensorflow as tf

from commit_t5x.data import preprocessors, templates
from commit_t5x.data.qa_prompts import qa_prompt
from commit_t5x.inspection import aligned, pipeline
from commit_t5x.inspection.aligned import AlignedText, Piece, Span, keep, whole
from commit_t5x.mixing.mixer import CodeMixer
from commit_t5x.mixing.schedule import MixSchedule

Fields = Mapping[str, Any]
# (number of the text among the example's, text, roles, ratio or None) -> piece
Mix = Callable[..., Piece]


@dataclasses.dataclass(frozen=True)
class Reader:
    """Makes the text of examples.

    Attributes:
      mixer: mixes; None leaves the text as it is.
      pieces: makes an example's text of its fields.
      names: the features that hold that text in the pipeline.
    """

    mixer: CodeMixer | None
    pieces: Callable[[Fields, Mix], list[Piece]]
    names: Sequence[str]

    def read(self, traces: Sequence[pipeline.Trace]) -> list[AlignedText]:
        """Returns the texts of examples.

        Raises:
          AssertionError: a text isn't the one that the pipeline made, which would be a bug.
        """
        texts = [
            AlignedText(self.pieces(_strings(trace.fields), mix))
            for trace, mix in zip(traces, self._mixes(traces), strict=True)
        ]
        for trace, text in zip(traces, texts, strict=True):
            features = _strings({**trace.texts, **trace.encoded})
            piped = "".join(features[name] for name in self.names)
            if text.text != piped:
                raise AssertionError(f"in Python {text.text!r}, in the pipeline {piped!r}")
        return texts

    def _mixes(self, traces: Sequence[pipeline.Trace]) -> list[Mix]:
        if self.mixer is None:
            return [_leave] * len(traces)
        positions = np.array([trace.fields["position"] for trace in traces])
        factors = MixSchedule().factor_tf(tf.constant(positions)).numpy().tolist()
        return [
            functools.partial(self._mix, trace.fields, factor)
            for trace, factor in zip(traces, factors, strict=True)
        ]

    def _mix(
        self,
        fields: Fields,
        factor: float,
        number: int,
        text: str,
        roles: Sequence[Span],
        ratio: float | None = None,
    ) -> Piece:
        ratio = factor * (self.mixer.ratio if ratio is None else ratio)
        seed = preprocessors.mixing_seeds(int(fields["epoch_seed"]), int(fields["index"]), number)
        return aligned.mix(self.mixer, text, roles, seed, ratio)


def make_reader(task: seqio.Task) -> Reader:
    """Returns the reader of a task's examples.

    Raises:
      InputError: the task is made by other preprocessors than commit_t5x's.
    """
    steps = pipeline.find_steps(task)
    encode = task.preprocessors[steps.encode]
    if pipeline.function(encode) is preprocessors.encode_question:
        options = _options(encode)
        fill = functools.partial(_question, options["family"], options["label_language"])
        return Reader(None, fill, ("inputs_pretokenized", "targets_pretokenized"))
    if steps.text is None:
        return Reader(None, _document, ("text",))
    step = task.preprocessors[steps.text]
    options = _options(step)
    mixer = options["mixer"]() if options["mixer"] else None
    if pipeline.function(step) is preprocessors.mix_documents:
        return Reader(mixer, _document, ("text",))
    fill = _blocked if options["template_blocked"] else _naive
    fill = functools.partial(fill, options["prompts"](), options["response_ratio"])
    return Reader(mixer, fill, ("prompt", "response"))


def _document(fields: Fields, mix: Mix) -> list[Piece]:
    return [mix(0, fields["text"], whole(fields["text"], "text"))]


def _blocked(
    prompts: templates.PromptTemplates, response_ratio: float | None, fields: Fields, mix: Mix
) -> list[Piece]:
    ratios = {"output": response_ratio}
    filling = {
        name: mix(number, fields[name], whole(fields[name], name), ratios.get(name))
        for number, name in enumerate(("instruction", "input", "output"))
    }
    segments = prompts.choose(fields).segments
    prompt = [
        filling[s.field] if isinstance(s, templates.Slot) else _label(s.text) for s in segments
    ]
    return [*prompt, filling["output"]]


def _naive(
    prompts: templates.PromptTemplates, response_ratio: float | None, fields: Fields, mix: Mix
) -> list[Piece]:
    prompt = prompts.choose(fields).render(fields)
    roles, done = [], 0
    for start, end, field in prompt.spans:
        roles += [Span(done, start, "template"), Span(start, end, field)]
        done = end
    roles.append(Span(done, len(prompt.text), "template"))
    output = fields["output"]
    return [mix(0, prompt.text, roles), mix(1, output, whole(output, "output"), response_ratio)]


def _question(family: str, label_language: str, fields: Fields, mix: Mix) -> list[Piece]:
    labels = map(_label, qa_prompt(family, label_language, "\0", "\0").split("\0"))
    answer = next(iter(fields["answers"]), b"").decode("utf-8")
    texts = {"context": fields["context"], "question": fields["question"], "answer": answer}
    filling = (mix(0, text, whole(text, role)) for role, text in texts.items())
    return [piece for pair in zip(labels, filling, strict=True) for piece in pair]


def _label(text: str) -> Piece:
    return keep(text, whole(text, "template"), countable=False)


def _leave(number: int, text: str, roles: Sequence[Span], ratio: float | None = None) -> Piece:
    del number, ratio
    return keep(text, roles, countable=True)


def _options(step: Callable) -> dict[str, Any]:
    """Returns the arguments that SeqIO, a partial or gin will give a preprocessor."""
    parameters = inspect.signature(pipeline.function(step)).parameters.values()
    options = {p.name: p.default for p in parameters if p.default is not p.empty}
    if pipeline.function(step) is preprocessors.fill_prompt:
        options |= gin.get_bindings(preprocessors.fill_prompt)
    return options | getattr(step, "keywords", {})


def _strings(features: Fields) -> Fields:
    return {
        name: value.decode("utf-8") if isinstance(value, bytes) else value
        for name, value in features.items()
    }
