"""Task names: one function builds them, for registration and for gin alike."""

import gin

from commit_t5x.errors import InputError

# The languages that MUSE pairs with English, each way.
DICTIONARY_LANGUAGES = tuple(
    "af ar bg bn bs ca cs da de el es et fa fi fr he hi hr hu id it ja ko lt lv mk ms nl no pl pt "
    "ro ru sk sl sq sv ta th tl tr uk vi zh".split()
)
# The languages whose labels the paper's evaluation defines (see commit_t5x.qa_prompts).
XQUAD_LANGUAGES = ("en", "el", "hi", "th")
MLQA_LANGUAGES = ("en", "ar", "de", "es", "hi", "vi", "zh")

# family -> (name, languages)
FAMILIES = {
    "alpaca": ("alpaca_en", ()),
    "alpaca_codemix": ("alpaca_codemix_{}", DICTIONARY_LANGUAGES),
    "alpaca_naive_codemix": ("alpaca_naive_codemix_{}", DICTIONARY_LANGUAGES),
    "wikipedia": ("wikipedia_{}", ("en", *DICTIONARY_LANGUAGES)),
    "wikipedia_codemix": ("wikipedia_codemix_{}", DICTIONARY_LANGUAGES),
    "xquad": ("xquad_{}", XQUAD_LANGUAGES),
    "xquad_en": ("xquad_en{}", XQUAD_LANGUAGES[1:]),
    "mlqa": ("mlqa_{}", MLQA_LANGUAGES),
    "mlqa_en": ("mlqa_en{}", MLQA_LANGUAGES[1:]),
}


@gin.configurable
def task_name(family: str, language: str | None = None) -> str:
    """Returns a task's name.

    Args:
      family: a key of `FAMILIES`.
      language: the target language (`LANGUAGE`); "alpaca" takes none and ignores it.

    Raises:
      InputError: the family has no task in that language.

    Example:
      >>> task_name("alpaca_codemix", "hi")
      'alpaca_codemix_hi'
    """
    name, languages = FAMILIES[family]
    if languages and language not in languages:
        raise InputError(
            f"LANGUAGE {language!r}: no {family} task in that language; use one of "
            f"{', '.join(languages)}"
        )
    return name.format(language)
