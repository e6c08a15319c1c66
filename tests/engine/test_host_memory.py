import platform
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from commit_t5x.engine import host_memory

# Prints the page faults of a thread that takes and frees the same 100 MB for the second time.
_SCRIPT = """
import resource, threading
import numpy as np
from commit_t5x.engine import host_memory
if {keep}:
    host_memory.keep_freed()

def use():
    np.empty(100_000_000, np.uint8)[:] = 1

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it sets glibc alone")
def test_freed_memory_is_used_again():
    def faults(keep):
        command = [sys.executable, "-c", _SCRIPT.format(keep=keep)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert faults(keep=True) < 100
    # Without it they show: as many as the system's pages, which may be large ones.
    assert faults(keep=False) >= 40


def test_waits_for_a_program_on_cpus():
    product = jax.jit(lambda x: x @ x @ x)
    matrix = jnp.ones((1500, 1500))
    product(matrix).block_until_ready()
    begun = product(matrix)
    assert not begun.is_ready()
    host_memory.wait_on_cpu(begun)
    assert begun.is_ready()
