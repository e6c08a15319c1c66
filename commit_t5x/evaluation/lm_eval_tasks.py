"""Tasks of lm-eval by name: ours, in any language, and its own."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.tasks import manager as task_manager

from commit_t5x import errors, resources
from commit_t5x.evaluation import qa_tasks


def load(names: Sequence[str], include_path: str | None, **places: str | None) -> dict[str, Any]:
    """Loads the tasks; lm-eval's own, slow to index, are looked at only where ours don't do.

    Args:
      names: of tasks, or patterns.
      include_path: a folder with more YAML tasks.
      **places: data_dir and labels, as `harness.run`'s.

    Raises:
      InputError: an unknown task; missing or malformed data.
    """
    folders = [resources.path("tasks") / "lm_eval"]
    if include_path is not None:
        if not os.path.isdir(include_path):
            raise errors.InputError(f"{include_path}: no such folder; --include_path takes one")
        folders.append(include_path)
    if not names:
        raise errors.InputError("--tasks: names no task; give one, such as ogx_xquad_hi")
    metadata = {name: place for name, place in places.items() if place is not None}
    options = {"include_path": folders, "metadata": metadata}
    index = task_manager.TaskManager(include_defaults=False, **options)
    if not all(name.startswith("ogx_") or index.match_tasks([name]) for name in names):
        index = task_manager.TaskManager(include_defaults=True, **options)
    specs: list[Any] = index.match_tasks(list(names))
    for name in names:
        if not index.match_tasks([name]):
            if config := qa_tasks.task_config(name):
                specs.append(config)
                continue
            near = errors.suggest(name, index.all_tasks) or "; one is ogx_xquad_hi"
            raise errors.InputError(f"--tasks: {name!r} is unknown{near}")
    try:
        loaded = index.load(specs)
    except (ConnectionError, FileNotFoundError) as error:  # a data set of lm-eval's own tasks
        reason = str(error).partition("\n")[0]
        raise errors.InputError(
            f"tasks: {reason}; put a copy of the data set's repository into a folder of its name, "
            "here in the working directory"
        ) from error
    except ImportError as error:  # of the code of lm-eval's own tasks
        raise errors.InputError(
            f"tasks: lm-eval can't load one of {', '.join(names)} ({error}); install what it "
            "needs, or take another, such as ogx_xquad_hi"
        ) from error
    _check_one_file(loaded["tasks"], places.get("data_dir"))
    return loaded


def _check_one_file(tasks: Mapping[str, Any], data_dir: str | None) -> None:
    """Raises InputError where a single file would serve as that of several languages."""
    if data_dir is None or not os.path.isfile(data_dir):
        return
    wanted: dict[str, str] = {}
    for name, task in tasks.items():
        if name.startswith("ogx_"):
            options = task.get_config("dataset_kwargs")
            kind = name.split("_")[1], options["language"], options.get("split", "")
            wanted.setdefault(" ".join(filter(None, kind)), name)
    if len(wanted) > 1:
        raise errors.InputError(
            f"--data-dir: {data_dir} is one file, and {' and '.join(wanted.values())} read one "
            "each; give the folder that holds them, or tasks of one language"
        )


def fingerprint(task: Any) -> str:
    """Returns a hash of a loaded task's questions, whatever they hold."""
    digest = hashlib.sha256()
    for doc in task.eval_docs:
        digest.update(json.dumps(doc, default=str, sort_keys=True).encode("utf-8"))
    return digest.hexdigest()[:12]
