"""Loads a dictionary of millions of pairs and prints, as JSON, how long it took and what it held.

The dictionary is made up: words of syllables, one to four translations each, a fifth of the pairs
identity pairs, as in MUSE files. Each measurement runs in a process of its own. Beside
`Lexicon.load` stands the machine's limit, the least that any reader of such a file does: split
each line at its tab, into a dict of lists.

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


LOADERS = {"lexicon": load_lexicon, "bare": load_bare}


def measure(loader: str, path: pathlib.Path) -> dict[str, float]:
    """Returns the seconds and the bytes of memory that loading took, in this process."""
    load = LOADERS[loader](path)
    before = _peak_bytes()
    start, cpu_start = time.perf_counter(), time.process_time()
    loaded = load()
    cpu_seconds, seconds = time.process_time() - cpu_start, time.perf_counter() - start
    assert loaded
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
    parser.add_argument("--measure", nargs=2, metavar=("LOADER", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        loader, file = args.measure
        print(json.dumps(measure(loader, pathlib.Path(file))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "en-xx.txt"
        write_dictionary(path, args.pairs)
        file_bytes = path.stat().st_size
        runs = {}
        for loader in LOADERS:
            command = [sys.executable, __file__, "--measure", loader, str(path)]
            runs[loader] = json.loads(subprocess.check_output(command))
    ours, bare = runs["lexicon"], runs["bare"]
    result = {
        "pairs": args.pairs,
        "file_bytes": file_bytes,
        "load_seconds": round(ours["seconds"], 2),
        "pairs_per_second": round(args.pairs / ours["seconds"]),
        "peak_rss_bytes": ours["peak_rss"],
        "bytes_per_pair": round(ours["memory"] / args.pairs, 1),
        "bare_load_seconds": round(bare["seconds"], 2),
        "bare_bytes_per_pair": round(bare["memory"] / args.pairs, 1),
        # By CPU time, which other work on the machine hardly changes.
        "seconds_to_bare": round(ours["cpu_seconds"] / bare["cpu_seconds"], 2),
        "memory_to_bare": round(ours["memory"] / bare["memory"], 2),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
