"""How many words of real text a dictionary finds, option by option. Prints a Markdown table.

  python benchmarks/coverage.py muse en-hi alpaca.jsonl
  python benchmarks/coverage.py muse th-en xquad.th.json

The text is Alpaca-format examples (all three fields) or the contexts of a SQuAD-format file. With
--calibrated it prints instead what share of all words a calibrated ratio replaces.
"""

import argparse
import pathlib

from commit_t5x import quiet

# What each line adds to the one before it.
STEPS = {
    "the paper's: exact, between spaces": {"segmenter": "space"},
    "at any white space": {"segmenter": "whitespace"},
    "words as the language writes them": {"segmenter": "language"},
    "in any canonically equivalent spelling": {"canonical_equivalence": True},
    "with capitals": {"case_variants": True},
    "without identity pairs (`recipes/`)": {"drop_identity": True},
    "inflected forms": {"lemma_backoff": True},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dict_dir")
    parser.add_argument("pair", help="source-target, e.g. en-hi")
    parser.add_argument("text", help="Alpaca-format examples, or SQuAD-format .json")
    parser.add_argument("--segmenter", default="language", help="how the language writes words")
    parser.add_argument("--calibrated", action="store_true")
    args = parser.parse_args()
    quiet.silence_libraries()
    import gin

    from commit_t5x.mixing.mixer import make_mixer

    texts = list(read(args.text))
    source, target = args.pair.split("-")
    gin.bind_parameter("load_dictionary.directory", args.dict_dir)
    if args.calibrated:
        options = {name: value for step in STEPS.values() for name, value in step.items()}
        options["lemma_backoff"] = False  # as in the recipes
        for ratio in (0.1, 0.2, 0.3, 0.4, 0.5):
            mixer = make_mixer(source, target, ratio=ratio, calibrated=True, **options)
            results = [mixer.mix_with_replacements(t, (0, n)) for n, t in enumerate(texts)]
            share = sum(r.replaced for r in results) / sum(r.words for r in results)
            print(f"{args.pair}: target {ratio:.1f}, replaced {share:.3f}")
        return
    print(f"| {args.pair}, {pathlib.Path(args.text).name} | words | found |\n|---|---:|---:|")
    options = {}
    for name, more in STEPS.items():
        options |= more
        if options["segmenter"] == "language":
            options["segmenter"] = args.segmenter
        mixer = make_mixer(source, target, ratio=0.0, **options)
        results = [mixer.mix_with_replacements(text, (0, 0)) for text in texts]
        words, hits = sum(r.words for r in results), sum(r.hits for r in results)
        print(f"| {name} | {words:,} | {hits / words:.1%} |")


def read(path):
    from commit_t5x.data import records, sources

    if path.endswith(".json"):
        contexts = (example["context"] for example in sources.squad_examples(path))
        yield from dict.fromkeys(contexts)  # each once, though many questions share one
        return
    for _, record in records.read_records(path):
        yield from (record[field] for field in ("instruction", "input", "output"))


if __name__ == "__main__":
    main()
