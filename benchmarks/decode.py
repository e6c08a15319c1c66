"""Our greedy decoding beside that of other projects, on the CPU. Prints JSON.

  python benchmarks/decode.py
  python benchmarks/decode.py --easylm ../EasyLM --t5x ../t5x

Each contestant is a process of its own with all cores; they take turns, so that a noisy machine is
noisy for all of them. `huggingface` is `generate` of transformers in torch, with our weights and,
as `same_tokens` says, our answers. `easylm` is the JAX LLaMA of young-geng/EasyLM with its own
cache, in a jitted loop; `t5x` is the decoder-only network of google-research/t5x, driven by T5X's
own sampling. Both are read from checkouts that you name, and have weights of the same sizes.

`prefill_seconds` is the time to the first new token, `decode_tokens_per_second` what follows:
(new - 1) x batch tokens in the time that the whole takes beyond the first token. Figures are of
the fastest round and the median one.
"""

import argparse
import importlib
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import types

import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--mlp", type=int, default=1376)
    parser.add_argument("--vocab", type=int, default=32000)
    parser.add_argument("--prompt", type=int, default=256)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--rounds", type=int, default=5, help="after one to warm up")
    parser.add_argument("--easylm", metavar="DIR", help="a checkout of young-geng/EasyLM")
    parser.add_argument("--t5x", metavar="DIR", help="a checkout of google-research/t5x")
    parser.add_argument("--contestants", nargs="+", choices=list(CONTESTANTS))
    parser.add_argument("--serve", choices=list(CONTESTANTS), help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args)
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(compare(args, folder), indent=2))


def compare(args, folder):
    names = args.contestants or [
        "commit_t5x",
        "huggingface",
        *(name for name in ("easylm", "t5x") if getattr(args, name)),
    ]
    workers = {name: Worker(name, folder) for name in names}
    results = {"sizes": {name: value for name, value in vars(args).items() if name in _SIZES}}
    for batch in args.batches:
        seconds = {name: {1: [], args.new: []} for name in names}
        tokens = {}
        for number in range(args.rounds + 1):
            print(f"batch {batch}, round {number} of {args.rounds}", file=sys.stderr)
            for name, worker in workers.items():
                for new, times in seconds[name].items():
                    taken, tokens[name] = worker.ask(batch, new)
                    times += [taken] if number else []  # round 0 compiles
        results[f"batch_{batch}"] = found = {
            name: {
                "prefill_seconds": round(min(times[1]), 4),
                "decode_tokens_per_second": _rate(batch, args.new, times, min),
                "median_decode_tokens_per_second": _rate(batch, args.new, times, statistics.median),
            }
            for name, times in seconds.items()
        }
        if "huggingface" in tokens:
            same = np.equal(tokens["commit_t5x"], tokens["huggingface"])
            found["huggingface"]["same_tokens"] = round(float(np.mean(same)), 3)
        print(json.dumps(found), file=sys.stderr)
    for worker in workers.values():
        worker.process.stdin.close()
    return results


def _rate(batch, new, times, pick):
    return round(batch * (new - 1) / (pick(times[new]) - pick(times[1])), 1)


_SIZES = ("width", "layers", "heads", "mlp", "vocab", "prompt", "new")


class Worker:
    """A contestant's process, which decodes once for each line that it reads."""

    def __init__(self, name, folder):
        command = [sys.executable, __file__, *sys.argv[1:], "--serve", name, "--weights", folder]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.process.stdout.readline()  # it is ready; the first one writes weights for the second

    def ask(self, batch, new):
        self.process.stdin.write(json.dumps([batch, new]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def serve(args):
    decode = CONTESTANTS[args.serve](args)
    print("ready", flush=True)
    for line in sys.stdin:
        batch, new = json.loads(line)
        prompts = np.random.default_rng(batch).integers(3, args.vocab, (batch, args.prompt))
        start = time.perf_counter()
        tokens = np.asarray(decode(prompts, new))
        print(json.dumps([time.perf_counter() - start, tokens.tolist()]), flush=True)


def commit_t5x(args):
    import jax
    import jax.numpy as jnp

    from commit_t5x.conversion import hf
    from commit_t5x.engine import decoding, host_memory
    from commit_t5x.model import llama

    host_memory.keep_freed()  # as the commands do

    config = llama.LlamaConfig(
        vocab_size=args.vocab,
        emb_dim=args.width,
        mlp_dim=args.mlp,
        num_layers=args.layers,
        num_heads=args.heads,
        num_kv_heads=args.heads,
        head_dim=args.width // args.heads,
    )
    module = llama.Llama(config)
    tokens = jnp.ones((1, 1), jnp.int32)
    params = module.init(jax.random.key(0), tokens, tokens, enable_dropout=False)["params"]
    hf.export_hf(params, config, pathlib.Path(args.weights) / "hf")
    module, params = decoding.unrolled(module, params)
    return lambda prompts, new: decoding.decode(module, params, prompts.tolist(), new, eos_id=2)


def huggingface(args):
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        pathlib.Path(args.weights) / "hf", dtype=torch.float32
    )
    model.generation_config.eos_token_id = None

    def decode(prompts, new):
        prompts = torch.from_numpy(prompts)
        with torch.inference_mode():
            rows = model.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                max_new_tokens=new,
                do_sample=False,
                pad_token_id=0,
            )
        return rows[:, prompts.shape[1] :]

    return decode


