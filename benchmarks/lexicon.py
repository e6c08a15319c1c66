"""Loads a dictionary of millions of pairs, imports as large a Wiktionary, and prints both as JSON.

The dictionary is made up: words of syllables, one to four translations each, a fifth of the pairs
identity pairs, as in MUSE files. Each measurement runs in a process of its own. Beside
`Lexicon.load` stands the machine's limit, the least that any reader of such a file does: split
each line at its tab, into a dict of lists. It is loaded once more as `dicts import` writes it, with
weights.

The Wiktionary has a line for each pair, as kaikki.org writes it, half of them with a translation
into the target language. Beside `dicts import` stands `json.loads` over its lines.

  python benchmarks/lexicon.py --pairs 5000000
"""

import argparse
import itertools
import json
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

_CONSONANTS = "bcdfghjklmnprstvw", "कखगघचछजझटठडढतथदधनपफबभमयरलवशसह"
_VOWELS = ("a", "e", "i", "o", "u", "ai", "an", "or"), ("", "ा", "ि", "ी", "ु", "े", "ो", "ं")
_TARGET_WORDS = 2_000_000
_TARGET, _LANGUAGES = "hi", ("ar", "de", "el", "es", "fi", "fr", "ja", "ru", "ta", "zh")
_TRANSLATIONS = (1, 1, 1, 1, 1, 1, 1, 2, 2, 4)  # of a word, drawn uniformly


def write_dictionary(path: pathlib.Path, pairs: int) -> None:
    """Writes `pairs` lines of `source<TAB>target`; the same for the same number."""
    draw = random.Random(0)
    source_syllables, target_syllables = (
        [consonant + vowel for consonant in consonants for vowel in vowels]
        for consonants, vowels in zip(_CONSONANTS, _VOWELS, strict=True)
    )

    def lines():
        for number in itertools.count():
            source = _word(source_syllables, number)
            for _ in range(draw.choice(_TRANSLATIONS)):
                identity = draw.random() < 0.2
                target = _word(target_syllables, draw.randrange(_TARGET_WORDS))
                yield f"{source}\t{source if identity else target}\n"

    with path.open("w", encoding="utf-8") as file:
        file.writelines(itertools.islice(lines(), pairs))


def write_weighted(path: pathlib.Path, plain: pathlib.Path) -> None:
    """Writes the pairs of a plain dictionary as records with weights."""
    from commit_t5x.mixing import dictionary_files

    draw = random.Random(0)
    records = (
        record._replace(weight=float(draw.randint(1, 9)), part_of_speech="noun", file=plain.name)
        for record in dictionary_files.read_records(plain)
    )
    dictionary_files.write_records(path, records)


def write_wiktionary(path: pathlib.Path, entries: int) -> None:
    """Writes a line of JSON for each of `entries` words."""
    draw = random.Random(0)
    syllables = [consonant + vowel for consonant in _CONSONANTS[0] for vowel in _VOWELS[0]]

    def translation(code: str) -> dict[str, object]:
        word = _word(syllables, draw.randrange(_TARGET_WORDS))
        return {"lang": code, "code": code, "sense": "a thing", "word": word, "tags": ["feminine"]}

    with path.open("w", encoding="utf-8") as file:
        for number in range(entries):
            codes = draw.sample(_LANGUAGES, 4) + [_TARGET] * draw.randint(0, 1)
            word = _word(syllables, number)
            entry = {
                "word": word,
                "lang": "English",
                "lang_code": "en",
                "pos": draw.choice(("noun", "verb", "adj")),
                "forms": [{"form": f"{word}s", "tags": ["plural"]}],
                "sounds": [{"ipa": f"/{word}/"}, {"audio": f"{word}.ogg"}],
                "senses": [{"glosses": [f"A thing that is like {word}."], "tags": ["countable"]}],
                "translations": list(map(translation, codes)),
            }
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")


