"""Commands as processes: each on its share of the cores, all of them ended where this one is."""

import contextlib
import os
import queue
import subprocess
from collections.abc import Callable, Sequence


class Processes:
    """Runs up to `jobs` commands at a time.

    Side by side, each has cores of its own (on Linux, where there are enough): two that share all
    of them wait for each other's threads, and take longer than one after the other.
    """

    def __init__(self, jobs: int):
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._shares: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
        for first in range(jobs):
            self._shares.put(cores[first::jobs] if 1 < jobs <= len(cores) else [])
        self._running: set[subprocess.Popen] = set()
        self._stopped = False

    def run(self, command: Sequence[str], take: Callable[[str], None]) -> int:
        """Runs a command, hands over each line that it prints, and returns its exit status."""
        cores = self._shares.get()
        with subprocess.Popen(
            command,
            start_new_session=True,  # Ctrl-C is for us, who let a training save before it ends
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            self._running.add(process)
            if cores:
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    os.sched_setaffinity(process.pid, cores)
            if self._stopped:
                process.terminate()
            try:
                for line in process.stdout:
                    take(line)
                return process.wait()
            finally:
                process.terminate()  # one that has ended doesn't mind
                for line in process.stdout:  # a training tells that it saves
                    take(line)
                self._running.discard(process)
                self._shares.put(cores)

    def stop(self) -> None:
        """Lets the commands that run, in other threads, end by themselves."""
        self._stopped = True
        for process in [*self._running]:
            process.terminate()
