"""Speed and memory of the data path, side by side with what limits it. Prints JSON.

  python benchmarks/data_pipeline.py --alpaca alpaca.jsonl --dict_dir muse --tokenizer llama.model

Each measurement runs in a process of its own, bound to one core and then to two. Beside the data
path stand SentencePiece alone (C++, one thread, the same texts, ids only), which is the limit of a
path that tokenises every text, and the same work in plain Python: one example at a time, the
prompt tokenised twice, as research code has it.
"""

import argparse
import itertools
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

from commit_t5x import quiet

CORES = sorted(os.sched_getaffinity(0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--alpaca", default="samples", help="Alpaca-format examples")
    parser.add_argument("--dict_dir", default="samples")
    parser.add_argument("--language", default="hi")
    parser.add_argument("--tokenizer", default="samples")
    parser.add_argument("--num_examples", type=int, default=5000)
    parser.add_argument("--length", type=int, default=512, help="tokens a row")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3, help="passes; the fastest counts")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        quiet.silence_libraries()
        name, cores = args.measure
        os.sched_setaffinity(0, CORES[: int(cores)])
        print(json.dumps(MEASUREMENTS[name](args)))
        return
    threads = [n for n in (1, 2) if n <= len(CORES)]
    results = {"examples": args.num_examples, "alpaca": args.alpaca, "language": args.language}
    limit = run("sentencepiece", 1)
    results["sentencepiece_alone"] = limit
    results["plain_python"] = {"1": relative(run("plain_python", 1), limit)}
    for name in ("mixing_paper", "mixing_improved"):
        results[name] = {str(n): run(name, n) for n in threads}
    for name in ("paper", "improved"):
        results[name] = {str(n): relative(run(name, n), limit) for n in threads}
    results["peak_memory_mib"] = memory(args)
    print(json.dumps(results, indent=2))


def run(name, cores, *flags):
    """Measures in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], *flags, "--measure", name, str(cores)]
    print(f"{name}, cores: {cores}", file=sys.stderr)
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def relative(result, limit):
    share = result["examples_per_second"] / limit["examples_per_second"]
    return {**result, "of_sentencepiece_alone": round(share, 2)}


def memory(args):
    """Peak memory of a pass over the data, and over eight times the data."""
    if args.alpaca == "samples":
        return None
    with tempfile.TemporaryDirectory() as folder:
        more = pathlib.Path(folder, "more.jsonl")
        more.write_bytes(pathlib.Path(args.alpaca).read_bytes() * 8)
        small, large = (
            run("memory", 1, "--alpaca", str(path)) for path in (pathlib.Path(args.alpaca), more)
        )
    return {"data": small, "eight_times_the_data": large}


def configure(args, fidelity):
    from commit_t5x.engine import gin_utils

    macros = {
        "ALPACA_PATH": args.alpaca,
        "DICT_DIR": args.dict_dir,
        "TOKENIZER": args.tokenizer,
        "LANGUAGE": args.language,
        "MODEL_DIR": "unused",
        "INITIAL_CHECKPOINT_PATH": None,
        "SEQUENCE_LENGTH": args.length,
        "SHUFFLE": False,
        "NUM_PARTITIONS": 1,
    }
    name = "main_results/commit.gin" if fidelity == "paper" else "recipes/commit.gin"
    gin_utils.load([name], [f"{macro} = {value!r}" for macro, value in macros.items()])


def rows(num_epochs):
    """Rows of the run that gin configures, as training reads them."""
    import gin

    from commit_t5x.engine import data

    run = gin.get_bindings("commit_t5x.engine.train.train", resolve_references=True)
    converter = run["model"].FEATURE_CONVERTER_CLS
    return data.get_rows(run["train_dataset_cfg"], converter, num_epochs)


def mixed_texts(args):
    """Prompts and responses, mixed, as the data path makes them."""
    configure(args, "paper")
    from commit_t5x.data import sources, templates
    from commit_t5x.mixing import mixer

    mix = mixer.make_mixer("en", args.language).mix
    prompts = templates.get_prompts()
    examples = itertools.cycle(sources.alpaca_examples("train"))
    for index, example in enumerate(itertools.islice(examples, args.num_examples)):
        fields = mix_fields(mix, index, example)
        yield prompts.choose(fields).render(fields).text, fields["output"]


def mix_fields(mix, index, example):
    return {name: mix(text, (index, n)) for n, (name, text) in enumerate(example.items())}


def best(args, work):
    """Seconds of the fastest of some passes, after one to warm up."""
    work()
    seconds = []
    for _ in range(args.repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure_sentencepiece(args):
    import sentencepiece

    texts = [prompt + response for prompt, response in mixed_texts(args)]
    from commit_t5x.vocabularies import configured

    model = sentencepiece.SentencePieceProcessor(str(configured.get_vocabulary().path))
    tokens = sum(map(len, model.encode(texts, num_threads=1)))
    seconds = best(args, lambda: model.encode(texts, num_threads=1))
    return rates(len(texts), tokens, seconds)


def measure_plain_python(args):
    import sentencepiece

    configure(args, "paper")
    from commit_t5x.data import sources, templates
    from commit_t5x.mixing import mixer
    from commit_t5x.vocabularies import configured

    model = sentencepiece.SentencePieceProcessor(str(configured.get_vocabulary().path))
    mix = mixer.make_mixer("en", args.language).mix
    prompts = templates.get_prompts()
    examples = itertools.cycle(list(sources.alpaca_examples("train")))
    examples = list(itertools.islice(examples, args.num_examples))
    count = 0

    def work():
        nonlocal count
        stream, loss, count = [], [], 0
        for index, example in enumerate(examples):
            fields = mix_fields(mix, index, example)
            prompt = prompts.choose(fields).render(fields).text
            tokens = [1, *model.encode(prompt + fields["output"]), 2]
            masked = min(len(tokens), len(model.encode(prompt)) + 2)
            stream += tokens
            loss += [0] * masked + [1] * (len(tokens) - masked)
            count += len(tokens)
        rows = [stream[i : i + args.length] for i in range(0, len(stream), args.length)]
        return rows, loss

    seconds = best(args, work)
    return rates(len(examples), count, seconds)


def measure_mixing(args, fidelity):
    configure(args, fidelity)
    import tensorflow as tf

    from commit_t5x.data import sources
    from commit_t5x.mixing import graph_mixer, mixer

    mix_batch = graph_mixer.GraphMixer(mixer.make_mixer("en", args.language))
    examples = itertools.cycle(list(sources.alpaca_examples("train")))
    examples = itertools.islice(examples, args.num_examples)
    texts = [text for example in examples for text in example.values()]
    words = sum(len(text.split()) for text in texts)
    seeds = tf.stack([tf.zeros(len(texts), tf.int64), tf.range(len(texts), dtype=tf.int64)], axis=1)
    ds = tf.data.Dataset.from_tensor_slices((texts, seeds)).batch(768).cache()

    def work():
        for _ in ds.map(mix_batch, num_parallel_calls=tf.data.AUTOTUNE):
            pass

    return {"words_per_second": round(words / best(args, work))}


def measure_path(args, fidelity):
    with tempfile.TemporaryDirectory() as folder:
        args.alpaca = write_examples(args, pathlib.Path(folder, "alpaca.jsonl"))
        configure(args, fidelity)
        tokens = sum(
            int((batch["decoder_target_tokens"] > 0).sum())
            for batch in rows(1).batch(args.batch_size).as_numpy_iterator()
        )
        steps = sum(1 for _ in rows(1)) // args.batch_size
        batches = iter(rows(None).batch(args.batch_size, drop_remainder=True).prefetch(2))

        def work():
            for _ in range(steps):
                next(batches)

        return rates(args.num_examples, tokens, best(args, work))


def write_examples(args, path):
    """Writes as many examples as asked for, repeating those there are."""
    from commit_t5x.data import sources

    configure(args, "paper")
    examples = itertools.cycle(list(sources.alpaca_examples("train")))
    with path.open("w", encoding="utf-8") as file:
        for example in itertools.islice(examples, args.num_examples):
            file.write(json.dumps(example) + "\n")
    return str(path)


def measure_memory(args):
    configure(args, "improved")
    for _ in rows(num_epochs=1).batch(args.batch_size):
        pass
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def rates(examples, tokens, seconds):
    return {
        "examples_per_second": round(examples / seconds),
        "tokens_per_second": round(tokens / seconds),
        "tokens_per_example": round(tokens / examples),
    }


MEASUREMENTS = {
    "sentencepiece": measure_sentencepiece,
    "plain_python": measure_plain_python,
    "mixing_paper": lambda args: measure_mixing(args, "paper"),
    "mixing_improved": lambda args: measure_mixing(args, "improved"),
    "paper": lambda args: measure_path(args, "paper"),
    "improved": lambda args: measure_path(args, "improved"),
    "memory": measure_memory,
}

if __name__ == "__main__":
    main()
