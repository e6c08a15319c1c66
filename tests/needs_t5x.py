"""T5X, and the match of both engines; what imports this is skipped where T5X isn't installed."""

import pathlib
import runpy
import types

import pytest

_PARITY = pathlib.Path(__file__).parents[1] / "benchmarks" / "t5x_parity.py"

train = pytest.importorskip(
    "t5x.train", reason="T5X isn't installed; docs/t5x.md tells how", exc_type=ImportError
)
parity = types.SimpleNamespace(**runpy.run_path(str(_PARITY)))
