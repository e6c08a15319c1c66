"""Trains the miniature's tokenizer on what world.py wrote.

  python benchmarks/miniature/tokenizer.py WORLD TOKENIZER.model

It is made as the sample tokenizer is. Of the target language it sees the little that the base
reads, so that words of that language fall into pieces, as they do for a real model.
"""

import argparse
import json
import pathlib
from collections.abc import Iterator

from commit_t5x.data import templates
from commit_t5x.samples import train_tokenizer


def _texts(world: pathlib.Path) -> Iterator[str]:
    for line in (world / "pretraining.jsonl").open(encoding="utf-8"):
        yield json.loads(line)["text"]
    prompts = templates.get_prompts("en")
    for line in (world / "alpaca.jsonl").open(encoding="utf-8"):
        yield prompts.choose(json.loads(line)).render(json.loads(line)).text


def train(world: pathlib.Path, output: pathlib.Path, vocab_size: int = 1100) -> None:
    """Trains the tokenizer and writes it to `output`."""
    output.parent.mkdir(parents=True, exist_ok=True)
    train_tokenizer.train(output, _texts(world), vocab_size)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("world", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    args = parser.parse_args()
    train(args.world, args.output)
