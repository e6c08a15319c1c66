"""What `commit-t5x train` does until its first step is done: wall and CPU seconds of each part.

    python benchmarks/first_step.py --gin_file=quickstart.gin
    python benchmarks/first_step.py --gin_file=quickstart.gin --gin_file=models/smollm2_135m.gin \\
        --gin.INITIAL_CHECKPOINT_PATH="'smollm2'" --gin.TOKENIZER="'smollm2'" \\
        --gin.VOCAB_SIZE=49152

Takes the command's flags, but MODEL_DIR, and runs one step. Prints JSON. With programs of a former
run in the cache (XDG_CACHE_HOME says where it is), `compile` is the time to read them.
"""

import json
import sys
import tempfile
import time
from typing import Any

_PARTS: dict[str, tuple[float, float]] = {}


def now() -> tuple[float, float]:
    """Returns wall and CPU seconds; those of threads count."""
    return time.perf_counter(), time.process_time()


def add(part: str, begin: tuple[float, float]) -> None:
    """Adds the time since `begin` to a part."""
    wall, cpu = _PARTS.get(part, (0.0, 0.0))
    _PARTS[part] = wall + now()[0] - begin[0], cpu + now()[1] - begin[1]


def time_calls(home: Any, name: str, part: str) -> None:
    """Has each call of a function add to a part."""
    function = getattr(home, name)

    def timed(*args: Any, **kwargs: Any) -> Any:
        begin = now()
        try:
            return function(*args, **kwargs)
        finally:
            add(part, begin)

    setattr(home, name, timed)


def stage_by_stage(partitioned: Any, *args: Any) -> Any:
    """Runs a PartitionedFunction as its own `__call__` does, but waits for each stage."""
    import jax  # here: its import is a part that is measured

    name = partitioned._function.__name__.strip("_")
    begin = now()
    traced = partitioned.trace(*args)
    add(f"{name}: trace", begin)
    begin = now()
    compiled = traced.lower().compile()
    add(f"{name}: compile", begin)
    begin = now()
    result = jax.block_until_ready(compiled(*args))
    add(f"{name}: run", begin)
    if name == "train_step":
        raise SystemExit
    return result


def main() -> None:
    begin = now()
    from commit_t5x import compilation_cache, quiet

    quiet.silence_libraries()
    compilation_cache.enable()
    with quiet.native_stderr_closed():
        from commit_t5x import tasks  # noqa: F401
        from commit_t5x.engine import (  # noqa: F401
            adapters,
            data_record,
            gin_utils,
            partitioning,
            train,
            train_state,
        )
    add("import", begin)
    time_calls(gin_utils, "load", "gin")
    time_calls(data_record, "describe", "data")
    time_calls(adapters, "load_params", "restore")
    time_calls(train_state.TrainStateInitializer, "__init__", "shapes")
    partitioning.PartitionedFunction.__call__ = stage_by_stage
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"--gin.MODEL_DIR='{folder}/run'", "--gin.TRAIN_EVAL_TASK_NAME=None"]
        try:
            gin_utils.run([*sys.argv[1:], *flags], "commit_t5x.engine.train.train")
        except SystemExit:
            pass
    add("all", begin)
    found = {
        part: {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2)}
        for part, (seconds, cpu) in _PARTS.items()
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
