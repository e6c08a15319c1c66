"""Mixtures of tasks, at rates that a gin file gives."""

import re
from collections.abc import Mapping
from typing import Annotated

import gin
import seqio
from annotated_types import MinLen

from commit_t5x import ranges, signatures
from commit_t5x.errors import InputError, suggest
from commit_t5x.tasks import names


@gin.configurable
def mixture(
    rates: Annotated[Mapping[ranges.Text, ranges.PositiveNumber], MinLen(1)],
    language: ranges.Language | None = None,
) -> str:
    """Registers a SeqIO mixture, if that has not been done, and returns its name.

    Args:
      rates: task or mixture -> how often its examples are drawn, relative to the others'. In a
        name, {lang} stands for the language.
      language: the target language (`LANGUAGE`).

    Returns:
      A name made of the tasks and their rates.

    Raises:
      InputError: no rates, a rate that isn't positive, no task of a name, or tasks that don't mix.

    Example, in a gin file:
      MIXTURE_OR_TASK_NAME = @mixtures.mixture()
      mixtures.mixture.rates = {"alpaca_en": 1, "wikipedia_codemix_{lang}": 0.5}
      mixtures.mixture.language = %LANGUAGE
    LANGUAGE "hi" makes it mix_alpaca_en_1_wikipedia_codemix_hi_0.5.
    """
    signatures.check(mixture, {"rates": rates})
    parts = {}
    for key, rate in rates.items():
        part = _registered(key.replace("{lang}", language or "{lang}"))
        if part in parts:
            raise InputError(f"mixtures.mixture.rates: {part} has two rates; give it one")
        parts[part] = float(rate)
    first, *others = (seqio.get_mixture_or_task(part) for part in parts)
    for other in others:
        pair = f"mixtures.mixture.rates: {first.name} and {other.name}"
        if tuple(other.output_features) != tuple(first.output_features):
            raise InputError(
                f"{pair} have different features, {', '.join(first.output_features)} and "
                f"{', '.join(other.output_features)}; SeqIO mixes tasks with the same, in one order"
            )
        if not {*first.splits} & {*other.splits}:
            raise InputError(f"{pair} have no split in common; mix training tasks only")
    rated = [f"{part}_{rate!r}".removesuffix(".0") for part, rate in sorted(parts.items())]
    name = re.sub(r"[-+]", "_", "_".join(["mix", *rated]))  # of exponents: no name holds them
    if name not in seqio.MixtureRegistry.names():
        seqio.MixtureRegistry.add(name, list(parts.items()))
    return name


def _registered(name: str) -> str:
    names.register_named(name)
    known = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if name not in known:
        hint = suggest(name, known) or "; check the name"
        raise InputError(f"mixtures.mixture.rates: no task or mixture {name!r}{hint}")
    return name
