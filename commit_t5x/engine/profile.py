"""A profile of chosen steps, for TensorBoard's profiler or Perfetto."""

import pathlib
from collections.abc import Sequence
from typing import Annotated, Any

import jax
from annotated_types import Len

from commit_t5x import ranges
from commit_t5x.errors import InputError

FOLDER = "profile"
Steps = Annotated[Sequence[ranges.Positive], Len(2, 2)]


class Profile:
    """Traces the steps from the first to the last of a pair into MODEL_DIR/profile.

    Args:
      model_dir: an existing folder.
      steps: (first, last), both traced; None for none.
      total_steps: of the run.

    Raises:
      InputError: they are out of order, or none of them is one of the run's.
    """

    def __init__(self, model_dir: pathlib.Path, steps: Steps | None, total_steps: int):
        self._folder = model_dir / FOLDER
        self._steps = steps
        if steps is not None and steps[0] > steps[1]:
            raise InputError(f"PROFILE_STEPS: {steps!r} ends before it begins; turn the two round")
        if steps is not None and steps[0] > total_steps:
            raise InputError(f"PROFILE_STEPS: {steps!r} begins after TRAIN_STEPS, {total_steps}")
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
