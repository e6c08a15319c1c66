"""COMMIT on SmolLM2-135M, all weights and low-rank factors, on the devices that are there.

  make cuda12 smollm2                                    installs, and imports the model
  python benchmarks/one_device.py smollm2_out/base out   prints JSON, a line for each variant
  python benchmarks/one_device.py smollm2_out/base out --steps 20 --length 160 --dtype float32

Equal steps of equal batches, on the shipped samples or on data of your own: validation loss,
seconds of a step, the most memory that the device had in use (where it says) and the process, and
bytes of the adapter. Each variant is a process of its own.
"""

import argparse
import json
import multiprocessing
import pathlib
import resource
from typing import Any

from commit_t5x.errors import InputError

VARIANTS: dict[str, dict[str, Any]] = {
    "full": {},
    "rank 8": {"LORA_RANK": 8},
    "rank 64": {"LORA_RANK": 64},
    "rank 8, int8": {"LORA_RANK": 8, "BASE_DTYPE": "int8"},
    "rank 64, int8": {"LORA_RANK": 64, "BASE_DTYPE": "int8"},
}


def run(task: tuple[str, argparse.Namespace]) -> dict[str, Any]:
    """Trains a variant and returns its figures."""
    import jax

    import commit_t5x
    from commit_t5x import cli

    name, args = task
    model = args.out / name.replace(", ", "_").replace(" ", "_")
    data = {
        "ALPACA_PATH": args.alpaca,
        "DICT_DIR": args.dicts,
        "LANGUAGE": args.language,
        "TOKENIZER": args.base,
        "INITIAL_CHECKPOINT_PATH": args.base,
    }
    size = {
        "TRAIN_STEPS": args.steps,
        "WARMUP_STEPS": args.steps // 20,
        "BATCH_SIZE": args.batch_size,
        "SEQUENCE_LENGTH": args.length,
        "NUM_PARTITIONS": None,
        "DTYPE": args.dtype,
        "EVAL_PERIOD": args.steps,
        "STATS_PERIOD": max(args.steps // 2, 1),
        "CHECKPOINT_PERIOD": args.steps,
    }
    files = ["recipes/smollm2.gin", *(["lora.gin"] if VARIANTS[name] else [])]
    found = commit_t5x.train(files, {"MODEL_DIR": model, **data, **size, **VARIANTS[name]})
    [evaluated] = (scores for what, scores in found.items() if what.startswith("training_eval"))
    device = jax.local_devices()[0]
    figures = {
        "variant": name,
        "device": device.device_kind,
        "validation_loss": evaluated["loss"],
        "step_seconds": 1 / found["train"]["steps_per_second"],
        "peak_bytes": (device.memory_stats() or {}).get("peak_bytes_in_use"),
        "process_peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    if VARIANTS[name]:
        adapter = model.with_name(f"{model.name}_adapter")
        if cli.main(["convert", "--to", "peft", str(model), str(adapter)]) == 0:
            figures["adapter_bytes"] = sum(path.stat().st_size for path in adapter.iterdir())
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("base", type=pathlib.Path, help="the model's checkpoint")
    parser.add_argument("out", type=pathlib.Path, help="for the runs; they resume")
    parser.add_argument("--alpaca", default="samples")
    parser.add_argument("--dicts", default="samples")
    parser.add_argument("--language", default="hi")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--dtype", default="bfloat16", help="of the computation; CPUs want float32")
    args = parser.parse_args()
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        try:
            for figures in pool.imap(run, [(name, args) for name in VARIANTS]):
                print(json.dumps(figures), flush=True)
        except InputError as error:
            parser.error(str(error))


_Raw = argparse.RawDescriptionHelpFormatter

if __name__ == "__main__":
    main()
