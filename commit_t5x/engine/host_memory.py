"""What keeps the host's memory small and in use, where steps and conversions run on its CPUs."""

import ctypes
import platform
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # keep_freed comes before JAX
    import jax

# malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_M_ARENA_MAX = -8


def keep_freed() -> None:
    """Makes this process keep up to 2 GiB of what it frees, where the C library is glibc.

    XLA takes and frees a CPU step's temporaries in each step. By default glibc gives blocks that
    large back to the system, which hands out the same pages anew, zeroed, one fault each: 30 %
    of the CPU time of a small network's step, a sixth of a prompt's, and half of an export's. One
    arena, since those of threads hold no such blocks; call it before there are threads with arenas
    of their own. Results stay as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)  # an int: no more can be said
        libc.mallopt(_M_ARENA_MAX, 1)


def wait_on_cpu(result: "jax.Array") -> None:
    """Waits for a program that was begun, if it runs on CPUs; call it before the next is begun.

    XLA gives temporaries to a program when it is begun. On CPUs nothing is gained by programs that
    wait in a row: SmolLM2-135M's training steps take 1.3 GB each, and a fifth more time.

    Args:
      result: of the program.
    """
    if next(iter(result.devices())).platform == "cpu":
        begin = time.perf_counter()
        result.block_until_ready()
        # The thread that computed it frees the temporaries only now.
        time.sleep(min((time.perf_counter() - begin) / 100, 0.01))
