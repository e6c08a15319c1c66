"""Memory and throughput of `commit-t5x convert`, beside transformers' load-and-save.

    python benchmarks/conversion.py                              # 1.1B random parameters
    python benchmarks/conversion.py --model smollm2_135m         # any preset
    python benchmarks/conversion.py --model path/to/a/hf/model

Prints JSON. Each figure is of a process of its own: its peak resident memory as the kernel counts
it, less that of a process which only imports the same libraries, and the bytes of the source's
weights over the seconds between its imports and its end. transformers needs torch (extra `torch`).
The disk needs room for four copies of the weights in fp32.
"""

import argparse
import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--model", default="tinyllama_1b", help="a preset, with random weights, or a directory"
    )
    parser.add_argument("--work-dir", help="for the copies; a temporary one by default")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each; the fastest counts")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        _child(*args.child)
        return
    with tempfile.TemporaryDirectory(dir=args.work_dir) as folder:
        work = pathlib.Path(folder)
        # In a process of its own, so that this one stays small.
        model = pathlib.Path(args.model)
        if not model.is_dir():
            model = work / args.model
            _start("generate", args.model, str(model))
        print(json.dumps(_measure(model, work, args.repeats), indent=2))


def _measure(model: pathlib.Path, work: pathlib.Path, repeats: int) -> dict:
    from commit_t5x.conversion import hf

    source = hf.read(model)
    sizes = {name: math.prod(shape) for name, shape in source.shapes.items()}
    largest, weights = max(sizes.values()) * 4, sum(sizes.values())
    stored = sum(size * _itemsize(source.dtypes[name]) for name, size in sizes.items())
    runs = {
        "hf_to_native": ("ours", "hf", "native", str(model), str(work / "native")),
        "native_to_hf": ("ours", "native", "hf", str(work / "native"), str(work / "hf")),
        "transformers_load_and_save": ("transformers", str(model), str(work / "saved")),
    }
    imports = {"ours": _run("ours")["peak"], "transformers": _run("transformers")["peak"]}
    result = {"model": model.name, "weights": weights, "largest_tensor_mb": largest / 1e6}
    for name, command in runs.items():
        best = min((_run(*command) for _ in range(repeats)), key=lambda run: run["seconds"])
        size = weights * 4 if command[1] == "native" else stored
        above = best["peak"] - imports[command[0]]
        result[name] = {
            "seconds": round(best["seconds"], 2),
            "mb_per_second": round(size / 1e6 / best["seconds"], 1),
            "peak_mb": round(best["peak"] / 1e6, 1),
            "imports_mb": round(imports[command[0]] / 1e6, 1),
            "above_imports_in_largest_tensors": round(above / largest, 2),
        }
    return result


def _run(*command: str) -> dict:
    target = pathlib.Path(command[-1])
    if len(command) > 1 and target.exists():
        shutil.rmtree(target)
    return json.loads(_start(*command).splitlines()[-1])


def _start(*command: str) -> bytes:
    arguments = [sys.executable, __file__, "--child", *command]
    return subprocess.run(arguments, check=True, stdout=subprocess.PIPE).stdout


def _child(kind: str, *command: str) -> None:
    """Imports, converts if there is anything to, and prints what that took."""
    if kind == "generate":
        _generate(command[0], pathlib.Path(command[1]))
        return
    if kind == "ours":
        from commit_t5x import quiet

        quiet.silence_libraries()
        from commit_t5x import conversion
        from commit_t5x.conversion import formats

        formats.module("hf"), formats.module("native")
        start = time.perf_counter()
        if command:
            conversion.convert(*command)
    else:
        import torch
        import transformers

        transformers.LlamaForCausalLM  # noqa: B018  (imported when it is looked up)
        start = time.perf_counter()
        if command:
            model = transformers.AutoModelForCausalLM.from_pretrained(
                command[0], dtype=torch.float32
            )
            model.save_pretrained(command[1])
    seconds = time.perf_counter() - start
    # getrusage would count what the parent had in memory when it started this process.
    status = pathlib.Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


def _generate(preset: str, directory: pathlib.Path) -> None:
    """Writes a model with random weights."""
    import numpy as np

    from commit_t5x.conversion import formats, hf, rules
    from commit_t5x.model import llama_presets

    config = llama_presets.preset(preset)
    shapes = rules.shapes(hf.RULES, config)
    rng = np.random.default_rng(0)
    directory.mkdir()
    with hf.write(directory, shapes, formats.Header(config)) as put:
        for name, shape in shapes.items():
            put(name, rng.standard_normal(shape, np.float32) * 0.02)


def _itemsize(dtype: str) -> int:
    from commit_t5x.conversion import arrays

    return arrays.DTYPES[dtype].itemsize


if __name__ == "__main__":
    main()
