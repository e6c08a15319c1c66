"""A wheel carries everything that commands need, wherever it is installed."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent

_LOOK = """
import pathlib, seqio
from commit_t5x import resources, tasks
from commit_t5x.engine import gin_utils
here = pathlib.Path(resources.__file__).parent
assert str(here).startswith({target!r}), here
for name in ("gin/quickstart.gin", "gin/engines/native/runs/finetune.gin", "dicts/en-hi.txt",
             "tasks/lm_eval/ogx_xquad_hi.yaml", "samples/tokenizer.model", "samples/alpaca.jsonl",
             "data/prompts/hi.toml"):
    folder, _, rest = name.partition("/")
    assert resources.path(folder).joinpath(rest).is_file(), name
    assert here in resources.path(folder).parents
gin_utils.load(["quickstart.gin"], ["MODEL_DIR = 'out'"])
assert len(list(seqio.get_mixture_or_task("alpaca_codemix_hi").get_dataset(
    None, split="validation").take(2))) == 2
from commit_t5x.evaluation import harness
from commit_t5x.inspection import page
assert here.joinpath("inspection/page.html").is_file()
print("found")
"""


@pytest.mark.slow
def test_wheel_installed_elsewhere_finds_its_files(tmp_path):
    wheels, target = tmp_path / "wheels", tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", wheels, ROOT], check=True, timeout=300)
    [wheel] = wheels.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", target, wheel], check=True)
    look = _LOOK.format(target=str(target))
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(target)!r})\n{look}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("found\n")
