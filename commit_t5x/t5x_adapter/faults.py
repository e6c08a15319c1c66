"""One line and exit code 2 for what is wrong with a run of T5X's binaries, as in the native engine.

Python calls `report` for what nothing caught, once this module is imported, as
gin/engines/t5x/model.gin does before anything else.
"""

import pathlib
import re
import sys
import types
from collections.abc import Sequence

import gin
from absl import flags

from commit_t5x import errors, out_of_memory
from commit_t5x.engine import gin_errors, gin_files

_INSTEAD = sys.excepthook


def report(kind: type[BaseException], error: BaseException, trace: types.TracebackType) -> None:
    """Ends the process with one line where the input is wrong; a bug keeps its traceback."""
    message = explain(error)
    if message is None:
        _INSTEAD(kind, error, trace)
        return
    print(f"commit-t5x: error: {message}", file=sys.stderr)
    raise SystemExit(2)


def explain(error: BaseException) -> str | None:
    """Returns what to say of an error, None of a bug's."""
    if not gin.config_is_locked() and not isinstance(error, errors.InputError):
        error = _of_parsing(error)
    command = pathlib.Path(sys.argv[0]).stem
    return errors.message(error) or out_of_memory.message(error, command)


def _of_parsing(error: BaseException) -> BaseException:
    """Returns gin's error as one that says where it arose: gin parses all flags as one text."""
    try:
        gin_files.read(flag("gin_file"))
        for text in flag("gin_bindings"):
            binding = re.sub(" *= *", "=", text, count=1)  # T5X writes spaces around it
            with gin_errors.located(f"--gin.{binding}", binding):
                gin.parse_config(binding)
        with gin_errors.located("--gin_file"):
            raise error
    except Exception as found:
        return found


def flag(name: str) -> Sequence[str]:
    """Returns the values of one of T5X's flags."""
    return (flags.FLAGS[name].value if name in flags.FLAGS else ()) or ()


sys.excepthook = report
