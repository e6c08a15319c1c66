"""Parallel text as instructions: a baseline to compare code-mixing with."""

import functools

from commit_t5x.data import parallel_text
from commit_t5x.tasks import alpaca


def register(language: str) -> None:
    """Registers the task that translates between English and a language."""
    examples = functools.partial(parallel_text.translation_examples, language)
    alpaca.add("translation", language, examples)
