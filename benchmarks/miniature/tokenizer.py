"""Trains the miniature's tokenizer on what world.py wrote.

  python benchmarks/miniature/tokenizer.py WORLD TOKENIZER.model

A SentencePiece BPE model as LLaMA's: byte fallback, digits apart, no normalisation, unk 0, bos 1,
eos 2. Of the target language it sees the little that the base reads, so that words of that language
fall into pieces, as they do for a real model.
"""

import argparse
import json
import pathlib
from collections.abc import Iterator

import sentencepiece

from commit_t5x.data import templates


def _texts(world: pathlib.Path) -> Iterator[str]:
    for line in (world / "pretraining.jsonl").open(encoding="utf-8"):
        yield json.loads(line)["text"]
    prompts = templates.get_prompts("en")
    for line in (world / "alpaca.jsonl").open(encoding="utf-8"):
        yield prompts.choose(json.loads(line)).render(json.loads(line)).text


def train(world: pathlib.Path, output: pathlib.Path, vocab_size: int = 1100) -> None:
    """Trains the tokenizer and writes it to `output`."""
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(line for text in _texts(world) for line in text.split("\n") if line),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            byte_fallback=True,
            character_coverage=1.0,
            split_digits=True,
            normalization_rule_name="identity",
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            num_threads=1,
            minloglevel=1,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("world", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    args = parser.parse_args()
    train(args.world, args.output)
