"""A profile of chosen steps, for TensorBoard's profiler or Perfetto."""

import pathlib
from collections.abc import Sequence
from typing import Any

import jax

from commit_t5x.errors import InputError

FOLDER = "profile"


class Profile:
    """Traces the steps from the first to the last of a pair into MODEL_DIR/profile.

    Args:
      model_dir: an existing folder.
      steps: (first, last), both traced; None for none.

    Raises:
      InputError: not a pair of steps in order.
    """

    def __init__(self, model_dir: pathlib.Path, steps: Sequence[int] | None):
        self._folder = model_dir / FOLDER
        self._steps = check(steps)
        self._running = False

    def before(self, step: int) -> None:
        """Starts the trace, if it begins with the step that is about to start."""
        if self._steps and step == self._steps[0]:
            jax.profiler.start_trace(str(self._folder))
            self._running = True

    def after(self, step: int, state: Any) -> None:
        """Ends the trace, if it ends with the step that was started, when its `state` is there."""
        if self._running and step == self._steps[1]:
            jax.block_until_ready(state)
            self.close()

    def close(self) -> None:
        """Writes a trace that is still running."""
        if self._running:
            jax.profiler.stop_trace()
            self._running = False


def check(steps: Sequence[int] | None) -> Sequence[int] | None:
    """Returns `steps`; raises InputError if it is neither None nor a pair of steps in order."""
    if steps is None:
        return None
    whole = isinstance(steps, tuple | list) and all(isinstance(step, int) for step in steps)
    if not (whole and len(steps) == 2 and 1 <= steps[0] <= steps[1]):
        raise InputError(f"PROFILE_STEPS: {steps!r} isn't a pair of steps such as (10, 12)")
    return steps
