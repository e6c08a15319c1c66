import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from commit_t5x.tables.processes import Processes


def test_exit_status_and_lines():
    said = []
    code = "import sys; print('a'); print('b', file=sys.stderr); raise SystemExit(3)"
    assert Processes(1).run([sys.executable, "-c", code], said.append) == 3
    assert sorted(said) == ["a\n", "b\n"]


def test_a_process_is_given_time_to_end_where_this_one_stops(tmp_path, saving):
    said = []

    def stop(line):
        said.append(line)
        if line == "ready\n":
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Processes(1).run([sys.executable, "-c", saving], stop)
    assert (tmp_path / "saved").exists() and said[-1] == "saved\n"
    assert time.monotonic() - started < 30


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are shared out on Linux")
@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_those_side_by_side_have_cores_of_their_own(jobs):
    processes = Processes(jobs)
    # It waits for its neighbour, and then says where it may run.
    code = "import os, time; time.sleep(0.5); print(sorted(os.sched_getaffinity(0)))"
    said = []
    with ThreadPoolExecutor(jobs) as pool:
        for _ in range(jobs):
            pool.submit(processes.run, [sys.executable, "-c", code], said.append)
    cores = sorted(os.sched_getaffinity(0))
    shares = [cores[first::jobs] if jobs <= len(cores) else cores for first in range(jobs)]
    assert sorted(said) == sorted(f"{share}\n" for share in shares)
