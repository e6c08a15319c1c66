"""What a longer vocabulary gives after a little training: bits per byte by how new rows begin.

    python benchmarks/vocabulary.py base vocabulary_out --xquad xquad --muse muse

The text is XQuAD's contexts: those of all articles but the last eight are learnt from, and the
first one of each of those is scored; no question is read. Each model of a language (not extended,
and by each method of `commit-t5x vocab extend`) is scored, trained on the plain text by
`commit-t5x train` with equal flags, and scored again. Each step is a whole command, which is
printed; what is done is skipped when the script is started again. Prints a Markdown table of what
there is.
"""

import argparse
import json
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys

NEW_TOKENS = 1024
HELD_OUT = 8  # articles
METHODS = ("none", "mean", "dictionary", "random")
# Of every run alike; a rate that no method was tuned for.
TRAINING = {
    "SEQUENCE_LENGTH": 256,
    "BATCH_SIZE": 1,
    "WARMUP_STEPS": 6,
    "LEARNING_RATE": 3e-4,
    "CODEMIX_RATIO": 0.0,
    "DROPOUT_RATE": 0.0,
    "FORGETFUL_MASK_MAX_RATIO": 0.0,
    "NUM_PARTITIONS": 1,
    "REMAT_POLICY": "none",
}


def main() -> None:
    """Runs what isn't done, and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", type=pathlib.Path, help="a native checkpoint with its tokenizer")
    parser.add_argument("out", type=pathlib.Path, help="a folder for all that is made")
    parser.add_argument("--xquad", type=pathlib.Path, required=True, help="folder of XQuAD")
    parser.add_argument("--muse", type=pathlib.Path, required=True, help="folder of MUSE")
    parser.add_argument("--languages", default="hi,el", help="default: %(default)s")
    parser.add_argument("--seeds", default="0,1", help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=32, help="of training (default: %(default)s)")
    parser.add_argument("--table", action="store_true", help="run nothing; print what there is")
    args = parser.parse_args()
    languages, seeds = args.languages.split(","), args.seeds.split(",")
    if not args.table:
        for language in [*languages, "en"]:
            _write_texts(args.xquad, args.out / "texts", language)
        for seed in seeds:
            for language in languages:
                for method in METHODS:
                    _compare(args, language, method, seed)
    print(
        "| | | before | after, each seed | English before | after |\n|---|---|---:|---:|---:|---:|"
    )
    for language in languages:
        for method in METHODS:
            print(_line(args.out, language, method, seeds))


def _write_texts(xquad: pathlib.Path, folder: pathlib.Path, language: str) -> None:
    articles = json.loads((xquad / f"xquad.{language}.json").read_text("utf-8"))["data"]
    contexts = [[p["context"].strip() for p in article["paragraphs"]] for article in articles]
    learnt = [context for article in contexts[:-HELD_OUT] for context in article]
    held_out = [article[0] for article in contexts[-HELD_OUT:]]
    for name, documents in {"train": learnt, "held_out": held_out}.items():
        path = folder / name / f"{language}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n\n".join(" ".join(d.split()) for d in documents) + "\n", "utf-8")


def _compare(args: argparse.Namespace, language: str, method: str, seed: str) -> None:
    """Extends, scores, trains and scores, and leaves nothing of the trained model but scores."""
    text = args.out / "texts" / "train" / f"{language}.txt"
    before, after = _results(args.out, language, method, seed)
    model = args.base if method == "none" else args.out / "models" / before.stem
    if not model.exists():
        vocabulary = json.loads((args.base / "model_config.json").read_text())["vocab_size"]
        command = ["vocab", "extend", args.base, text, model, "--size", vocabulary + NEW_TOKENS]
        command += ["--method", method, "--seed", seed]
        if method == "dictionary":
            for pair in (f"en-{language}", f"{language}-en"):
                command += ["--dictionary", args.muse / f"{pair}.txt"]
        _run(*command)
    _score(args, language, model, before)
    if after.exists():
        return
    trained = args.out / "trained"
    shutil.rmtree(trained, ignore_errors=True)
    settings = TRAINING | {
        "MODEL_DIR": str(trained),
        "LANGUAGE": language,
        "DICT_DIR": str(args.muse),
        "WIKIPEDIA_PATH": str(text),
        "TOKENIZER": str(model),
        "INITIAL_CHECKPOINT_PATH": str(model),
        "TRAIN_STEPS": args.steps,
        "RANDOM_SEED": int(seed),
    }
    flags = [f"--gin.{name}={value!r}" for name, value in settings.items()]
    recipe = ["--gin_file=recipes/align.gin", "--gin_file=models/from_checkpoint.gin"]
    _run("train", *recipe, *flags)
    _score(args, language, trained, after)
    shutil.rmtree(trained)


def _results(
    out: pathlib.Path, language: str, method: str, seed: str
) -> tuple[pathlib.Path, pathlib.Path]:
    """Returns the files of scores before training, where the seed may not matter, and after."""
    name = f"{language}_{method}"
    before = f"{name}_{seed}" if method == "random" else name
    results = out / "results"
    return results / f"{before}.json", results / f"{name}_{seed}_trained.json"


def _score(
    args: argparse.Namespace, language: str, model: pathlib.Path, results: pathlib.Path
) -> None:
    if not results.exists():
        tasks = f"ogx_text_{language},ogx_text_en"
        held_out = args.out / "texts" / "held_out"
        command = ["lm-eval", "--model_args", f"pretrained={model}", "--tasks", tasks]
        _run(*command, "--data-dir", held_out, "--batch_size", 2, "--output_path", results)


def _run(*arguments: object) -> None:
    command = [str(argument) for argument in arguments]
    print(f"commit-t5x {shlex.join(command)}", file=sys.stderr, flush=True)
    whole = [sys.executable, "-m", "commit_t5x.cli", *command]
    if subprocess.run(whole, stdout=sys.stderr).returncode:
        sys.exit(f"commit-t5x {command[0]} failed")


def _line(out: pathlib.Path, language: str, method: str, seeds: list[str]) -> str:
    pairs = [_results(out, language, method, seed) for seed in seeds]
    columns = []
    for task in (f"ogx_text_{language}", "ogx_text_en"):
        for files in zip(*pairs, strict=True):
            found = [_bits(file, task) for file in dict.fromkeys(files) if file.exists()]
            each = ", ".join(f"{bits:.3f}" for bits in found)
            mean = f"{statistics.mean(found):.3f} ({each})" if len(found) > 1 else each
            columns.append(mean or "-")
    return f"| {language} | `{method}` | {' | '.join(columns)} |"


def _bits(file: pathlib.Path, task: str) -> float:
    return json.loads(file.read_text())["results"][task]["bits_per_byte,none"]


if __name__ == "__main__":
    main()
