"""A wheel carries all that commands need, and any extra resolves to versions that fit together."""

import importlib.metadata
import os
import pathlib
import shutil
import subprocess
import sys

import packaging.requirements
import packaging.version
import pytest

import commit_t5x

ROOT = pathlib.Path(__file__).parent.parent
UV = shutil.which("uv")
METADATA = importlib.metadata.metadata("commit-t5x")

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
print("found")
"""


needs_uv = pytest.mark.skipif(UV is None, reason="uv isn't installed")


def _pins(text):
    """Returns {name: version} of the lines "name==version"."""
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    pins = [line.lower().replace("_", "-").split("==") for line in lines if "==" in line]
    return {name: packaging.version.Version(version) for name, version in pins}


PINS = _pins((ROOT / "constraints.txt").read_text())
PYTHONS = [
    classifier.rpartition(" ")[2]
    for classifier in METADATA.get_all("Classifier")
    if classifier.startswith("Programming Language :: Python :: 3.")
]


def test_metadata_of_an_index_page():
    assert METADATA["Version"] == commit_t5x.__version__
    assert METADATA["License-Expression"] == "Apache-2.0"
    assert METADATA["Requires-Python"] == "<3.14,>=3.11"
    assert PYTHONS == ["3.11", "3.12", "3.13"]
    assert METADATA.get_all("Project-URL")


def test_each_dependency_has_a_pin_within_its_bounds():
    for line in METADATA.get_all("Requires-Dist"):
        requirement = packaging.requirements.Requirement(line)
        name = requirement.name.lower().replace("_", "-")
        if name != "commit-t5x":  # the extra `test` names other extras
            assert requirement.specifier.contains(PINS[name]), line


@needs_uv
@pytest.mark.slow  # asks the index
@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("extra", METADATA.get_all("Provides-Extra"))
def test_an_unpinned_extra_resolves_to_versions_that_fit(extra, python):
    command = [UV, "pip", "compile", "--quiet", "--extra", extra, "--python-version", python]
    result = subprocess.run(
        [*command, ROOT / "pyproject.toml"], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    found = _pins(result.stdout)
    older = {name: str(found[name]) for name in found.keys() & PINS if found[name] < PINS[name]}
    assert not older  # no bound drives another package back to what nobody runs
    # Python code that protobuf 7 generated doesn't load in protobuf 6.
    if found["protobuf"].major < 7:
        assert found["sentencepiece"] < packaging.version.Version("0.2.3")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    if UV:
        command = [UV, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT]
    else:
        command = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "-w", folder, ROOT]
    subprocess.run(command, check=True, timeout=300)
    [path] = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_wheel_installed_elsewhere_finds_its_files(wheel, tmp_path):
    target = tmp_path / "site"
    shutil.unpack_archive(wheel, target, "zip")
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


@needs_uv
@pytest.mark.slow
def test_wheel_as_a_tool(wheel, tmp_path):
    folders = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}

    def run(*command):
        environment = {**os.environ, **folders}
        result = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    constraints = ["--constraints", ROOT / "constraints.txt"]
    run(UV, "tool", "install", "--quiet", "--python", sys.executable, *constraints, wheel)
    tool = tmp_path / "bin/commit-t5x"
    assert "usage: commit-t5x" in run(tool, "--help")
    dictionary = tmp_path / "en-hi.txt"
    dictionary.write_text("water\tपानी\n", encoding="utf-8")
    run(tool, "dicts", "check", dictionary)
    macros = {"MODEL_DIR": "'out'", "TRAIN_STEPS": 2, "WARMUP_STEPS": 1, "SEQUENCE_LENGTH": 64}
    flags = [f"--gin.{name}={value}" for name, value in macros.items()]
    run(tool, "train", "--gin_file=quickstart.gin", *flags)
    assert (tmp_path / "out/checkpoint_2").is_dir()
