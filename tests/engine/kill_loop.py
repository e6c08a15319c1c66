"""Kills a training run again and again, and checks that it ends as if nothing had happened.

  python tests/engine/kill_loop.py --kills 20

A small COMMIT run on the shipped samples, with dropout, is trained twice: undisturbed and, beside
that, killed by SIGKILL at random moments (a random time after a random step, or while a checkpoint
is written) and started again by the same command. Parameters, optimizer, random state, data
position and logged losses must be the same to the bit. Prints a line for each kill; exits with 0 if
all are, else 1.
"""

import argparse
import json
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

PERIOD = 8  # steps between checkpoints
MOST_STEPS = 24  # from a start to a kill, but for those to the next checkpoint
STEPS_PER_KILL = 40
BINDINGS = {
    "SEQUENCE_LENGTH": 64,
    "BATCH_SIZE": 2,
    "DROPOUT_RATE": 0.1,
    "FORGETFUL_MASK_MAX_RATIO": 0.1,
    "WARMUP_STEPS": 4,
    "CHECKPOINT_PERIOD": PERIOD,
    "CHECKPOINTS_TO_KEEP": 2,
    "TRAIN_EVAL_TASK_NAME": None,
    "STATS_PERIOD": 1,
}
TIMES = ("per_second", "seconds", "utilisation")  # in names of metrics that differ by nature
READ_AHEAD = ("mix_rate",)  # of what was read ahead, which depends on the speed of the host


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    args = parser.parse_args(argv)
    steps = STEPS_PER_KILL * (args.kills + 1)
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, killed = (pathlib.Path(folder, name) for name in ("undisturbed", "killed"))
        print(f"{steps} steps", flush=True)
        with start(undisturbed, steps) as beside:
            rng = random.Random(args.seed)
            for number in range(1, args.kills + 1):
                print(f"kill {number}: {kill(killed, steps, rng)}", flush=True)
            finish(start(killed, steps), killed)
            finish(beside, undisturbed)
        differences = [*compare(undisturbed, killed, steps)]
    for difference in differences:
        print(f"differs: {difference}")
    print(f"{args.kills} kills, " + ("NOT the same" if differences else "the same to the bit"))
    return 1 if differences else 0


def start(model_dir, steps):
    """Starts the command, which writes to MODEL_DIR.log."""
    bindings = BINDINGS | {"MODEL_DIR": str(model_dir), "TRAIN_STEPS": steps}
    flags = [f"--gin.{name}={value!r}" for name, value in bindings.items()]
    command = [sys.executable, "-m", "commit_t5x.train", "--gin_file=quickstart.gin", *flags]
    with model_dir.with_suffix(".log").open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def finish(process, model_dir):
    if process.wait():
        raise SystemExit(f"the run failed:\n{log(model_dir)}")


def kill(model_dir, steps, rng):
    """Starts the run and kills it; returns a line on when that was."""
    process = start(model_dir, steps)
    in_save, more, delay = rng.random() < 0.5, rng.randint(0, MOST_STEPS), rng.random()
    wait(process, lambda: first_step(model_dir) is not None)
    target, begun = (first_step(model_dir) or 0) + more, time.time()
    wait(process, lambda: last_step(model_dir) >= target)
    if in_save:
        wait(process, lambda: any(saving(model_dir, begun)))
    time.sleep(0.05 * delay)
    process.kill()
    if process.wait() != -signal.SIGKILL:
        raise SystemExit(f"the run ended by itself:\n{log(model_dir)}")
    unfinished = "".join(f", in the midst of {path.name}" for path in saving(model_dir, begun))
    return f"from step {first_step(model_dir)}, step {last_step(model_dir)} logged{unfinished}"


def wait(process, happened):
    while process.poll() is None and not happened():
        time.sleep(0.002)


def first_step(model_dir):
    """Returns the step that the process started from; None before it has."""
    match = re.search(r": starts from (?:checkpoint_(\d+)|random)", log(model_dir))
    return match and int(match[1] or 0)


def last_step(model_dir):
    """Returns the step that the process has logged last; 0 if none."""
    return max(map(int, re.findall(r"^step (\d+)/", log(model_dir), re.MULTILINE)), default=0)


def log(model_dir):
    return model_dir.with_suffix(".log").read_text()


def saving(model_dir, since):
    """Yields the folders of checkpoints that were begun since a time, and aren't finished."""
    for path in model_dir.glob("checkpoint_*.orbax-checkpoint-tmp"):
        try:
            begun = path.stat().st_mtime
        except FileNotFoundError:
            continue  # it has just been finished
        if begun >= since:
            yield path


def compare(expected_dir, found_dir, steps):
    """Yields a line for each difference between two runs."""
    expected, found = (dict(contents(path)) for path in (expected_dir, found_dir))
    for name in sorted({*expected, *found}):
        if expected.get(name) != found.get(name):
            yield name
    if f"checkpoint_{steps}: data position" not in expected:
        yield f"checkpoint_{steps}: missing"


def contents(model_dir):
    """Yields names and values of all that must be the same."""
    import jax
    import numpy as np
    import orbax.checkpoint as ocp
    from flax import traverse_util

    lines = (model_dir / "metrics.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    yield "lines of metrics.jsonl", [(metrics["name"], metrics["step"]) for metrics in logged]
    for metrics in logged:
        for name, value in metrics.items():
            if not (name in READ_AHEAD or any(word in name for word in TIMES)):
                yield f"{metrics['name']} of step {metrics['step']}: {name}", value
    for folder in model_dir.glob("checkpoint_*"):
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            metadata = checkpointer.metadata(folder / "state").item_metadata.tree
            host = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), metadata)
            state = checkpointer.restore(folder / "state", restore_args=host)
        for name, leaf in traverse_util.flatten_dict(state, sep="/").items():
            array = np.asarray(leaf)
            yield f"{folder.name}: {name}", (array.dtype, array.shape, array.tobytes())
        position = json.loads((folder / "dataset" / "position.json").read_text())
        yield f"{folder.name}: data position", position


if __name__ == "__main__":
    sys.exit(main())
