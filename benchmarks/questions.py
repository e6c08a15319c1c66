"""Questions a second of `commit-t5x lm-eval`, beside lm-eval's own hf model on the same weights.

    make smollm2
    python benchmarks/questions.py smollm2_out/model smollm2_out/export --data-dir squad/xquad

Whole commands, in turn, each round: ours on the native checkpoint, with an empty cache of compiled
programs and then with what that run has left there, and torch's on the export. Prints JSON: the
median seconds, CPU seconds and ratio to hf's of the same round, the least and the most of the last,
and how many answers are the same. Needs the extra `torch`.
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from commit_t5x import arguments, ranges


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("native", help="a MODEL_DIR")
    parser.add_argument("export", help="the same weights as a Hugging Face directory")
    parser.add_argument("--data-dir", default="samples", help="of lm-eval (default: %(default)s)")
    parser.add_argument("--tasks", default="ogx_xquad_hi", help="default: %(default)s")
    parser.add_argument(
        "--limit", type=int, default=40, help="questions of a task (default: %(default)s)"
    )
    parser.add_argument("--batch_size", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--max_gen_toks", type=int, default=32, help="default: %(default)s")
    parser.add_argument(
        "--rounds", type=arguments.of(ranges.Positive), default=3, help="default: %(default)s"
    )
    args = parser.parse_args()
    command = [sys.executable, "-m", "commit_t5x.cli", "lm-eval", "--log_samples"]
    command += ["--tasks", args.tasks, "--data-dir", args.data_dir, "--limit", str(args.limit)]
    command += ["--batch_size", str(args.batch_size)]
    command += ["--gen_kwargs", f"max_gen_toks={args.max_gen_toks}"]
    ours = ["--model_args", f"pretrained={args.native}"]
    theirs = ["--model", "hf", "--model_args"]
    theirs.append(f"pretrained={args.export},add_bos_token=False,dtype=float32")
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
    runs = {"first": ours, "again": ours, "hf": theirs}
    rounds = []
    for _ in range(args.rounds):
        with tempfile.TemporaryDirectory() as name:
            os.environ["XDG_CACHE_HOME"] = name
            folder = pathlib.Path(name)
            rounds.append(
                {key: _run([*command, *more], folder / key) for key, more in runs.items()}
            )
    found = {key: _summary([(one[key], one["hf"]) for one in rounds]) for key in runs}
    pairs = [
        pair for one in rounds for pair in zip(*(one[key]["answers"] for key in runs), strict=True)
    ]
    same = sum(first == again == hf for first, again, hf in pairs)
    print(json.dumps(found | {"same_answers": same, "of": len(pairs)}, indent=2))


def _summary(pairs: list[tuple[dict, dict]]) -> dict:
    """Returns what runs took, each by hf's of its round."""
    seconds = statistics.median(run["seconds"] for run, _ in pairs)
    ratios = [hf["seconds"] / run["seconds"] for run, hf in pairs]
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(statistics.median(run["cpu_seconds"] for run, _ in pairs), 1),
        "questions_per_second": round(len(pairs[0][0]["answers"]) / seconds, 2),
        "rate_by_hf": round(statistics.median(ratios), 2),
        "least_and_most": [round(min(ratios), 2), round(max(ratios), 2)],
    }


def _run(command: list[str], output: pathlib.Path) -> dict:
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--output_path", f"{output}.json"], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(command)}: failed")
    seconds, cpu = time.perf_counter() - start, usage.ru_utime + usage.ru_stime
    files = sorted(output.parent.glob(f"{output.name}_samples_*.jsonl"))
    lines = itertools.chain.from_iterable(file.read_text().splitlines() for file in files)
    answers = [json.loads(line)["filtered_resps"] for line in lines]
    return {"seconds": seconds, "cpu_seconds": cpu, "answers": answers}


if __name__ == "__main__":
    main()
