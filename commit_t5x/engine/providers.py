"""SeqIO's tasks and mixtures by name, as far as the engine asks for them."""

import importlib
import json
from typing import Any

import gin
import seqio
import tensorflow as tf

from commit_t5x import errors
from commit_t5x.engine import gin_check
from commit_t5x.tasks import names as task_names


def get_mixture_or_task(cfg: Any) -> seqio.Task | seqio.Mixture:
    """Returns the SeqIO task or mixture that a DatasetConfig, ours or T5X's, names.

    Raises:
      InputError: there is none of that name, and similar names are suggested; or no such module.
    """
    # Only JAX computes on accelerators; TensorFlow would take their memory.
    tf.config.set_visible_devices([], "GPU")
    if cfg.module:
        _import(cfg.module)
    name = cfg.mixture_or_task_name
    if isinstance(name, seqio.Task | seqio.Mixture):
        return name
    task_names.register_named(name)
    names = [*seqio.TaskRegistry.names(), *seqio.MixtureRegistry.names()]
    if name not in names:
        place = _macro("mixture_or_task_name", name) or "MIXTURE_OR_TASK_NAME"
        raise errors.InputError(
            f"{place}: no task or mixture '{name}'{errors.suggest(name, names)}"
        )
    return seqio.get_mixture_or_task(name)


def _import(module: str) -> None:
    """Imports a module of the user's, whose own errors come through."""
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise
        raise errors.InputError(
            f"MIXTURE_OR_TASK_MODULE: no module '{error.name}'; install it, or put its folder on "
            "PYTHONPATH"
        ) from error
    except RuntimeError as error:
        if "after the config was locked" not in str(error):
            raise
        raise errors.InputError(
            f"MIXTURE_OR_TASK_MODULE: '{module}' has gin configurables, which must be there before "
            f"gin files are read; write 'import {module}' in a gin file instead"
        ) from error


def tasks_with_split(provider: seqio.Task | seqio.Mixture, split: str) -> list[seqio.Task]:
    """Returns the task, or those of the mixture's tasks that have a split, such as train[:100]."""
    name = split.partition("[")[0]
    return [task for task in seqio.get_subtasks(provider) if name in task.splits]


def check_split(provider: seqio.Task | seqio.Mixture, split: str) -> None:
    """Raises InputError if the task or mixture has no such split."""
    # Slices such as "train[:100]" are for the data source to understand.
    if split.partition("[")[0] not in provider.splits:
        held_out = "validation" in split
        hint = ", or hold some examples out by VALIDATION_EXAMPLES" if held_out else ""
        place = _macro("split", split) or "DatasetConfig.split"
        raise errors.InputError(
            f"{place}: '{provider.name}' has no split '{split}'; "
            f"choose from {', '.join(sorted(provider.splits))}{hint}"
        )


def shards(cfg: Any) -> list[str]:
    """Returns what a DatasetConfig's split is read from: files, or names on the hub."""
    tasks = tasks_with_split(get_mixture_or_task(cfg), cfg.split)
    return [shard for task in tasks for shard in shards_of(task, cfg)]


def shards_of(task: seqio.Task, cfg: Any) -> list[str]:
    """Returns the same of one task: its cache's files, where that is what is read.

    Raises:
      InputError: files of the cache are gone, which SeqIO would not notice.
    """
    if not (cfg.use_cached and task.cache_dir):
        return task.source.list_shards(cfg.split)
    info = seqio.utils.get_cached_info_path(task.cache_dir, cfg.split)
    if not tf.io.gfile.exists(info):
        return []
    with tf.io.gfile.GFile(info) as file:
        number = json.load(file)["num_shards"]
    prefix = seqio.utils.get_cached_tfrecord_prefix(task.cache_dir, cfg.split)
    found = sorted(tf.io.gfile.glob(f"{prefix}-*"))
    if len(found) != number:
        raise errors.InputError(
            f"{task.name}: {task.cache_dir} holds {len(found)} of the {number} files of split "
            f"'{cfg.split}'; copy all of it, or cache the task again with --overwrite"
        )
    return found


def no_examples(cfg: Any) -> errors.InputError:
    """Returns the error for a DatasetConfig whose split holds no example."""
    name, found = get_mixture_or_task(cfg).name, shards(cfg)
    places = ", ".join(found[:2]) + f" and {len(found) - 2:,} more" * (len(found) > 2)
    return errors.InputError(
        f"{name}: no examples of split '{cfg.split}' in {places or 'its data'}; "
        "fill the file, or choose another split or row length"
    )


def _macro(parameter: str, value: Any) -> str | None:
    """Returns the macro by which the gin files give a DatasetConfig this value; None without."""
    config = gin.config._CONFIG
    for (_, selector), bindings in config.items():
        name = gin_check.macro_name(bindings.get(parameter))
        if name is not None and selector.endswith(".DatasetConfig"):
            if gin_check.macro_value(config, name) == value:
                return name
    return None
