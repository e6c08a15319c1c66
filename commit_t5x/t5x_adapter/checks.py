"""The checks of `engine.gin_check` in T5X's binaries, which read the gin files by themselves.

gin calls them when it has read all files and flags, once this module is imported, as
gin/engines/t5x/model.gin does.
"""

import sys
from collections.abc import Callable, Mapping

import gin
from absl import flags

from commit_t5x.engine import eval, gin_check, gin_files, infer, partitioning, train, utils
from commit_t5x.errors import InputError

# T5X's functions and classes that take what the native engine's of the same names take.
_COUNTERPARTS: Mapping[str, Callable] = {
    "train": train.train,
    "evaluate": eval.evaluate,
    "infer": infer.infer,
    "DatasetConfig": utils.DatasetConfig,
    "SaveCheckpointConfig": utils.SaveCheckpointConfig,
    "PjitPartitioner": partitioning.PjitPartitioner,
    "Evaluator": eval.InferenceEvaluator,
}


def check(config: gin_check.Config) -> None:
    """Ends the process with one line and exit code 2 where a T5X run's configuration is wrong."""
    if not any(selector.startswith(__package__) for _, selector in config):
        return  # a native run's
    names = flags.FLAGS["gin_file"].value if "gin_file" in flags.FLAGS else ()
    try:
        gin_check.check(config, gin_files.read(names or ()), _COUNTERPARTS)
    except InputError as error:
        print(f"commit-t5x: error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


# Before gin's own hooks, which end with a traceback.
gin.config._FINALIZE_HOOKS.insert(0, check)
