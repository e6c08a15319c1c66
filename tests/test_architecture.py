"""The house: imports go down the floors, and modules stay small."""

import ast
import pathlib
import subprocess
import sys

import pytest

import commit_t5x
from commit_t5x import resources

PACKAGE = pathlib.Path(commit_t5x.__file__).parent
TASKS = resources.path("tasks")

# From the ground up. A package imports from itself and from floors below its own.
FLOORS = [
    {"collector", "compilation_cache", "errors", "out_of_memory", "quiet", "ranges", "resources"}
    | {"sigterm"},
    {"bar_plot", "disk", "fingerprints", "signatures"},
    {"arguments"},
    {"mixing", "vocabularies"},
    {"data", "model"},
    {"samples", "tasks"},
    {"engine"},
    {"conversion", "dictionaries", "inspection", "planning", "t5x_adapter"},
    {"extension", "language_model"},  # of any format that conversion reads
    {"evaluation"},
    {"tables"},  # trains and scores by the other commands
    {"cli"},
    {"train", "eval", "infer"},  # python -m commit_t5x.train goes through the command line
]


def modules():
    for root, prefix in ((PACKAGE, ""), (TASKS, "tasks.")):
        for path in sorted(root.rglob("*.py")):
            name = prefix + ".".join(path.relative_to(root).with_suffix("").parts)
            yield name.removesuffix("__init__").rstrip("."), path


MODULES = [(name, path) for name, path in modules() if name]
NAMES = {name for name, _ in MODULES}


def package(module):
    return module.split(".")[0]


def floor(module):
    [place] = [n for n, packages in enumerate(FLOORS) if package(module) in packages]
    return place


def imported(path):
    """Yields the modules of ours that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("commit_t5x"):
            base = node.module.removeprefix("commit_t5x").lstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                yield full if full in NAMES else base


def imported_packages(path):
    """Yields the top-level packages that a module imports, ours and others'."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield package(node.module or "")
        elif isinstance(node, ast.Import):
            yield from (package(alias.name) for alias in node.names)


def test_every_package_has_a_floor():
    assert {package(name) for name, _ in MODULES} == set().union(*FLOORS)


@pytest.mark.parametrize("name, path", MODULES, ids=[name for name, _ in MODULES])
def test_imports_go_down(name, path):
    for other in filter(None, imported(path)):
        below = floor(other) < floor(name)
        assert below or package(other) == package(name), f"{name} imports {other}"


@pytest.mark.parametrize("name, path", MODULES, ids=[name for name, _ in MODULES])
def test_modules_are_small(name, path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


def test_only_the_adapter_knows_t5x():
    knowing = {package(name) for name, path in MODULES if "t5x" in imported_packages(path)}
    assert knowing == {"t5x_adapter"}


@pytest.mark.slow  # a process that loads every module
def test_imports_leave_the_devices_alone():
    # A command chooses them (`plan` none but the CPU), and T5X finds those of other hosts first.
    names = [name for name in NAMES if package(name) != "t5x_adapter"]
    imports = "\n".join(f"import commit_t5x.{name}" for name in names if "__main__" not in name)
    code = f"{imports}\nimport jax\njax.config.update('jax_num_cpu_devices', 2)\n"
    subprocess.run([sys.executable, "-c", code], check=True)
