"""Task names for gin and for code; naming a task registers it."""

import gin
import seqio

from commit_t5x import ranges
from commit_t5x.errors import InputError
from commit_t5x.tasks import alpaca, families, translation, wikipedia, xquad


def register_language(language: str) -> None:
    """Registers the tasks and mixtures of a language; does so but once.

    The languages of `families.DICTIONARY_LANGUAGES` are registered already.

    Raises:
      InputError: not a language code.

    Example:
      >>> register_language("quy")
      >>> seqio.get_mixture_or_task("alpaca_codemix_quy")
    """
    if families.name("wikipedia", language) not in seqio.TaskRegistry.names():
        wikipedia.register(language)
        alpaca.register(language)
        translation.register(language)
        xquad.register(language)


def register_named(name: str) -> None:
    """Registers what a name such as "wikipedia_quy" needs; other names are left alone."""
    known = seqio.TaskRegistry.names() | seqio.MixtureRegistry.names()
    language = families.language_of(name)
    if name not in known and language:
        register_language(language)


@gin.configurable
def task_name(family: ranges.Text | None = None, language: ranges.Language | None = None) -> str:
    """Returns the name of a task or mixture, which it registers if that has not been done.

    Args:
      family: a key of `families.FAMILIES` (`TASK_FAMILY`); None raises InputError.
      language: the target language (`LANGUAGE`); "alpaca" takes none and ignores it.

    Raises:
      InputError: no such family, no task in that language, or not a language code.

    Example:
      >>> task_name("alpaca_codemix", "hi")
      'alpaca_codemix_hi'
    """
    if family is None:
        raise InputError(
            f"TASK_FAMILY: not set; name one of {', '.join(families.FAMILIES)}, or set "
            "MIXTURE_OR_TASK_NAME"
        )
    name = families.name(family, language)
    register_named(name)
    return name


for _language in families.DICTIONARY_LANGUAGES:
    register_language(_language)
