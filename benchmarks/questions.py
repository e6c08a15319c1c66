"""Questions a second of `commit-t5x lm-eval`, beside lm-eval's own hf model on the same weights.

    make smollm2
    python benchmarks/questions.py smollm2_out/model smollm2_out/export --data-dir squad/xquad

Whole commands, in turn: ours on the native checkpoint, with an empty cache of compiled programs and
then with what the first run has left there, and torch's on the export. Prints JSON: seconds, CPU
seconds, the ratio to hf's, and whether all answers are the same. Needs the extra `torch`.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("native", help="a MODEL_DIR")
    parser.add_argument("export", help="the same weights as a Hugging Face directory")
    parser.add_argument("--data-dir", default="samples", help="of lm-eval (default: %(default)s)")
    parser.add_argument("--tasks", default="ogx_xquad_hi", help="default: %(default)s")
    parser.add_argument("--limit", type=int, default=40, help="questions (default: %(default)s)")
    parser.add_argument("--batch_size", type=int, default=4, help="default: %(default)s")
    parser.add_argument("--max_gen_toks", type=int, default=32, help="default: %(default)s")
    args = parser.parse_args()
    command = [sys.executable, "-m", "commit_t5x.cli", "lm-eval", "--log_samples"]
    command += ["--tasks", args.tasks, "--data-dir", args.data_dir, "--limit", str(args.limit)]
    command += ["--batch_size", str(args.batch_size)]
    command += ["--gen_kwargs", f"max_gen_toks={args.max_gen_toks}"]
    ours = ["--model_args", f"pretrained={args.native}"]
    theirs = ["--model", "hf", "--model_args"]
    theirs.append(f"pretrained={args.export},add_bos_token=False,dtype=float32")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)
        os.environ["XDG_CACHE_HOME"] = str(folder)
        runs = {"first": ours, "again": ours, "hf": theirs}
        found = {key: _run([*command, *options], folder / key) for key, options in runs.items()}
    answers = {key: run.pop("answers") for key, run in found.items()}
    for run in found.values():
        run["questions_per_second"] = round(args.limit / run["seconds"], 2)
        run["rate_by_hf"] = round(found["hf"]["seconds"] / run["seconds"], 2)
    same = sum(a == b for a, b in zip(answers["again"], answers["hf"], strict=True))
    print(json.dumps(found | {"same_answers": same, "of": len(answers["hf"])}, indent=2))


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
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1), "answers": answers}


if __name__ == "__main__":
    main()
