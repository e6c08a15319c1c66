"""Training, decoding and lm-eval on one GPU or TPU, beside Hugging Face's in torch on the same one.

  make cuda12 smollm2
  python benchmarks/accelerator.py h200 --lm-eval smollm2_out/model smollm2_out/export
  python benchmarks/accelerator.py v5e-1 --contestants commit_t5x

The first argument is the device's name for `commit-t5x plan --topology`: utilisation is model FLOPs
over what its data sheet says, and `planned_bytes` is what the plan counts from shapes. Prints a
line of JSON for each contestant and size, each a process of its own, which ends after --limit
seconds; what fails or doesn't fit is a line with its error.

First come the errors of cuDNN's attention and of plain operations in bfloat16, beside fp32's. The
contestant commit_t5x has cuDNN's where it can be had; there commit_t5x_xla trains the first size
without.
Sizes, in bfloat16, on 16 rows of 512 random tokens: smollm2_135m and llama32_1b with all
weights trained by AdamW and nothing recomputed backwards, 7b by low-rank factors of rank 16 over a
base in bfloat16, all recomputed. Hugging Face's are compiled, layer by layer, with sdpa; PEFT adds
the factors. A row of decoding is a prompt of 256 tokens and 128 new ones. The extra `torch` has
what the contestant huggingface needs.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from commit_t5x.conversion import formats
from commit_t5x.errors import InputError
from commit_t5x.planning import targets

CONTESTANTS = ("commit_t5x", "commit_t5x_xla", "huggingface")
FILES = ["recipes/commit.gin"]
SIZES = {
    "smollm2_135m": (["models/smollm2_135m.gin"], {"REMAT_POLICY": "'none'"}),
    "llama32_1b": (
        ["models/llama32_1b.gin"],
        {"REMAT_POLICY": "'none'", "NUM_MICROBATCHES": 4},
    ),
    "7b": (["models/7b.gin", "lora.gin"], {"NUM_MICROBATCHES": 8}),
    # To try this file with:
    "debug": (["models/debug.gin"], {"BATCH_SIZE": 2, "SEQUENCE_LENGTH": 64}),
    "debug_lora": (["models/debug.gin", "lora.gin"], {"BATCH_SIZE": 2, "SEQUENCE_LENGTH": 64}),
}
DEFAULTS = {
    **{"DTYPE": "'bfloat16'", "DROPOUT_RATE": 0.0, "FORGETFUL_MASK_MAX_RATIO": 0.0},
    **{"NUM_PARTITIONS": 1, "BATCH_SIZE": 16, "SEQUENCE_LENGTH": 512, "NUM_MICROBATCHES": None},
}
PROMPT, NEW = 256, 128
BATCHES = (1, 8)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("device", help="as --topology takes it: h200, rtx4090, gpu:24GiB, v5e-1")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=[*SIZES][:3])
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--steps", type=int, default=10, help="after one that compiles")
    parser.add_argument("--limit", type=int, default=90, help="seconds of a process")
    parser.add_argument("--lm-eval", nargs=2, metavar=("NATIVE", "EXPORT"), help="score these, too")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--kernel", default="xla", help=argparse.SUPPRESS)
    parser.add_argument("--network", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve == "attention":
        print(json.dumps(attention_errors()))
        return
    if args.serve == "describe":
        print(json.dumps({size: describe(size) for size in args.sizes}))
        return
    if args.serve:
        [size], [contestant] = args.sizes, args.contestants
        measure = huggingface if contestant == "huggingface" else ours
        print(json.dumps(measure(args.serve, size, args)))
        return
    try:
        targets.parse(args.device)
        for folder in args.lm_eval or ():
            formats.check_exists(Path(folder))
    except InputError as error:
        parser.error(str(error))
    itself = [sys.executable, __file__, args.device]
    found = answer([*itself, "--serve", "attention"], args.limit)
    print(json.dumps({"what": "attention"} | found), flush=True)
    kernel = "cudnn" if isinstance(found.get("cudnn"), list) else "xla"
    networks = answer([*itself, "--serve", "describe", "--sizes", *args.sizes], args.limit)
    if "error" in networks:
        sys.exit(networks["error"])
    for size in args.sizes:
        for contestant in args.contestants:
            without = contestant == "commit_t5x_xla"
            if without and (kernel == "xla" or size != args.sizes[0]):
                continue  # one size tells
            trains_only = without or "lora.gin" in SIZES[size][0]
            for what in ("train",) if trains_only else ("train", "decode"):
                command = [*itself, "--serve", what, "--sizes", size, "--contestants", contestant]
                command += ["--steps", str(args.steps)]
                command += ["--network", json.dumps(networks[size])]
                command += ["--kernel", "xla" if without else kernel]
                what = {"what": what, "size": size, "contestant": contestant}
                print(json.dumps(what | answer(command, args.limit)), flush=True)
    if args.lm_eval:
        command = [sys.executable, str(Path(__file__).with_name("questions.py")), *args.lm_eval]
        command += ["--tasks", "ogx_xquad_en", "--limit", "30"]
        command += ["--batch_size", "8", "--rounds", "1"]
        print(json.dumps({"what": "lm-eval"} | answer(command, 3 * args.limit)), flush=True)


def answer(command: list[str], limit: int) -> dict:
    """Returns what a process prints, or how it ended."""
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {limit} seconds; see --limit"}
    if found.returncode:
        return {"error": (found.stderr.strip().splitlines() or ["no word"])[-1][:300]}
    return json.loads(found.stdout[found.stdout.index("{") :])


def times(step, count: int) -> dict[str, float]:
    """Runs a step that waits for its result; returns seconds."""
    taken = []
    for _ in range(count + 1):
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return {
        "first_seconds": round(taken[0], 2),
        "seconds": min(taken[1:]),
        "median_seconds": statistics.median(taken[1:]),
    }


def decode_rates(decode, vocab_size: int) -> dict[str, float]:
    """Returns new tokens a second by batch, of `decode(prompts, new tokens)`."""
    import numpy as np

    rates = {}
    for batch in BATCHES:
        prompts = np.random.default_rng(batch).integers(3, vocab_size, (batch, PROMPT))
        whole = times(lambda p=prompts: decode(p, NEW), 2)["seconds"]
        first = times(lambda p=prompts: decode(p, 1), 2)["seconds"]
        rates[f"prefill_tokens_per_second_batch_{batch}"] = round(batch * PROMPT / first)
        rates[f"decode_tokens_per_second_batch_{batch}"] = round(
            batch * (NEW - 1) / (whole - first)
        )
    return rates


def attention_errors() -> dict:
    """Returns, by kernel, |x - exact| / |exact| of what is attended, and of three gradients.

    Rows are packed, and keys hidden from all queries (forgetful masking).
    """
    import functools

    import jax
    import jax.numpy as jnp
    import numpy as np

    from commit_t5x.model import attention, causal_attention

    rng, shape = np.random.default_rng(0), (4, 512)
    segments = jnp.asarray(np.sort(rng.integers(1, 4, shape), axis=1))
    forgetful = attention.forgetful_mask(jax.random.key(0), *shape, 0.5, segments)
    mask = attention.decoder_mask(shape[1], segments) & forgetful
    halves = [
        jnp.asarray(rng.normal(size=(*shape, heads, 64)), jnp.bfloat16) for heads in (9, 3, 3)
    ]

    @functools.partial(jax.jit, static_argnums=1)
    def attended_and_gradients(arrays, kernel):
        def total(*arrays):
            attended = causal_attention.attend(*arrays, mask, is_causal=True, kernel=kernel)
            return jnp.sum(jnp.sin(attended.astype(jnp.float32))), attended

        gradients, attended = jax.grad(total, argnums=(0, 1, 2), has_aux=True)(*arrays)
        return attended, *gradients

    with jax.default_matmul_precision("highest"):
        exact = attended_and_gradients([x.astype(jnp.float32) for x in halves], "xla")
    errors = {}
    for kernel in ("xla", "cudnn"):
        try:
            pairs = zip(attended_and_gradients(halves, kernel), exact, strict=True)
        except InputError as error:
            return errors | {kernel: str(error)}
        pairs = [[np.asarray(x, np.float64) for x in pair] for pair in pairs]
        errors[kernel] = [round(np.linalg.norm(x - e) / np.linalg.norm(e), 5) for x, e in pairs]
    return errors


def load(size: str, kernel: str = "xla"):
    """Returns the recipe of a size."""
    from commit_t5x.planning import recipe

    files, own = SIZES[size]
    values = DEFAULTS | own | {"ATTENTION_KERNEL": repr(kernel)}
    return recipe.load([*FILES, *files], [f"{name} = {value}" for name, value in values.items()])


def describe(size: str) -> dict:
    """Returns what Hugging Face's is made of: no process holds both torch and TensorFlow."""
    model = load(size).model
    return {"fields": model.config.to_hf(), "rank": model.lora.rank, "alpha": model.lora.alpha}


