"""How the C library deals with memory that is freed."""

import ctypes
import functools
import sys

_MIB = 2**20

# mallopt's settings by glibc's numbers, in bytes.
_SETTINGS = {
    -3: 32 * _MIB,  # M_MMAP_THRESHOLD: what is larger is mapped on its own
    -2: 64 * _MIB,  # M_TOP_PAD: what a heap keeps beyond what is in use
    -1: 256 * _MIB,  # M_TRIM_THRESHOLD: what may lie free before any is handed back
}


@functools.cache
def keep() -> bool:
    """Has memory that is freed kept for what comes next, rather than handed back to the system.

    With each batch, tensors of a few MiB come and go on tf.data's threads. As it stands, glibc
    hands their pages back and asks for new ones each time, which took up to a fifth of the data
    path's processor time. The setting is the whole process's; peak memory hardly changes.

    Returns:
      Whether the C library has these settings (glibc); with another, nothing is done.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all([mallopt(*setting) for setting in _SETTINGS.items()])
