"""Memory and throughput of `commit-t5x convert`, beside transformers' load-and-save.

    python benchmarks/conversion.py                              # 1.1B random parameters
    python benchmarks/conversion.py --model smollm2_135m         # any preset
    python benchmarks/conversion.py --model path/to/a/hf/model

Prints JSON. Each figure is of a process of its own: its peak resident memory and its seconds, less
those of a process which only imports the same libraries. transformers needs torch (extra `torch`).
The disk needs room for four copies of the weights in fp32.
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import sys
import tempfile
import time

_OURS = (
    "import sys; from commit_t5x import conversion; from commit_t5x.conversion import hf, native"
)
_CONVERT = f"{_OURS}; conversion.convert(*sys.argv[2:], to=sys.argv[1])"
_THEIRS = """import sys, torch, transformers
transformers.LlamaForCausalLM  # imported when it is looked up"""
_LOAD_AND_SAVE = f"""{_THEIRS}
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
model.save_pretrained(sys.argv[2])"""
_GENERATE = f"""{_OURS}
import os, numpy as np
from commit_t5x.conversion import formats, rules
from commit_t5x.model import llama_presets
config, directory = llama_presets.preset(sys.argv[1]), hf.pathlib.Path(sys.argv[2])
shapes, rng = rules.shapes(hf.RULES, config), np.random.default_rng(0)
directory.mkdir()
with hf.write(directory, shapes, formats.Header(config)) as put:
    for name, shape in shapes.items():
        put(name, rng.standard_normal(shape, np.float32) * 0.02)"""


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--model", default="tinyllama_1b", help="a preset, with random weights, or a directory"
    )
    parser.add_argument("--work-dir", help="for the copies; a temporary one by default")
    parser.add_argument("--repeats", type=int, default=1, help="runs of each; the fastest counts")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.work_dir) as folder:
        work, model = pathlib.Path(folder), pathlib.Path(args.model)
        if not model.is_dir():
            model = work / args.model
            _run(_GENERATE, args.model, model)
        print(json.dumps(_measure(model, work, args.repeats), indent=2))


def _measure(model: pathlib.Path, work: pathlib.Path, repeats: int) -> dict:
    runs = {
        "hf_to_native": (_OURS, _CONVERT, "native", model, work / "native"),
        "native_to_hf": (_OURS, _CONVERT, "hf", work / "native", work / "hf"),
        "transformers_load_and_save": (_THEIRS, _LOAD_AND_SAVE, model, work / "saved"),
    }
    found = {}
    for name, (imports, code, *arguments) in runs.items():
        idle_seconds, idle_peak = _run(imports)
        seconds, peak = min(_run(code, *arguments) for _ in range(repeats))
        found[name] = seconds - idle_seconds, peak, idle_peak
    # Here, as a process counts what its parent had in memory when it started it.
    from commit_t5x.conversion import hf

    sizes = [4 * math.prod(shape) for shape in hf.read(model).shapes.values()]  # in fp32
    result = {
        "model": model.name,
        "weights": sum(sizes) // 4,
        "largest_tensor_mb": max(sizes) / 1e6,
    }
    for name, (seconds, peak, idle_peak) in found.items():
        result[name] = {
            "seconds": round(seconds, 2),
            "mb_per_second": round(sum(sizes) / 1e6 / seconds, 1),
            "peak_mb": round(peak / 1e6, 1),
            "imports_mb": round(idle_peak / 1e6, 1),
            "above_imports_in_largest_tensors": round((peak - idle_peak) / max(sizes), 2),
        }
    return result


def _run(code: str, *arguments: str | pathlib.Path) -> tuple[float, int]:
    """Runs Python code; returns its seconds and its peak resident memory in bytes."""
    target = pathlib.Path(arguments[-1]) if arguments else None
    if target and target.exists():
        shutil.rmtree(target)
    start = time.perf_counter()
    command = [sys.executable, "-c", code, *map(str, arguments)]
    process = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(process, 0)
    if status:
        sys.exit(f"{' '.join(command)}: failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main()
