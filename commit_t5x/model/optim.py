"""The paper's optimizer and learning-rate schedule, and a smaller optimizer, in optax."""

from collections.abc import Callable
from typing import NamedTuple

import optax

from commit_t5x import ranges
from commit_t5x.errors import InputError


class Optimizer(NamedTuple):
    """An optax gradient transformation that also tells its learning rate, for the metrics.

    It stands wherever optax takes a `GradientTransformation`.

    Attributes:
      init: params -> optimizer state.
      update: (gradients, state, params) -> (updates, state).
      learning_rate: number of finished steps -> learning rate of the next one.
    """

    init: Callable
    update: Callable
    learning_rate: optax.Schedule


def warmup_cosine(
    peak: ranges.NotNegative = 2e-5,
    end: ranges.NotNegative = 1e-7,
    warmup_steps: ranges.Count = 36,
    total_steps: ranges.Positive = 1210,
) -> optax.Schedule:
    """Linear warm-up from 0 to `peak`, then a cosine to `end`, where it stays.

    Args:
      peak: learning rate at step `warmup_steps`.
      end: learning rate from step `total_steps` on.
      warmup_steps: steps of the warm-up; 0 starts at the peak.
      total_steps: steps of warm-up and decay together.

    Raises:
      InputError: the warm-up leaves no step to decay in.

    Example:
      >>> schedule = warmup_cosine(peak=1.0, end=0.0, warmup_steps=10, total_steps=30)
      >>> [round(float(schedule(step)), 6) for step in (0, 5, 10, 20, 30, 99)]
      [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """
    if warmup_steps >= total_steps:
        raise InputError(
            f"WARMUP_STEPS: {warmup_steps} is not below TRAIN_STEPS, {total_steps}; set "
            f"--gin.WARMUP_STEPS, e.g. to {total_steps * 3 // 100}"
        )
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0 if warmup_steps else peak,
        peak_value=peak,
        warmup_steps=warmup_steps,
        decay_steps=total_steps,
        end_value=end,
    )


def adamw(
    learning_rate: ranges.NotNegative | optax.Schedule,
    b1: ranges.ShareBelowOne = 0.9,
    b2: ranges.ShareBelowOne = 0.999,
    eps: ranges.NotNegative = 1e-8,
    weight_decay: ranges.NotNegative = 0.0,
    clip_norm: ranges.PositiveNumber | None = 1.0,
    mu_dtype: ranges.Dtype | None = "bfloat16",
) -> Optimizer:
    """AdamW (Loshchilov and Hutter 2019, algorithm 2) after clipping by the global norm.

    Args:
      learning_rate: a number, or a schedule such as `warmup_cosine`.
      b1, b2: decay of the first and second moment.
      eps: added to the root of the second moment.
      weight_decay: decoupled, multiplied by the learning rate.
      clip_norm: gradients of a larger global norm are scaled down to it; None for no clipping.
      mu_dtype: type in which the first moment is kept; None for the parameters' type. The second
        moment keeps the parameters' type.
    """
    adam = optax.adamw(
        learning_rate, b1=b1, b2=b2, eps=eps, weight_decay=weight_decay, mu_dtype=mu_dtype
    )
    return _clipped(adam, learning_rate, clip_norm)


def adafactor(
    learning_rate: ranges.NotNegative | optax.Schedule,
    decay_rate: ranges.PositiveShare = 0.8,
    clip_norm: ranges.PositiveNumber | None = 1.0,
) -> Optimizer:
    """Adafactor (Shazeer and Stern 2018) after clipping by the global norm.

    Its state is next to nothing: of the second moment of a matrix it keeps the means of rows and of
    columns, and no first moment. AdamW's has 6 bytes a parameter. The learning rate means what it
    means for AdamW: steps aren't scaled by the size of the parameters.

    Args:
      learning_rate: a number, or a schedule such as `warmup_cosine`.
      decay_rate: the second moment's decay is 1 - step^-decay_rate.
      clip_norm: gradients of a larger global norm are scaled down to it; None for no clipping.
    """
    factored = optax.adafactor(
        learning_rate, decay_rate=decay_rate, multiply_by_parameter_scale=False
    )
    return _clipped(factored, learning_rate, clip_norm)


def _clipped(
    optimizer: optax.GradientTransformation,
    learning_rate: float | optax.Schedule,
    clip_norm: float | None,
) -> Optimizer:
    clip = optax.identity() if clip_norm is None else optax.clip_by_global_norm(clip_norm)
    transformation = optax.chain(clip, optimizer)
    constant = not callable(learning_rate)
    schedule = optax.constant_schedule(learning_rate) if constant else learning_rate
    return Optimizer(transformation.init, transformation.update, schedule)
