"""Parts of the command line: actions, and flags with a range or a choice."""

import argparse
import ast
from collections.abc import Callable
from typing import Any

from commit_t5x import signatures


def add_action(actions: Any, name: str, description: str, example: str) -> argparse.ArgumentParser:
    """Adds an action to a command, such as `fetch` to `dicts`, and returns its parser.

    Args:
      actions: what ArgumentParser.add_subparsers returned.
      name: of the action.
      description: a sentence for its help and the command's.
      example: what its help ends with.
    """
    return actions.add_parser(
        name,
        help=description,
        description=description,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def of(annotation: Any) -> Callable[[str], Any]:
    """Returns what reads a flag's value; argparse refuses, with exit code 2, what doesn't fit.

    Example:
      >>> parser.add_argument("--limit", type=arguments.of(ranges.Positive))
    """

    def read(text: str) -> Any:
        try:
            value = ast.literal_eval(text.strip())
        except (SyntaxError, ValueError):
            value = text
        if not signatures.fits(annotation, value):
            raise argparse.ArgumentTypeError(signatures.mismatch(annotation, text))
        return value

    return read
