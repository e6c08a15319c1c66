"""The house: imports flow one way, and modules stay small."""

import ast
import pathlib
import subprocess
import sys

import pytest

import commit_t5x
from commit_t5x import resources

PACKAGE = pathlib.Path(commit_t5x.__file__).parent
TASKS = resources.path("tasks")

# Each group may import from those before it and from itself.
GROUPS = [
    {"errors", "resources", "quiet", "stateless_random", "records", "qa_prompts"},
    {"pointer_jumping", "data_files", "hub", "mix_counts", "tpu_generations"},
    {"dictionaries.files"},  # word pairs, which the lexicon is made of
    {"evaluation.metrics"},  # pure functions, which the tasks score with
    {"lexicon", "suffixes", "word_alignment"},
    {"tokenizer_files"},
    {"sentencepiece_vocabulary", "hf_vocabulary"},
    {"segmenters", "templates", "sources", "data_sources", "vocabularies"},
    {"graph_mixer"},
    {"mixer", "mix_schedule"},
    {"preprocessors", "length_policy"},
    {"tasks", "samples"},
    {"feature_converters"},
    {
        "llama_config",
        "llama_presets",
        "config_files",
        "rotary",
        "layers",
        "causal_attention",
        "attention",
        "llama",
        "optim",
        "partitioning",
    },
    {"engine"},
    {"t5x_data"},
    {"t5x_adapter"},
    {"inspection", "planning"},
    {"conversion"},
    {"evaluation", "dictionaries"},
    {"train", "eval", "infer", "cli"},
]


def modules():
    for root, prefix in ((PACKAGE, ""), (TASKS, "tasks.")):
        for path in sorted(root.rglob("*.py")):
            name = prefix + ".".join(path.relative_to(root).with_suffix("").parts)
            yield name.removesuffix("__init__").rstrip("."), path


def rank(module):
    for place, group in enumerate(GROUPS):
        if any(module == name or module.startswith(f"{name}.") for name in group):
            return place
    raise AssertionError(f"{module} stands in no group: which room does it belong to?")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("commit_t5x"):
            base = node.module.removeprefix("commit_t5x").lstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}".lstrip(".")
                is_module = any(full == name for name, _ in MODULES)
                yield full if is_module else base


MODULES = [(name, path) for name, path in modules() if name]


@pytest.mark.parametrize("name, path", MODULES, ids=[name for name, _ in MODULES])
def test_imports_flow_one_way(name, path):
    # `python -m commit_t5x.train` goes through the command line, for its errors.
    for other in filter(None, imported(path)):
        assert rank(other) <= rank(name), f"{name} imports {other}"


@pytest.mark.parametrize("name, path", MODULES, ids=[name for name, _ in MODULES])
def test_modules_are_small(name, path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 350


def test_only_the_adapter_knows_t5x():
    for name, path in MODULES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {
            alias.name.split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {
            (node.module or "").split(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        }
        assert name == "t5x_adapter" or "t5x" not in names


def test_imports_leave_the_devices_alone():
    # A command chooses them (`plan` none but the CPU), and T5X finds those of other hosts first.
    names = [name for name, path in MODULES if path.parent != TASKS and name != "t5x_adapter"]
    imports = "\n".join(f"import commit_t5x.{name}" for name in names if "__main__" not in name)
    code = f"{imports}\nimport jax\njax.config.update('jax_num_cpu_devices', 2)\n"
    subprocess.run([sys.executable, "-c", code], check=True)
