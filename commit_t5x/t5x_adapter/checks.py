"""The checks of `engine.gin_check` in T5X's binaries, which read the gin files by themselves.

gin calls them when it has read all files and flags, once this module is imported, as
gin/engines/t5x/model.gin does.
"""

from collections.abc import Callable, Mapping

import gin

from commit_t5x.engine import eval, gin_check, gin_files, infer, partitioning, train, utils
from commit_t5x.t5x_adapter import faults

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
    """Raises InputError where the configuration of a T5X run is wrong."""
    if not any(selector.startswith(__package__) for _, selector in config):
        return  # a native run's
    files = faults.flag("gin_file")
    gin_files.check_order(files)
    texts = gin_files.read(files)
    gin_check.check(config, texts, _COUNTERPARTS, flags=faults.flag("gin_bindings"))


# Before gin's own hooks, which say less.
gin.config._FINALIZE_HOOKS.insert(0, check)