def ours(what: str, size: str, args: argparse.Namespace) -> dict:
    import jax
    import numpy as np

    from commit_t5x.engine import decoding, train_state
    from commit_t5x.model import llama
    from commit_t5x.planning import plan, recipe, targets

    run, key = load(size, args.kernel), jax.random.PRNGKey(0)
    [device, *_] = jax.local_devices()
    found = {"device": device.device_kind}
    if what == "decode":
        module = llama.Llama(run.model.config, dtype="bfloat16", attention_kernel=args.kernel)
        tokens = np.ones((1, 1), np.int32)
        init = jax.jit(lambda key: module.init(key, tokens, tokens, enable_dropout=False))
        module, params = decoding.unrolled(module, init(key)["params"])

        def decode(prompts, new):
            return np.asarray(decoding.decode(module, params, prompts.tolist(), new, eos_id=-1))

        return found | decode_rates(decode, run.model.config.vocab_size) | memory(device)
    target = targets.parse(args.device)
    step = recipe.Step(run, [device])
    planned = plan.from_shapes(step, target).needed
    state = train_state.TrainStateInitializer(step.model, step.partitioner).from_scratch(key)
    rng = np.random.default_rng(0)
    values = {"tokens": step.model.config.vocab_size, "weights": 2, "ids": 2, "positions": None}
    batch = {}
    for name, leaf in step.batch.items():
        high = values[name.rsplit("_", 1)[1]]
        rows = rng.integers(1, high, leaf.shape) if high else np.arange(leaf.shape[1])[None]
        batch[name] = np.broadcast_to(rows, leaf.shape).astype(np.int32)

    def once():
        nonlocal state
        state, metrics = step.trainer.train_step(state, batch)
        jax.block_until_ready(metrics["loss"])

    spent = times(once, args.steps)
    rows, length = step.batch_shape
    return found | {
        **spent,
        "tokens_per_second": round(rows * length / spent["seconds"]),
        "utilisation": round(step.model_flops() / spent["seconds"] / target.peak("bfloat16"), 3),
        "planned_bytes": round(planned),
        **memory(device),
    }


