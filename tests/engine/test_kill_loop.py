import pathlib
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_killed_runs_end_with_the_same_bits():
    script = pathlib.Path(__file__).with_name("kill_loop.py")
    command = [sys.executable, str(script), "--kills", "3"]
    shown = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
    assert shown.splitlines()[-1] == "3 kills, the same to the bit", shown