def easylm(args):
    import jax
    import jax.numpy as jnp

    # Of transformers it imports classes around the network that are gone by now, and of mlxu a
    # reader of flags; the network itself needs neither.
    class Gone:
        pass

    for name, attributes in {
        "mlxu": [],
        "transformers": ["FlaxLogitsWarper"],
        "transformers.configuration_utils": ["PretrainedConfig"],
        "transformers.modeling_flax_outputs": ["FlaxBaseModelOutput", "FlaxCausalLMOutput"],
        "transformers.modeling_flax_utils": ["FlaxPreTrainedModel"],
    }.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(dict.fromkeys(attributes, Gone))
    sys.path.insert(0, args.easylm)
    network = importlib.import_module("EasyLM.models.llama.llama_model")
    config = types.SimpleNamespace(
        vocab_size=args.vocab,
        hidden_size=args.width,
        intermediate_size=args.mlp,
        num_hidden_layers=args.layers,
        num_attention_heads=args.heads,
        num_key_value_heads=args.heads,
        max_position_embeddings=2048,
        initializer_range=0.02,
        rms_norm_eps=1e-6,
        embedding_dropout=0.0,
        feedforward_dropout=0.0,
        attention_dropout=0.0,
        residue_dropout=0.0,
        remat_policy="",
        scan_attention=False,
        scan_mlp=False,
        fcm_min_ratio=0.0,
        fcm_max_ratio=0.0,
        tie_word_embeddings=False,
        output_attentions=False,
        output_hidden_states=False,
        use_return_dict=False,
    )
    module = network.FlaxLLaMAForCausalLMModule(config)
    ones = jnp.ones((1, 2), jnp.int32)
    params = module.init(jax.random.key(0), ones, ones, ones, return_dict=False)["params"]

    def decode(params, prompts, new):
        batch, length = prompts.shape
        row = jnp.ones((batch, length + new), jnp.int32)
        shapes = jax.eval_shape(
            lambda: module.init(
                jax.random.key(0), row, row, row, return_dict=False, init_cache=True
            )["cache"]
        )
        cache = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

        def step(cache, tokens, positions):
            (logits,), variables = module.apply(
                {"params": params, "cache": cache},
                tokens,
                row,
                positions,
                return_dict=False,
                mutable=["cache"],
            )
            return variables["cache"], jnp.argmax(logits[:, -1], axis=-1).astype(jnp.int32)

        def advance(state):
            place, cache, token, generated = state
            positions = jnp.full((batch, 1), length + place - 1)
            cache, token = step(cache, token[:, None], positions)
            return place + 1, cache, token, generated.at[:, place].set(token)

        positions = jnp.broadcast_to(jnp.arange(length), (batch, length))
        cache, token = step(cache, prompts, positions)
        generated = jnp.zeros((batch, new), jnp.int32).at[:, 0].set(token)
        state = jax.lax.while_loop(lambda s: s[0] < new, advance, (1, cache, token, generated))
        return state[-1]

    jitted = jax.jit(decode, static_argnums=2)
    return lambda prompts, new: jitted(params, prompts, new)


def t5x(args):
    import jax
    import jax.numpy as jnp

    # The package's own __init__ would import all of T5X, and what that needs.
    package = types.ModuleType("t5x")
    package.__path__ = [str(pathlib.Path(args.t5x) / "t5x")]
    sys.modules["t5x"] = package
    network = importlib.import_module("t5x.examples.decoder_only.network")
    decoding = importlib.import_module("t5x.decoding")
    module = network.DecoderWrapper(
        network.TransformerConfig(
            vocab_size=args.vocab,
            emb_dim=args.width,
            num_heads=args.heads,
            num_layers=args.layers,
            head_dim=args.width // args.heads,
            mlp_dim=args.mlp,
            mlp_activations=("silu", "linear"),
            dropout_rate=0.0,
        )
    )
    ones = jnp.ones((1, 2), jnp.int32)
    params = module.init(jax.random.key(0), ones, ones, enable_dropout=False)["params"]

    def decode(params, prompts, new):
        batch, length = prompts.shape
        inputs = jnp.pad(prompts, ((0, 0), (0, new)))
        is_prompt = jnp.broadcast_to(jnp.arange(length + new) < length, inputs.shape)
        lengths = jnp.full((batch,), length - 1)
        _, variables = module.apply(
            {"params": params}, inputs, inputs, enable_dropout=False, decode=True, mutable=["cache"]
        )
        _, variables = module.apply(
            {"params": params, "cache": variables["cache"]},
            inputs,
            is_prompt.astype(jnp.int32),
            enable_dropout=False,
            prefill=True,
            prefill_lengths=lengths,
            mutable=["cache"],
        )

        def step(state):
            logits, variables = module.apply(
                {"params": params, "cache": state.cache},
                state.cur_token,
                state.cur_token,
                enable_dropout=False,
                decode=True,
                max_decode_length=length + new,
                mutable=["cache"],
            )
            return logits[:, 0], variables["cache"]

        rows, _ = decoding.temperature_sample(
            inputs, variables["cache"], step, eos_id=-1, topk=1, initial_index=lengths
        )
        return rows[:, 0, length - 1 :]

    jitted = jax.jit(decode, static_argnums=2)
    return lambda prompts, new: jitted(params, prompts, new)


CONTESTANTS = {
    "commit_t5x": commit_t5x,
    "huggingface": huggingface,
    "easylm": easylm,
    "t5x": t5x,
}

if __name__ == "__main__":
    main()
