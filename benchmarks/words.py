"""How right the words are that recipes find. Prints Markdown.

  python benchmarks/words.py data
  python benchmarks/words.py data --sample el-en > sample.tsv

The folder holds muse/ (dictionaries) and xquad/ (xquad.LANG.json). The first prints

- words found by their lemmas that were judged by reading, from lemma_judgements.tsv beside this
  script: language, word, lemma, whether the lemma is the word's own in the sentence it stood in,
  whether the translation drawn for it fits that sentence;
- replacements in XQuAD's Thai contexts, and those that cut a character cluster (by PyThaiNLP's own
  rules) or a run of Latin letters or digits;
- replacements in the Greek contexts in NFC and in NFD.

--sample draws words found by their lemmas, each once, with translation and sentence, to judge anew.
"""

import argparse
import collections
import pathlib
import random
import re
import unicodedata

from commit_t5x import quiet

OPTIONS = {
    "segmenter": "language",
    "protected": ("code", "url", "placeholder"),
    "phrases": True,
    "case_variants": True,
    "drop_identity": True,
    "canonical_equivalence": True,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--sample", metavar="PAIR", help="source-target, e.g. en-hi")
    parser.add_argument("--size", type=int, default=120)
    parser.add_argument("--seed", type=int, default=13)
    args = parser.parse_args()
    quiet.silence_libraries()
    import gin

    import commit_t5x.mixing.lexicon  # noqa: F401  (its configurables)

    gin.bind_parameter("load_dictionary.directory", str(args.data / "muse"))
    if args.sample:
        return sample(args)
    judgements()
    thai_cuts(args.data)
    greek_forms(args.data)


def contexts(data, language):
    from commit_t5x.data import sources

    examples = sources.squad_examples(data / "xquad" / f"xquad.{language}.json")
    return list(dict.fromkeys(example["context"] for example in examples))


def mixer(pair, **options):
    from commit_t5x.mixing.mixer import make_mixer

    return make_mixer(*pair.split("-"), ratio=1.0, **OPTIONS, **options)


def replaced_pieces(mix, text, number):
    """Yields (place in the text, piece) of what was replaced."""
    start = 0
    for piece in mix.mix_with_replacements(text, (0, number)).pieces:
        if piece.replaced:
            yield start, piece
        start += len(piece.source)


def judgements():
    path = pathlib.Path(__file__).with_name("lemma_judgements.tsv")
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    print("| language | words judged | lemma right | translation fits |\n|---|---:|---:|---:|")
    for language in dict.fromkeys(row[0] for row in rows):
        count_and_print(language, [row for row in rows if row[0] == language])
    count_and_print("all", rows)


def count_and_print(name, rows):
    lemma, translation = (sum(row[n] == "yes" for row in rows) / len(rows) for n in (3, 4))
    print(f"| {name} | {len(rows)} | {lemma:.1%} | {translation:.1%} |")


def thai_cuts(data):
    from pythainlp.tokenize import tcc_p

    mix, counts = mixer("th-en", lemma_backoff=True), collections.Counter()
    for number, text in enumerate(contexts(data, "th")):
        clusters = tcc_p.tcc_pos(text) | {0}
        for match in re.finditer("[A-Za-z0-9]+", text):
            clusters -= set(range(match.start() + 1, match.end()))
            clusters |= {match.start(), match.end()}
        for start, piece in replaced_pieces(mix, text, number):
            end = start + len(piece.source)
            counts["replacements"] += 1
            counts["cuts"] += not {start, end} <= clusters
    print(f"\nThai: {counts['replacements']:,} replacements, {counts['cuts']} cut a cluster")


def greek_forms(data):
    mix = mixer("el-en", lemma_backoff=True)
    for form in ("NFC", "NFD"):
        count = sum(
            len(mix.mix_with_replacements(unicodedata.normalize(form, text), (0, n)).replacements)
            for n, text in enumerate(contexts(data, "el"))
        )
        print(f"Greek in {form}: {count:,} replacements")


def sample(args):
    from commit_t5x.mixing import lemmas
    from commit_t5x.mixing.characters import lookup_key

    source = args.sample.partition("-")[0]
    lemma_of = dict(lemmas.inflected_forms(source))
    entries = mixer(args.sample).lexicon
    mix, found = mixer(args.sample, lemma_backoff=True), {}
    for number, text in enumerate(contexts(args.data, source)):
        for start, piece in replaced_pieces(mix, text, number):
            key = lookup_key(piece.source)
            if key not in entries:
                sentence = text[max(0, start - 50) : start + 60].replace("\n", " ")
                found.setdefault(key.lower(), (piece.text, sentence))
    words = sorted(found)
    for word in random.Random(args.seed).sample(words, min(args.size, len(words))):
        print(word, lemma_of.get(word, "?"), *found[word], sep="\t")


if __name__ == "__main__":
    main()
