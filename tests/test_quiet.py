import subprocess
import sys

SCRIPT = """
from commit_t5x import quiet

quiet.silence_libraries()
from absl import logging

LOG = "try: 1 / 0\\nexcept ZeroDivisionError: logging.exception('failed')"
exec(compile(LOG, "/site-packages/orbax/checkpoint/future.py", "exec"))
logging.warning("a warning")
logging.error("an error")

class Callback:
    def __init__(self, message):
        self.message = message
    def __del__(self):  # where nothing can catch what is raised
        raise RuntimeError(self.message)

for message in ("Event loop is closed", "lost"):
    Callback(message)
"""


def test_errors_are_shown_but_for_those_that_come_again():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    shown = run.stderr.splitlines()
    assert (shown[0], shown[-1]) == ("ERROR:absl:an error", "RuntimeError: lost")
    assert run.stderr.count("Error: ") == 1
