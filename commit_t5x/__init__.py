"""COMMIT: code-mixing English-centric LLaMA-family models for low-resource languages.

What a notebook needs, imported when it is first asked for; docs/python.md shows each.

Example:
  >>> from commit_t5x import CodeMixer, Lexicon
  >>> CodeMixer(Lexicon.from_pairs([("tea", "चाय")]), ratio=1.0).mix("hot tea", seed=(42, 0))
  'hot चाय'
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from commit_t5x.conversion import convert
    from commit_t5x.data.templates import Template
    from commit_t5x.engine.runs import train
    from commit_t5x.inspection.runs import inspect
    from commit_t5x.language_model import LanguageModel, load
    from commit_t5x.mixing.lexicon import Lexicon
    from commit_t5x.mixing.mixer import CodeMixer
    from commit_t5x.model.llama_config import LlamaConfig

__version__ = "0.1.0"

# Name -> the module that defines it.
_HOMES = {
    "CodeMixer": "mixing.mixer",
    "LanguageModel": "language_model",
    "Lexicon": "mixing.lexicon",
    "LlamaConfig": "model.llama_config",
    "Template": "data.templates",
    "convert": "conversion",
    "inspect": "inspection.runs",
    "load": "language_model",
    "train": "engine.runs",
}
__all__ = [
    "CodeMixer",
    "LanguageModel",
    "Lexicon",
    "LlamaConfig",
    "Template",
    "convert",
    "inspect",
    "load",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
