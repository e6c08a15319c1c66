"""How long commands take to begin: seconds and memory of each, beside `import jax, flax.linen`.

  python benchmarks/startup.py
  python benchmarks/startup.py --python ../before/.venv/bin/python    another checkout's

Each command runs twice, with --help and with a typical start: imports, gin files, and then a small
piece of work or, where work takes long, an input that isn't there. The first step is that of
quickstart.gin, from the command's start to its line in metrics.jsonl.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

RESULTS = {"results": {"ogx_xquad_hi": {"f1,none": 50.0}}, "sample_scores": {}}
NOWHERE = "nowhere"


def starts(folder: pathlib.Path) -> dict[str, list[str]]:
    """Returns each command's typical start."""
    debug = ["--gin_file=models/debug.gin", "--gin.TOKENIZER='samples'"]
    checkpoint = f"--gin.CHECKPOINT_PATH='{NOWHERE}'"
    evaluation = ["--gin.LANGUAGE='hi'", f"--gin.EVAL_OUTPUT_DIR='{folder / 'eval'}'"]
    (folder / "results.json").write_text(json.dumps(RESULTS))
    words = folder / "en-hi.txt"
    words.write_text("water\tपानी\n")
    weights = f"--gin.INITIAL_CHECKPOINT_PATH='{NOWHERE}'"
    run = f"--gin.MODEL_DIR='{folder / 'run'}'"
    return {
        "train": ["--gin_file=quickstart.gin", run, weights],
        "eval": ["--gin_file=evaluation/xquad.gin", *debug, checkpoint, *evaluation],
        "infer": ["--gin_file=evaluation/infer.gin", *debug, checkpoint, "--interactive"],
        "inspect": ["alpaca_codemix_hi", "--num_examples=1", "--report_examples=0"],
        "convert": ["--to", "hf", NOWHERE, str(folder / "export")],
        "plan": ["--gin_file=quickstart.gin", "--topology=v3-8", "--shapes"],
        "lm-eval": [
            *("--tasks", "ogx_xquad_hi", "--data-dir", "samples"),
            *("--model_args", f"pretrained={NOWHERE}"),
        ],
        "report": [str(folder)],
        "dicts": ["check", str(words)],
    }


def measure(arguments: list[str]) -> dict[str, float]:
    """Returns wall seconds, CPU seconds and peak memory of a process."""
    begin = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    return {
        "seconds": round(time.perf_counter() - begin, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": usage.ru_maxrss // 1024,
        "exit_code": os.waitstatus_to_exitcode(status),
    }


def first_step(command: list[str], folder: pathlib.Path) -> dict[str, float]:
    """Returns wall and CPU seconds until the first step of quickstart.gin is done."""
    model_dir = folder / "quickstart"
    macros = {"MODEL_DIR": str(model_dir), "TRAIN_STEPS": 1, "WARMUP_STEPS": 0}
    flags = [f"--gin.{name}={value!r}" for name, value in macros.items()]
    arguments = [*command, "train", "--gin_file=quickstart.gin", *flags]
    arguments += ["--gin.TRAIN_EVAL_TASK_NAME=None"]
    begin = time.perf_counter()
    with subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        lines = model_dir / "metrics.jsonl"
        while not (lines.is_file() and lines.stat().st_size):
            if process.poll() is not None:
                sys.exit(f"quickstart.gin failed: {process.stderr.read()}")
            time.sleep(0.02)
        seconds = time.perf_counter() - begin
        ticks = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        process.communicate()
    cpu = (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")
    return {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default=sys.executable, help="the interpreter to measure")
    parser.add_argument("--commands", nargs="*", help="only these (default: all, and the step)")
    args = parser.parse_args()
    command = [args.python, "-m", "commit_t5x.cli"]
    measure([args.python, "-c", "import jax, flax.linen"])  # the first reads from the disk
    found = {"import jax, flax.linen": measure([args.python, "-c", "import jax, flax.linen"])}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for subcommand, arguments in starts(folder).items():
            if args.commands is None or subcommand in args.commands:
                found[subcommand] = {
                    "help": measure([*command, subcommand, "--help"]),
                    "start": measure([*command, subcommand, *arguments]),
                }
        if args.commands is None:
            found["first step of quickstart.gin"] = first_step(command, folder)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
