"""Memory and speed of `commit-t5x convert`, beside transformers' load-and-save and gguf's package.

    python benchmarks/conversion.py                              # 1.1B random parameters
    python benchmarks/conversion.py --model smollm2_360m         # any preset
    python benchmarks/conversion.py --model path/to/a/hf/model

Prints JSON. Each run is a process of its own, which measures itself after its imports; `process` is
with them. The runs take turns, after the first round in another order in each. Before each, what
the one before wrote is gone and the disk at rest; and another process has written to as much memory
as the run may take, and let go of it: a virtual machine gives memory that is free for some seconds
back to its host, and then the first write to it costs several times as much as any of the work.
`ratio` is that of medians to the peer's. GGUF's peer copies the file and dequantises each tensor by
the gguf package; it writes a quarter of what a conversion does. `write_alone` is the limit: as many
bytes as a native checkpoint has, 16 MiB at a time. transformers needs torch (extra `torch`). The
disk needs room for three and a half copies of the weights in fp32, the memory for two.
"""

import argparse
import json
import math
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile

_PROCESS = """import json, resource, subprocess, sys, time
start = time.perf_counter()
{imports}
imports = time.perf_counter() - start
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
subprocess.run([sys.executable, "-c", {touch!r}, "{memory}"], check=True)
imported, begin, begin_cpu = peak(), time.perf_counter(), time.process_time()
{work}
seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - begin_cpu
found = {{"seconds": seconds, "cpu_seconds": cpu_seconds, "process": imports + seconds}}
print("\\n" + json.dumps(found | {{"peak": peak(), "imported": imported}}))"""
_TOUCH = "import numpy, sys; numpy.ones(int(sys.argv[1]), numpy.uint8)"
_OURS = """from commit_t5x import cli
from commit_t5x.conversion import formats, gguf, hf, native, rules, stream
from commit_t5x.model import llama_presets
import gguf as package, numpy as np, pathlib, shutil"""
_CONVERT = "assert cli.main(['convert', '--to', *sys.argv[1:]]) == 0"
_THEIRS = """import torch, transformers
transformers.LlamaForCausalLM  # imported when it is looked up"""
_LOAD_AND_SAVE = """
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32)
model.save_pretrained(sys.argv[2])"""
_COPY_AND_DEQUANTISE = """
shutil.copyfile(sys.argv[1], sys.argv[2])
for tensor in package.GGUFReader(sys.argv[2]).tensors:
    package.quants.dequantize(tensor.data, tensor.tensor_type)"""
_WRITE = """
block, left = bytes(2**24), int(sys.argv[1])
with open(sys.argv[2], "wb") as file:
    while left:
        left -= file.write(block[:left])"""
_GENERATE = """
config, directory = llama_presets.preset(sys.argv[1]), pathlib.Path(sys.argv[2])
shapes, rng = rules.shapes(hf.RULES, config), np.random.default_rng(0)
directory.mkdir()
with hf.write(directory, shapes, formats.Header(config)) as put:
    for name, shape in shapes.items():
        put(name, rng.standard_normal(shape, np.float32) * 0.02)"""
_QUANTISE = """
source = hf.read(pathlib.Path(sys.argv[1]))
config, writer = source.config, package.GGUFWriter(sys.argv[2], "llama")
for key, value in {
    "block_count": config.num_layers,
    "context_length": config.max_length,
    "embedding_length": config.emb_dim,
    "feed_forward_length": config.mlp_dim,
    "attention.head_count": config.num_heads,
    "attention.head_count_kv": config.num_kv_heads,
}.items():
    writer.add_uint32(f"llama.{key}", value)
writer.add_float32("llama.attention.layer_norm_rms_epsilon", config.norm_eps)
writer.add_float32("llama.rope.freq_base", config.rope_theta)
kinds = package.GGMLQuantizationType
def add(name, tensor):
    kind = kinds.Q8_0 if tensor.ndim == 2 else kinds.F32
    rows = np.ascontiguousarray(tensor)
    writer.add_tensor(name, package.quants.quantize(rows, kind), raw_dtype=kind)
stream.copy(source, stream.plan(source, gguf.RULES), add, "float32")
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()"""
_TIMES = ("seconds", "cpu_seconds", "process")
# Each of ours with its peer.
_PEERS = {
    "hf_to_native": "transformers_load_and_save",
    "native_to_hf": "transformers_load_and_save",
    "gguf_to_native": "gguf_copy_and_dequantise",
}


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--model", default="tinyllama_1b", help="a preset, with random weights, or a directory"
    )
    parser.add_argument("--work-dir", help="for the copies; a temporary one by default")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.work_dir) as folder:
        work, model = pathlib.Path(folder), pathlib.Path(args.model)
        if not model.is_dir():
            model = work / args.model
            _run(_OURS, _GENERATE, args.model, model)
        print(json.dumps(_measure(model, work, args.rounds), indent=2))


def _measure(model: pathlib.Path, work: pathlib.Path, rounds: int) -> dict:
    native, file, out = work / "native", work / "model.gguf", work / "out"
    _run(_OURS, _CONVERT, "native", model, native)
    _run(_OURS, _QUANTISE, model, file)
    written = sum(part.stat().st_size for part in native.rglob("*") if part.is_file())
    runs = {
        "hf_to_native": (_OURS, _CONVERT, "native", model, out),
        "native_to_hf": (_OURS, _CONVERT, "hf", native, out),
        "transformers_load_and_save": (_THEIRS, _LOAD_AND_SAVE, model, out),
        "gguf_to_native": (_OURS, _CONVERT, "native", file, out),
        "gguf_copy_and_dequantise": (_OURS, _COPY_AND_DEQUANTISE, file, out),
        "write_alone": (_OURS, _WRITE, str(written), out),
    }
    found = {name: [] for name in runs}
    load = []
    order, shuffled = list(runs), random.Random(0)
    for _ in range(rounds):
        for name in order:
            imports, code, *arguments = runs[name]
            os.sync()
            found[name].append(_run(imports, code, *arguments, memory=2 * written))
            load.append(os.getloadavg()[0])
            shutil.rmtree(out) if out.is_dir() else out.unlink()
        shuffled.shuffle(order)
    # Here, as a process counts what its parent had in memory when it started it.
    from commit_t5x.conversion import hf as hf_format

    sizes = [4 * math.prod(shape) for shape in hf_format.read(model).shapes.values()]  # in fp32
    result = {
        "model": model.name,
        "weights": sum(sizes) // 4,
        "largest_tensor_mb": max(sizes) / 1e6,
        "load_average": [round(min(load), 1), round(max(load), 1)],
    }
    for name, measured in found.items():
        peak, imported = (max(run[key] for run in measured) for key in ("peak", "imported"))
        result[name] = {
            **{key: [round(run[key], 2) for run in measured] for key in _TIMES},
            "peak_mb": round(peak / 1e6, 1),
            "above_imports_in_largest_tensors": round((peak - imported) / max(sizes), 2),
        }
        if name in _PEERS:
            result[name]["ratio"] = {
                key: round(
                    statistics.median(run[key] for run in measured)
                    / statistics.median(run[key] for run in found[_PEERS[name]]),
                    2,
                )
                for key in _TIMES
            }
    return result


def _run(
    imports: str, work: str, *arguments: str | pathlib.Path, memory: int = 0
) -> dict[str, float]:
    """Runs Python code; returns what it measured."""
    script = _PROCESS.format(imports=imports, work=work, touch=_TOUCH, memory=memory)
    command = [sys.executable, "-c", script, *map(str, arguments)]
    process = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: failed")
    return json.loads(process.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
