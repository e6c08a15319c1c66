"""Flags of the command line with a range or a choice: `type=` functions for argparse."""

import argparse
import ast
from collections.abc import Callable
from typing import Any

from commit_t5x import signatures


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
