"""The Python face: cheap to import, and each name is what its module defines."""

import json
import subprocess
import sys

import pytest

import commit_t5x

CODE = """
import json, sys
import commit_t5x
heavy = {"jax", "tensorflow", "keras", "torch", "sklearn", "pandas", "matplotlib"}
first = sorted((heavy | {"numpy", "gin"}) & set(sys.modules))
from commit_t5x import CodeMixer, Lexicon, LlamaConfig, Template
mixer = CodeMixer(Lexicon.from_pairs([("tea", "chai")]), ratio=1.0)
assert mixer.mix("hot tea", (0, 0)) == "hot chai"
print(json.dumps([first, sorted(heavy & set(sys.modules))]))
"""


def test_importing_costs_nothing_and_mixing_little():
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == [[], []]


@pytest.mark.parametrize("name", commit_t5x.__all__)
def test_each_name_is_there_and_documented(name):
    assert name in dir(commit_t5x)
    found = getattr(commit_t5x, name)
    assert found.__name__ == name
    assert "Example" in found.__doc__


def test_no_other_name_is():
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        commit_t5x.lode  # noqa: B018
