"""Runs by gin files from Python, as the commands run them."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import gin

from commit_t5x import signatures
from commit_t5x.engine import gin_utils


def load(
    gin_files: Sequence[str], bindings: Mapping[str, Any], search_paths: Sequence[str] = ()
) -> None:
    """Loads gin files and bindings, whose values are Python's.

    Raises:
      InputError: see gin_utils.load.
    """
    signatures.check(load, locals())
    plain = {name: _plain(value) for name, value in bindings.items()}
    lines = [f"{name} = {value!r}" for name, value in plain.items()]
    gin_utils.load(gin_files, lines, search_paths)


def _plain(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def train(
    gin_files: Sequence[str],
    bindings: Mapping[str, Any] | None = None,
    *,
    search_paths: Sequence[str] = (),
) -> dict[str, dict[str, float]]:
    """Trains as `commit-t5x train` does, and resumes as it does.

    Args:
      gin_files: paths, each relative to a search path, the current folder or the project's own
        gin files; later ones override earlier ones.
      bindings: macro, or configurable.parameter -> its value, in Python.
      search_paths: folders searched for gin files first.

    Returns:
      The metrics that MODEL_DIR/metrics.jsonl holds last, by what they are of: "train", and each
      evaluation; see docs/training.md. They are `step`, losses in nats a loss-bearing token,
      accuracies between 0 and 1, and so on.

    Raises:
      InputError: bad gin files or bindings, data or weights.

    Example:
      >>> train(["quickstart.gin"], {"MODEL_DIR": "out", "TRAIN_STEPS": 20})["train"]["loss"]
      4.87
    """
    load(gin_files, bindings or {}, search_paths)
    gin_utils.call("commit_t5x.engine.train.train")
    from commit_t5x.engine import metrics  # here: the gin files have imported it, and TensorFlow

    return metrics.latest(gin.query_parameter("%MODEL_DIR"))
