"""The text of a task's examples before and after mixing, made in plain Python."""

import bisect
import dataclasses
import functools
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gin

from commit_t5x.data import preprocessors, templates
from commit_t5x.data.qa_prompts import get_labels, qa_prompt
from commit_t5x.mixing.lexicon import Lexicon
from commit_t5x.mixing.mixer import CodeMixer, Piece
from commit_t5x.mixing.segmenters import WhitespaceSegmenter

Fields = Mapping[str, Any]
Roles = Sequence[tuple[int, str]]  # where each begins in a text, from 0 on, and its name


@dataclasses.dataclass(frozen=True)
class Part:
    """A word or phrase of an example's text, or what stands between.

    Attributes:
      piece: it before and after mixing.
      role: "template", "instruction", "text", ...
      mixable: whether it belongs to a text with words that can be mixed.
    """

    piece: Piece
    role: str
    mixable: bool


@dataclasses.dataclass(frozen=True)
class Text:
    """An example's text.

    Attributes:
      parts: from left to right.
      text: the text after mixing.
      source: the text before it.
      replacements: what was replaced.
    """

    parts: tuple[Part, ...]

    @functools.cached_property
    def text(self) -> str:
        return "".join(part.piece.text for part in self.parts)

    @functools.cached_property
    def source(self) -> str:
        return "".join(part.piece.source for part in self.parts)

    @property
    def replacements(self) -> list[Piece]:
        return [part.piece for part in self.parts if part.piece.replaced]


def mix(
    mixer: CodeMixer, text: str, roles: Roles, seed: tuple[int, int], ratio: float
) -> list[Part]:
    """Returns the parts of a text that is mixed as a whole.

    Args:
      mixer: mixes.
      text: the text.
      roles: of its stretches. A word has the role that it begins in, if it was replaced.
      seed, ratio: as in `CodeMixer.mix`.
    """
    pieces = mixer.mix_with_replacements(text, seed, ratio).pieces
    mixable = any(piece.words for piece in pieces)
    starts = [start for start, _ in roles]
    parts, place = [], 0
    for piece in pieces:
        end = place + len(piece.source)
        cuts = [] if piece.replaced else [start for start in starts if place < start < end]
        for first, last in itertools.pairwise([place, *cuts, end]):
            if cuts:
                words = piece.words if first == place else ()
                cut = Piece(text[first:last], text[first:last], words, piece.known)
            else:
                cut = piece
            parts.append(Part(cut, roles[bisect.bisect(starts, first) - 1][1], mixable))
        place = end
    return parts


# (number of the text among the example's, text, roles, ratio or None) -> parts
Mix = Callable[..., list[Part]]


# Finds words that end at white space, and replaces none.
_UNMIXED = CodeMixer(Lexicon({}), 0.0, segmenter=WhitespaceSegmenter())


class Reader:
    """Makes the text of examples as the task's preprocessors make it.

    Args:
      step: the preprocessor that fills the prompt or mixes the document; if there is none, the one
        that makes tokens of text.

    Attributes:
      is_mixed: whether there is a mixer.
    """

    def __init__(self, step: Callable):
        options = _options(step)
        mixer = options.get("mixer")
        self.is_mixed = mixer is not None
        self._mixer = mixer() if mixer else _UNMIXED
        if "family" in options:
            fill = functools.partial(_question, options["family"], options["label_language"])
        elif "prompts" in options:
            fill = _blocked if options["template_blocked"] else _naive
            fill = functools.partial(fill, options["prompts"](), options["response_ratio"])
        else:
            fill = _document
        self._fill: Callable[[Fields, Mix], list[Part]] = fill

    def read(self, fields: Fields) -> Text:
        """Returns the text of an example.

        Args:
          fields: those of its record, and, where there is a mixer, what `number_epochs` adds and
            the `factor` that the schedule has for its position.
        """
        fields = {k: v.decode("utf-8") if isinstance(v, bytes) else v for k, v in fields.items()}
        return Text(tuple(self._fill(fields, functools.partial(self._mix, fields))))

    def _mix(
        self, fields: Fields, number: int, text: str, roles: Roles, ratio: float | None = None
    ) -> list[Part]:
        if not self.is_mixed:
            return mix(self._mixer, text, roles, (0, 0), 0.0)
        ratio = float(fields["factor"]) * (self._mixer.ratio if ratio is None else ratio)
        seed = preprocessors.mixing_seeds(int(fields["epoch_seed"]), int(fields["index"]), number)
        return mix(self._mixer, text, roles, seed, ratio)


def _options(step: Callable) -> dict[str, Any]:
    """Returns the arguments that a partial or gin will give a preprocessor."""
    function = getattr(step, "func", step)
    parameters = inspect.signature(function).parameters.values()
    options = {p.name: p.default for p in parameters if p.default is not p.empty}
    if function is preprocessors.fill_prompt:
        options |= gin.get_bindings(function)
    return options | getattr(step, "keywords", {})


def _document(fields: Fields, mix: Mix) -> list[Part]:
    return mix(0, fields["text"], [(0, "text")])


def _blocked(
    prompts: templates.PromptTemplates, response_ratio: float | None, fields: Fields, mix: Mix
) -> list[Part]:
    filling = {
        name: mix(number, fields[name], [(0, name)], response_ratio if name == "output" else None)
        for number, name in enumerate(("instruction", "input", "output"))
    }
    segments = prompts.choose(fields).segments
    prompt = [
        filling[s.field] if isinstance(s, templates.Slot) else [_label(s.text)] for s in segments
    ]
    return [*itertools.chain.from_iterable(prompt), *filling["output"]]


def _naive(
    prompts: templates.PromptTemplates, response_ratio: float | None, fields: Fields, mix: Mix
) -> list[Part]:
    prompt = prompts.choose(fields).render(fields)
    roles = [(0, "template")]
    for start, end, field in prompt.spans:
        roles += [(start, field), (end, "template")]
    output = mix(1, fields["output"], [(0, "output")], response_ratio)
    return [*mix(0, prompt.text, roles), *output]


def _question(family: str, label_language: str, fields: Fields, mix: Mix) -> list[Part]:
    labels = qa_prompt(family, get_labels(label_language), "\0", "\0").split("\0")
    answer = next(iter(fields["answers"]), b"").decode("utf-8")
    texts = {"context": fields["context"], "question": fields["question"], "answer": answer}
    parts = ([_label(label)] for label in labels)
    filling = (mix(0, text, [(0, role)]) for role, text in texts.items())
    return [p for pair in zip(parts, filling, strict=True) for both in pair for p in both]


def _label(text: str) -> Part:
    return Part(Piece(text, text), "template", mixable=False)