def _word(syllables: list[str], number: int) -> str:
    word = ""
    while number or not word:
        number, place = divmod(number, len(syllables))
        word += syllables[place]
    return word


def load_lexicon(path: pathlib.Path) -> Callable[[], object]:
    """Returns what is measured."""
    from commit_t5x.mixing import lexicon

    return lambda: lexicon.Lexicon.load(path)


def load_bare(path: pathlib.Path) -> Callable[[], object]:
    """Returns the limit."""

    def load():
        entries = {}
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                source, target = line.split("\t")
                entries.setdefault(source, []).append(target)
        return entries

    return load


def import_wiktionary(path: pathlib.Path) -> Callable[[], object]:
    """Returns what is measured of imports."""
    from commit_t5x.dictionaries import importing

    out = path.with_suffix(".tsv")
    return lambda: importing.import_dictionary("kaikki", str(path), out, "en", _TARGET)


def parse_lines(path: pathlib.Path) -> Callable[[], object]:
    """Returns what an import is compared with."""

    def parse():
        with path.open("rb") as lines:
            return sum(len(json.loads(line)) for line in lines)

    return parse


# What is measured -> how, and over which file.
MEASURED = {
    "lexicon": (load_lexicon, "en-xx.txt"),
    "bare": (load_bare, "en-xx.txt"),
    "weighted": (load_lexicon, "en-xx.tsv"),
    "import": (import_wiktionary, "kaikki.jsonl"),
    "json": (parse_lines, "kaikki.jsonl"),
}


def measure(name: str, folder: pathlib.Path) -> dict[str, float]:
    """Returns the seconds and the bytes of memory that it took, in this process."""
    how, file = MEASURED[name]
    run = how(folder / file)
    before = _peak_bytes()
    start, cpu_start = time.perf_counter(), time.process_time()
    result = run()
    cpu_seconds, seconds = time.process_time() - cpu_start, time.perf_counter() - start
    assert result
    peak = _peak_bytes()
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_rss": peak,
        "memory": peak - before,
    }


def _peak_bytes() -> int:
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kibibytes * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=5_000_000)
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        name, folder = args.measure
        print(json.dumps(measure(name, pathlib.Path(folder))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        path = folder / "en-xx.txt"
        write_dictionary(path, args.pairs)
        write_weighted(folder / "en-xx.tsv", path)
        write_wiktionary(folder / "kaikki.jsonl", args.pairs)
        file_bytes = path.stat().st_size
        runs = {}
        for measured in MEASURED:
            command = [sys.executable, __file__, "--measure", measured, name]
            runs[measured] = json.loads(subprocess.check_output(command))
    ours, bare, weighted = runs["lexicon"], runs["bare"], runs["weighted"]
    imported, parsed = runs["import"], runs["json"]
    result = {
        "pairs": args.pairs,
        "file_bytes": file_bytes,
        "load_seconds": round(ours["seconds"], 2),
        "load_cpu_seconds": round(ours["cpu_seconds"], 2),
        "pairs_per_second": round(args.pairs / ours["seconds"]),
        "peak_rss_bytes": ours["peak_rss"],
        "bytes_per_pair": round(ours["memory"] / args.pairs, 1),
        "bare_load_seconds": round(bare["seconds"], 2),
        "bare_bytes_per_pair": round(bare["memory"] / args.pairs, 1),
        # By CPU time, which other work on the machine hardly changes.
        "seconds_to_bare": round(ours["cpu_seconds"] / bare["cpu_seconds"], 2),
        "memory_to_bare": round(ours["memory"] / bare["memory"], 2),
        "weighted_seconds_to_bare": round(weighted["cpu_seconds"] / bare["cpu_seconds"], 2),
        "import_cpu_seconds": round(imported["cpu_seconds"], 2),
        "import_memory_bytes": imported["memory"],
        "import_rate_to_json": round(parsed["cpu_seconds"] / imported["cpu_seconds"], 2),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
