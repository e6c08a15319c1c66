import subprocess
import sys

import pytest

from commit_t5x import freed_memory

ROUNDS = """
import resource, threading
import numpy as np
from commit_t5x import freed_memory

assert freed_memory.keep()

def work():
    for _ in range(10):
        tensors = [np.ones(2**18) for _ in range(50)]  # 2 MiB each
        del tensors

before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
thread = threading.Thread(target=work)
thread.start()
thread.join()
new_pages = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(new_pages * resource.getpagesize() / 2**20)
"""


@pytest.mark.skipif(not freed_memory.keep(), reason="the C library isn't glibc")
def test_what_a_thread_frees_serves_it_again():
    run = subprocess.run(
        [sys.executable, "-c", ROUNDS], check=True, stdout=subprocess.PIPE, text=True, timeout=60
    )
    assert float(run.stdout) < 1.5 * 100  # MiB; all rounds together take 1,000
