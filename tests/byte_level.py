"""Small byte-level BPE tokenizers, made in the manner of SmolLM2's and LLaMA 3's."""

import functools
import json
import pathlib

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from commit_t5x import resources

SMOLLM = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]  # 0, 1, 2
LLAMA3 = ["<|begin_of_text|>", "<|end_of_text|>"]  # the last two
_LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SMOLLM_CUT = [
    pre_tokenizers.Digits(individual_digits=True),
    pre_tokenizers.ByteLevel(add_prefix_space=False),
]
_LLAMA3_CUT = [
    pre_tokenizers.Split(tokenizers.Regex(_LLAMA3_WORDS), behavior="isolated"),
    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
]


@functools.cache
def _merges(cut: str) -> str:
    """Trains merges on the shipped samples; returns the tokenizer.json of a bare tokenizer."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    cuts = _SMOLLM_CUT if cut == "smollm" else _LLAMA3_CUT
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cuts)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=SMOLLM if cut == "smollm" else [],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    samples = ("alpaca.jsonl", "wikipedia.hi.txt", "wikipedia.th.txt")
    texts = [resources.path("samples").joinpath(name).read_text("utf-8") for name in samples]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer.to_str()


def smollm(directory: pathlib.Path) -> pathlib.Path:
    """Writes a tokenizer.json and its configuration; BOS 1, EOS 2, no padding of its own."""
    tokenizer = tokenizers.Tokenizer.from_str(_merges("smollm"))
    # Such a post-processor takes the spaces out of the offsets.
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    eos = {"__type": "AddedToken", "content": SMOLLM[2]}  # a token may be written out
    config = {"bos_token": SMOLLM[1], "eos_token": eos, "unk_token": SMOLLM[0]}
    return _save(tokenizer, config, directory)


def llama3(directory: pathlib.Path) -> pathlib.Path:
    """Writes one whose token 0 is "!", and whose special tokens stand last; it puts BOS first."""
    tokenizer = tokenizers.Tokenizer.from_str(_merges("llama3"))
    tokenizer.model.ignore_merges = True
    tokenizer.add_special_tokens(LLAMA3)
    bos = LLAMA3[0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    config = {"bos_token": bos, "eos_token": LLAMA3[1], "model_max_length": 64}
    return _save(tokenizer, config, directory)


def _save(tokenizer, config, directory):
    directory.mkdir(parents=True, exist_ok=True)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **config}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory / "tokenizer.json"
