"""A prompt on the terminal: a line in, an answer out as it comes."""

import contextlib
import itertools
from collections.abc import Callable, Sequence

from commit_t5x.engine import generation

_HINT = "Ctrl-C stops an answer, Ctrl-D leaves. The first answer of each length takes a while."


def converse(generator: generation.Generator, tokenize: Callable[[str], Sequence[int]]) -> None:
    """Answers lines from the terminal until Ctrl-D; each stands for itself.

    Args:
      generator: of the answers.
      tokenize: gives the prompt's token ids for a line.
    """
    with contextlib.suppress(ImportError):  # where there is none, a line can't be edited
        import readline  # noqa: F401, input uses it
    print(_HINT)
    for number in itertools.count():
        try:
            line = input("> ")
        except KeyboardInterrupt:
            print()
            continue
        except EOFError:
            print()
            return
        if not line.strip():
            continue
        with contextlib.suppress(KeyboardInterrupt):
            generator.stream(tokenize(line), lambda text: print(text, end="", flush=True), number)
        print()
