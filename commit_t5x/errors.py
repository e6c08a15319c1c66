"""What bad input raises, and what may have been meant."""

import difflib
from collections.abc import Sequence


class InputError(Exception):
    """Bad input from the user: a file, a line, a key or a flag.

    The message is one line that names the place, what is wrong and the remedy; the command line
    prints it without a traceback and exits with code 2.

    Example:
      >>> raise InputError("dicts/en-hi.txt:17: expected 2 columns, found 3; mend it")
    """


def suggest(name: str, known: Sequence[str]) -> str:
    """Returns "; did you mean ...?" for the known names close to `name`, or "".

    Example:
      >>> suggest("TRAIN_STEP", ["TRAIN_STEPS", "MODEL_DIR"])
      '; did you mean TRAIN_STEPS?'
    """
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(close)}?" if close else ""
