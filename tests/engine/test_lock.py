import signal
import subprocess
import sys

import pytest

from commit_t5x.engine import lock
from commit_t5x.errors import InputError

_HOLD = (
    "import pathlib, sys, time\n"
    "from commit_t5x.engine import lock\n"
    "with lock.held(pathlib.Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(600)\n"
)


def test_lock_lasts_as_long_as_the_process_that_holds_it(tmp_path):
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match=f"process {other.pid} on .* trains here"):
            with lock.held(tmp_path):
                pass
        other.send_signal(signal.SIGKILL)
    with lock.held(tmp_path):
        pass


@pytest.mark.parametrize("there", [True, False])
def test_what_fails_at_once_leaves_nothing(tmp_path, there):
    folder = tmp_path / "run"
    if there:
        folder.mkdir()
        (folder / "notes").write_text("kept")
    for wanted in (False, True):
        with pytest.raises(ZeroDivisionError):
            with lock.held(folder) as keep:
                (folder / "train").mkdir()
                (folder / "train" / "events").write_text("")
                if wanted:
                    keep()
                1 / 0  # noqa: B018
        assert folder.exists() == (there or wanted)
        left = {path.name for path in folder.iterdir()} if folder.exists() else set()
        assert left == {*["notes"] * there, *[".lock", "train"] * wanted}