def memory(device) -> dict:
    """Returns the most bytes that were in use, where the device says."""
    return {"peak_bytes": (device.memory_stats() or {}).get("peak_bytes_in_use")}


def huggingface(what: str, size: str, args: argparse.Namespace) -> dict:
    import torch
    import transformers

    network, rank = args.network["fields"], args.network["rank"]
    on_gpu = torch.cuda.is_available()
    place = torch.device("cuda" if on_gpu else "cpu")
    fields = network | {"attn_implementation": "sdpa", "use_cache": what == "decode"}
    whole = what == "train" and rank is None
    kept = torch.float32 if whole else torch.bfloat16  # as torch trains in mixed precision
    torch.manual_seed(0)
    with place:
        network = transformers.LlamaForCausalLM(transformers.LlamaConfig(**fields)).to(kept)
    found = {"device": torch.cuda.get_device_name() if on_gpu else "cpu"}

    def peak():
        return {"peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else None}

    if what == "decode":
        network.generation_config.eos_token_id = None

        def decode(prompts, new):
            prompts = torch.from_numpy(prompts).to(place)
            options = {"max_new_tokens": new, "do_sample": False, "pad_token_id": 0}
            mask = torch.ones_like(prompts)
            with torch.inference_mode():
                return network.generate(prompts, attention_mask=mask, **options).cpu()

        return found | decode_rates(decode, fields["vocab_size"]) | peak()
    if whole:
        network.gradient_checkpointing_disable()
    else:
        network.gradient_checkpointing_enable()
        network.enable_input_require_grads()
        import peft  # here, as it takes its time

        targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        alpha = args.network["alpha"]
        options = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets)
        network = peft.get_peft_model(network, options)
    network.train()
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=True)
    if on_gpu:  # a layer alone: whole networks take minutes
        for module in network.modules():
            if isinstance(module, transformers.models.llama.modeling_llama.LlamaDecoderLayer):
                module.compile()
    own = DEFAULTS | SIZES[size][1]
    shape, parts = (own["BATCH_SIZE"], own["SEQUENCE_LENGTH"]), own["NUM_MICROBATCHES"] or 1
    tokens = torch.randint(1, fields["vocab_size"], shape, device=place)

    def once():
        optimizer.zero_grad(set_to_none=True)
        for part in tokens.chunk(parts):
            with torch.autocast(place.type, torch.bfloat16):
                loss = network(input_ids=part, labels=part).loss / parts
            loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        return loss.item()  # waits

    spent = times(once, args.steps)
    return found | spent | {"tokens_per_second": round(tokens.numel() / spent["seconds"]), **peak()}


if __name__ == "__main__":
    main()
