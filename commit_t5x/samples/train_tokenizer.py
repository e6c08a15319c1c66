"""Trains the sample tokenizer on the sample texts: `python -m commit_t5x.samples.train_tokenizer`.

A SentencePiece BPE model as LLaMA's: byte fallback, digits apart, no normalisation, unk 0, bos 1,
eos 2. The same texts and release of sentencepiece give the same model.
"""

import argparse
import itertools
import pathlib
from collections.abc import Iterable, Iterator

import sentencepiece

from commit_t5x import resources
from commit_t5x.data import records, sources, templates

_VOCAB_SIZE = 3000
_LANGUAGES = ("el", "hi", "th")


def _texts() -> Iterator[str]:
    samples = resources.path("samples")
    for _, example in records.read_records(samples / "alpaca.jsonl"):
        prompt = templates.get_prompts("en").choose(example).render(example)
        yield prompt.text + example["output"]
    for language in _LANGUAGES:
        for _, document in records.read_records(samples / f"wikipedia.{language}.txt"):
            yield document["text"]
    for language in ("en", *_LANGUAGES):
        for example in sources.squad_examples(samples / f"xquad.{language}.json"):
            yield "\n".join((example["context"], example["question"], *example["answers"]))


def train(
    path: pathlib.Path, texts: Iterable[str] | None = None, vocab_size: int = _VOCAB_SIZE
) -> None:
    """Trains a tokenizer, of the sample texts if no others are given, and writes it to `path`."""
    # SentencePiece trains on lines.
    texts = _texts() if texts is None else texts
    lines = itertools.chain.from_iterable(text.split("\n") for text in texts)
    with path.open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=filter(None, lines),
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
    default = resources.path("samples") / "tokenizer.model"
    parser.add_argument("--output", type=pathlib.Path, default=default)
    train(parser.parse_args().output)
