"""The families of tasks: what their names look like, and which languages they have."""

import re
from typing import NamedTuple

from commit_t5x.data.qa_prompts import LANGUAGE_CODE
from commit_t5x.errors import InputError, suggest

# The languages that MUSE pairs with English, each way.
DICTIONARY_LANGUAGES = tuple(
    "af ar bg bn bs ca cs da de el es et fa fi fr he hi hr hu id it ja ko lt lv mk ms nl no pl pt "
    "ro ru sk sl sq sv ta th tl tr uk vi zh".split()
)
# The languages that MLQA has, and a script of its authors scores.
MLQA_LANGUAGES = ("en", "ar", "de", "es", "hi", "vi", "zh")


class Family(NamedTuple):
    """Tasks that differ by their language.

    Attributes:
      pattern: of the name; {} stands for the language.
      languages: those that have a task; () if there is but one, in English; None for any language,
        given its data, and its dictionary or its labels.
    """

    pattern: str
    languages: tuple[str, ...] | None = None


FAMILIES = {
    "alpaca": Family("alpaca_en", ()),
    "alpaca_codemix": Family("alpaca_codemix_{}"),
    "alpaca_naive_codemix": Family("alpaca_naive_codemix_{}"),
    "alpaca_codemix_pairs": Family("alpaca_codemix_pairs_{}"),
    "commit_mix": Family("commit_mix_{}"),
    "translation": Family("translation_{}"),
    "wikipedia": Family("wikipedia_{}"),
    "wikipedia_codemix": Family("wikipedia_codemix_{}"),
    "xquad": Family("xquad_{}"),
    "xquad_en": Family("xquad_en{}"),
    "mlqa": Family("mlqa_{}", MLQA_LANGUAGES),
    "mlqa_en": Family("mlqa_en{}", MLQA_LANGUAGES[1:]),
}


def name(family: str, language: str | None = None) -> str:
    """Returns the name of a family's task in a language; "alpaca" takes none and ignores it.

    Raises:
      InputError: no such family, no task in that language, or not a language code.

    Example:
      >>> name("alpaca_codemix", "zh_Hant")
      'alpaca_codemix_zh_Hant'
    """
    if family not in FAMILIES:
        close = suggest(family, list(FAMILIES))
        raise InputError(
            f"TASK_FAMILY {family!r}: unknown; use one of {', '.join(FAMILIES)}{close}"
        )
    pattern, languages = FAMILIES[family]
    if languages == ():
        return pattern
    if languages and language not in languages:
        raise InputError(
            f"LANGUAGE {language!r}: no {family} task in that language; use one of "
            f"{', '.join(languages)}"
        )
    if not re.fullmatch(LANGUAGE_CODE, language or ""):
        raise InputError(
            f"LANGUAGE {language!r}: not a language code; use one as in the dictionaries' names, "
            "such as hi, quy or zh_Hant"
        )
    return pattern.format(language)


def language_of(task_name: str) -> str | None:
    """Returns the language in the name of a task that is there for any language, else None.

    Example:
      >>> language_of("wikipedia_codemix_sw")
      'sw'
    """
    for pattern, languages in FAMILIES.values():
        if languages is None:
            match = re.fullmatch(pattern.format(f"({LANGUAGE_CODE})"), task_name)
            if match:
                return match[1]
    return None
