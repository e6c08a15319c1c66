"""What the operating system refuses a run that writes, in one line."""

import contextlib
import errno
import pathlib
import re
from collections.abc import Iterator

from commit_t5x.errors import InputError


@contextlib.contextmanager
def writing(model_dir: pathlib.Path, name: str = "") -> Iterator[None]:
    """Raises a full disk, missing permissions and the like inside as an InputError.

    Args:
      model_dir: that is written to.
      name: of what is written in it.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        reason = _refusal(error)
        if reason is None:
            raise
        raise InputError(
            f"{model_dir / name}: can't be written ({reason}); finished checkpoints are kept. Mend "
            "that, and run the same command again"
        ) from error


def _refusal(error: OSError | ValueError) -> str | None:
    if isinstance(error, OSError):
        # Libraries derive errors of their own from it, which have no number.
        return None if error.errno in (None, errno.EPIPE) else error.strerror
    # Tensorstore's are ValueErrors: "...: No space left on device [os_error_code='28']"
    match = re.search(r"([^:]+) \[os_error_code", str(error))
    return match and match[1].strip()
