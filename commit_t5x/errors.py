"""What bad input raises, and what may have been meant."""

import difflib
import re
from collections.abc import Sequence


class InputError(Exception):
    """Bad input from the user: a file, a line, a key or a flag.

    The message is one line that names the place, what is wrong and the remedy; the command line
    prints it without a traceback and exits with code 2.

    Example:
      >>> raise InputError("dicts/en-hi.txt:17: expected 2 columns, found 3; mend it")
    """


def message(error: BaseException) -> str | None:
    """Returns an InputError's line, also where a tf.data pipeline passed it on; None for others'.

    Example:
      >>> message(InputError("DICT_DIR: not set\n  In call to configurable 'make_mixer'"))
      'DICT_DIR: not set'
    """
    if isinstance(error, InputError):
        return str(error).partition("\n")[0]
    # TensorFlow turns an exception of a Python generator into text within its own.
    through_tf = re.search(rf"{InputError.__name__}: (.*)", str(error))
    if through_tf and type(error).__module__.startswith("tensorflow."):
        return through_tf[1]
    return None


def suggest(name: str, known: Sequence[str]) -> str:
    """Returns "; did you mean ...?" for the known names close to `name`, or "".

    Example:
      >>> suggest("train_step", ["TRAIN_STEPS", "MODEL_DIR"])
      '; did you mean TRAIN_STEPS?'
    """
    names = {known_name.lower(): known_name for known_name in known}
    close = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.6)
    return f"; did you mean {' or '.join(names[found] for found in close)}?" if close else ""
