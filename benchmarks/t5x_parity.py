"""Trains with both engines by the same gin files, and prints both losses of every step.

Each case is a pair of commands, `commit-t5x train` and `python -m t5x.train`, with the same flags:
the shipped samples, the debug model, no dropout but in the case of that name. Exits with 1 if a
loss differs by more than the tolerance, relative to the native engine's. Needs T5X (docs/t5x.md).
Two CPU cores take about two minutes a case.

  python benchmarks/t5x_parity.py
  python benchmarks/t5x_parity.py --case paper --steps 5 --json
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

_SAMPLES = {
    "LANGUAGE": "'hi'",
    "DICT_DIR": "'samples'",
    "ALPACA_PATH": "'samples'",
    "TOKENIZER": "'samples'",
    "VOCAB_SIZE": 3072,
    "SEQUENCE_LENGTH": 256,
    "BATCH_SIZE": 8,
    "WARMUP_STEPS": 2,
    "LEARNING_RATE": 3e-3,
    "DROPOUT_RATE": 0.0,
    "FORGETFUL_MASK_MAX_RATIO": 0.0,
    "INITIAL_CHECKPOINT_PATH": None,
    "TRAIN_EVAL_TASK_NAME": None,
    "CHECKPOINT_PERIOD": None,
    "STATS_PERIOD": 1,
}
CASES = {
    # packing, the loss's denominator, what else is set
    "recommended": ("recipes/commit.gin", {}),
    "paper": ("main_results/commit.gin", {}),
    "dropout": (
        "main_results/commit.gin",
        {"DROPOUT_RATE": 0.05, "FORGETFUL_MASK_MAX_RATIO": 0.1},
    ),
    "2 microbatches": ("recipes/commit.gin", {"NUM_MICROBATCHES": 2}),
}
_TOLERANCE = 1e-5


def flags(case: str, steps: int, model_dir: pathlib.Path, **macros: object) -> list[str]:
    """Returns the flags that both engines take."""
    gin_file, changes = CASES[case]
    macros = {**_SAMPLES, "MODEL_DIR": f"'{model_dir}'", "TRAIN_STEPS": steps, **changes, **macros}
    return [
        f"--gin_file={gin_file}",
        "--gin_file=models/debug.gin",
        *(f"--gin.{name}={value}" for name, value in macros.items()),
    ]


def run_native(arguments: Sequence[str], command: str = "train") -> None:
    """Runs a command of the native engine."""
    _run([sys.executable, "-m", f"commit_t5x.{command}", *arguments])


def run_t5x(arguments: Sequence[str], command: str = "train") -> None:
    """Runs T5X's binary of that name."""
    from commit_t5x import resources

    project = resources.path("gin")
    paths = f"--gin_search_paths={project / 'engines' / 't5x'},{project}"
    _run([sys.executable, "-m", f"t5x.{command}", paths, *arguments])


def _run(command: Sequence[str]) -> None:
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-3000:]}")


def native_losses(model_dir: pathlib.Path) -> list[float]:
    """Returns the training loss of each step."""
    lines = map(json.loads, (model_dir / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if line["name"] == "train"]


def t5x_losses(model_dir: pathlib.Path) -> list[float]:
    """Returns the training loss of each step."""
    return list(scalars(model_dir / "train", "loss").values())


def scalars(folder: pathlib.Path, name: str) -> dict[int, float]:
    """Returns a metric's value at each step, from TensorBoard's files."""
    import tensorflow as tf
    from tensorboard.compat.proto.event_pb2 import Event

    values: dict[int, float] = {}
    for file in sorted(folder.glob("events.*")):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = Event.FromString(record)
            for value in event.summary.value:
                if value.tag == name:
                    values[event.step] = float(tf.make_ndarray(value.tensor))
    return dict(sorted(values.items()))


def compare(native: Sequence[float], t5x: Sequence[float]) -> list[dict[str, float]]:
    """Returns a record of each step: both losses, and their difference over the former."""
    return [
        {"step": step, "native": one, "t5x": other, "difference": abs(other - one) / abs(one)}
        for step, (one, other) in enumerate(zip(native, t5x, strict=True), start=1)
    ]


def measure(case: str, steps: int, folder: pathlib.Path) -> list[dict[str, float]]:
    """Trains both engines in new directories below `folder`, and compares them."""
    native, t5x = folder / "native", folder / "t5x"
    run_native(flags(case, steps, native))
    run_t5x(flags(case, steps, t5x))
    return compare(native_losses(native), t5x_losses(t5x))


def _table(report: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    lines = []
    for case, steps in report.items():
        lines += [f"{case}:", "| step | native | T5X | relative difference |", "|---|---|---|---|"]
        lines += [
            f"| {row['step']} | {row['native']:.7f} | {row['t5x']:.7f} | {row['difference']:.1e} |"
            for row in steps
        ]
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", choices=CASES, action="append", help="repeatable; all by default")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    report = {}
    for case in args.case or CASES:
        with tempfile.TemporaryDirectory() as folder:
            report[case] = measure(case, args.steps, pathlib.Path(folder))
    print(json.dumps(report, indent=2) if args.json else _table(report))
    largest = max(row["difference"] for steps in report.values() for row in steps)
    print(f"largest relative difference: {largest:.1e}", file=sys.stderr)
    return 0 if largest <= _TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
