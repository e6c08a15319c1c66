"""The work of a training step, as a share of what the devices could do in its time."""

import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from commit_t5x.engine import models
from commit_t5x.engine.tpu_generations import GENERATIONS

_PEAKS = {name: kind.device_flops for kind in GENERATIONS.values() for name in kind.names}


def peak(devices: Sequence[jax.Device], dtype: str) -> float:
    """Returns the FLOP/s of all devices together.

    For TPUs it is what their maker states for bfloat16, for others the speed of a large product of
    matrices.

    Args:
      devices: all of one kind.
      dtype: that the network computes in; for TPUs it doesn't matter.
    """
    device = devices[0]
    if device.device_kind in _PEAKS:
        return _PEAKS[device.device_kind] * len(devices)
    # JAX's several CPU devices share the one processor.
    return _measure(device, dtype) * (1 if device.platform == "cpu" else len(devices))


def _measure(device: jax.Device, dtype: str, repeats: int = 5) -> float:
    size = 1024 if device.platform == "cpu" else 8192
    matrix = jax.device_put(jnp.ones((size, size), dtype), device)
    product = jax.jit(jnp.dot)
    product(matrix, matrix).block_until_ready()  # compiles
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        product(matrix, matrix).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def ideal_seconds(
    model: models.DecoderOnlyModel, devices: Sequence[jax.Device], shape: tuple[int, int]
) -> float | None:
    """Returns how long a step's model FLOPs take at the peak; None if the config can't tell them.

    Divided by the time that a step takes, it is the model-FLOPs utilisation (PaLM, appendix B).

    Args:
      model: its configuration counts the FLOPs; see `LlamaConfig.training_flops_per_token`.
      devices: that share the batch.
      shape: of the batch, [rows, length]; padding counts, as the devices compute it, too.
    """
    count = getattr(model.config, "training_flops_per_token", None)
    if count is None:
        return None
    rows, length = shape
    of_token = count(length, model.lora.rank is not None)
    return rows * length * of_token / peak(devices, model.module.dtype)
