"""Our training step beside Hugging Face's model in torch, on the CPU. Prints JSON.

  python benchmarks/train_step.py
  python benchmarks/train_step.py --width 576 --layers 30 --heads 9 --kv_heads 3 --mlp 1536 \
      --vocab 49152 --tied --batch 2 --length 384

has the sizes of SmolLM2-135M.

Each contestant is a process of its own with all cores; they take their steps in turns, so that a
noisy machine is noisy for all of them. A step is forward, backward, clipping by the global norm and
AdamW with fp32 moments, on the same number of random tokens, all of which bear loss.

The utilisation is model FLOPs (6 a weight of a matrix and token, 12 a layer for each pair of token
and context position and unit of width; no recomputation) over the time of the step, as a share of
the fastest large matrix product that JAX or torch did in the same run. Figures are of the fastest
step and the median one.

  python benchmarks/train_step.py --contestants commit_t5x commit_t5x_l2

sets beside the plain step the one that also compares the hidden states of pairs, up to layer 5; its
utilisation counts the plain rows alone.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time

CONTESTANTS = ("commit_t5x", "hf_sdpa", "hf_eager")
PAIRED = "commit_t5x_l2"
MATMUL = 4096  # rows, columns and depth of the product that utilisation refers to


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--kv_heads", type=int, help="default: as many as heads")
    parser.add_argument("--tied", action="store_true", help="the embedding is the head's")
    parser.add_argument("--mlp", type=int, default=1376)
    parser.add_argument("--vocab", type=int, default=32000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--loss_chunk_length", type=int, default=128)
    parser.add_argument("--remat_policy", default="minimal")
    parser.add_argument("--rounds", type=int, default=8, help="steps of each, after one to warm up")
    known = [*CONTESTANTS, PAIRED]
    parser.add_argument("--contestants", nargs="+", choices=known, default=CONTESTANTS)
    parser.add_argument("--serve", choices=known, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args)
    else:
        print(json.dumps(compare(args), indent=2))


def compare(args):
    workers = {name: Worker(name) for name in args.contestants}
    for worker in workers.values():
        worker.ask("step")  # compiles
    steps = {name: [] for name in workers}
    rates = []
    for number in range(args.rounds):
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
        for name, worker in workers.items():
            steps[name].append(worker.ask("step"))
            rates.append(2 * MATMUL**3 / worker.ask("matmul"))
    tokens = args.batch * args.length
    flops = tokens * configuration(args).training_flops_per_token(args.length)
    results = {
        "sizes": {name: value for name, value in vars(args).items() if isinstance(value, int)},
        "model_flops": flops,
        "matmul_flops_per_second": max(rates),
    }
    for name, worker in workers.items():
        fastest, median = min(steps[name]), statistics.median(steps[name])
        results[name] = {
            "step_seconds": round(fastest, 3),
            "median_step_seconds": round(median, 3),
            "tokens_per_second": round(tokens / fastest),
            "utilisation": round(flops / fastest / max(rates), 3),
            "median_utilisation": round(flops / median / statistics.median(rates), 3),
            "peak_memory_mib": round(worker.ask("memory")),
            "loss": worker.ask("loss"),
        }
        worker.process.stdin.close()
    return results


class Worker:
    """A contestant's process, which answers a question a line."""

    def __init__(self, name):
        command = [sys.executable, __file__, *sys.argv[1:], "--serve", name]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, question):
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def serve(args):
    step, matmul = huggingface(args) if args.serve.startswith("hf") else ours(args)
    loss, memory = None, None
    for line in sys.stdin:
        question, start = line.strip(), time.perf_counter()
        if question == "step":
            loss = step()
            answer = time.perf_counter() - start
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        elif question == "matmul":
            matmul()
            answer = time.perf_counter() - start
        else:
            # Of the steps only, without the product that is timed beside them.
            answer = {"memory": memory, "loss": loss}[question]
        print(json.dumps(answer), flush=True)


def configuration(args):
    from commit_t5x.model.llama_config import LlamaConfig

    return LlamaConfig(
        vocab_size=args.vocab,
        emb_dim=args.width,
        mlp_dim=args.mlp,
        num_layers=args.layers,
        num_heads=args.heads,
        num_kv_heads=args.kv_heads or args.heads,
        head_dim=args.width // args.heads,
        tied_embeddings=args.tied,
    )


def random_batch(args):
    import numpy as np

    rng = np.random.default_rng(0)
    return rng.integers(3, args.vocab, (args.batch, args.length + 1))


def ours(args):
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from commit_t5x.engine import host_memory

    host_memory.keep_freed()  # first of all, as the command does
    import jax
    import jax.numpy as jnp

    from commit_t5x.engine import models, partitioning, train_state, trainer
    from commit_t5x.model import llama, optim
    from commit_t5x.model.hidden_state_distance import HiddenStateDistance

    optimizer = optim.adamw(1e-4, clip_norm=1.0, mu_dtype=None)
    model = models.DecoderOnlyModel(
        llama.Llama(configuration(args), remat_policy=args.remat_policy),
        None,
        optimizer,
        loss_chunk_length=args.loss_chunk_length,
        hidden_state_distance=HiddenStateDistance("l2" if args.serve == PAIRED else None),
    )
    partitioner = partitioning.PjitPartitioner()
    initializer = train_state.TrainStateInitializer(model, partitioner)
    steps = trainer.Trainer(model, partitioner, initializer.train_state)
    state = initializer.from_scratch(jax.random.PRNGKey(0))
    tokens = random_batch(args)
    batch = {
        "decoder_input_tokens": tokens[:, :-1].astype("int32"),
        "decoder_target_tokens": tokens[:, 1:].astype("int32"),
        "decoder_loss_weights": (tokens[:, 1:] > 0).astype("int32"),
    }
    if args.serve == PAIRED:
        inputs = batch["decoder_input_tokens"]
        units = inputs * 0 + range(1, args.length + 1)  # a word each
        pairs = {"tokens": inputs, "units": units.astype("int32")}
        batch |= {f"pair_plain_{name}": values for name, values in pairs.items()}
        batch |= {f"pair_mixed_{name}": values[::-1] for name, values in pairs.items()}

    def step():
        nonlocal state
        state, metrics = steps.train_step(state, batch)
        return float(metrics["loss"])

    product = jax.jit(jnp.dot)

    def matmul():
        jax.block_until_ready(product(*[jnp.ones((MATMUL, MATMUL))] * 2))

    return step, matmul


def huggingface(args):
    import torch
    import transformers

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=args.vocab,
        hidden_size=args.width,
        intermediate_size=args.mlp,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        num_key_value_heads=args.kv_heads,
        tie_word_embeddings=args.tied,
        attn_implementation=args.serve.removeprefix("hf_"),
        use_cache=False,
    )
    model = transformers.LlamaForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=0.0, fused=True)
    tokens = torch.from_numpy(random_batch(args))
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = model(input_ids=inputs, labels=inputs, shift_labels=targets).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    def matmul():
        torch.ones(MATMUL, MATMUL) @ torch.ones(MATMUL, MATMUL)

    return step, matmul


if __name__ == "__main__":
    main()
