"""The tokenizer inside a GGUF file, by way of the files that other tools know."""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import tokenizers
from sentencepiece import sentencepiece_model_pb2 as model_pb2
from tokenizers import decoders, models, pre_tokenizers, processors

from commit_t5x.errors import InputError
from commit_t5x.vocabularies import configured, special_tokens
from commit_t5x.vocabularies.tokenizer import Tokenizer

_CONTROL, _USER_DEFINED, _BYTE = 3, 4, 6  # token types, the same as SentencePiece's
_LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# How text is cut before merging, by llama.cpp's name for it.
_CUTS = {
    "gpt-2": lambda: [pre_tokenizers.ByteLevel(add_prefix_space=False)],
    "smollm": lambda: [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ],
    "llama-bpe": lambda: [
        pre_tokenizers.Split(tokenizers.Regex(_LLAMA3_WORDS), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ],
}
# LLaMA 3 takes a word that is a token as that token, whatever the merges make of it, and puts BOS
# first.
_LLAMA3 = ("llama-bpe", "llama3", "llama-v3")
_CUTS |= dict.fromkeys(_LLAMA3, _CUTS["llama-bpe"])


def read(path: pathlib.Path, metadata: Mapping[str, Any], max_length: int) -> Tokenizer | None:
    """Returns the tokenizer; None if the GGUF holds none.

    Its files are those of byte-level BPE ("gpt2"), tokenizer.json and tokenizer_config.json, or of
    a SentencePiece model ("llama"), tokenizer.model.

    Args:
      path: of the GGUF file.
      metadata: its values by key.
      max_length: of the model's context, in tokens.

    Raises:
      InputError: the tokenizer is of another kind, or cuts text in a way that isn't known here.
    """
    fields = {
        key.removeprefix("tokenizer.ggml."): value
        for key, value in metadata.items()
        if key.startswith("tokenizer.ggml.")
    }
    kind = fields.get("model")
    if kind is None:
        return None
    if kind not in ("llama", "gpt2"):
        raise InputError(f"tokenizer.ggml.model '{kind}' can't be read; {_REMEDY}")
    if kind == "llama":
        fields = {"bos_token_id": 1, "eos_token_id": 2} | fields
    try:
        name, content = (
            ("tokenizer.model", _sentencepiece(fields))
            if kind == "llama"
            else ("tokenizer.json", _byte_level(fields).to_str().encode())
        )
        config = _config(fields, metadata.get("tokenizer.chat_template"), max_length)
    except KeyError as error:
        raise InputError(f"tokenizer.ggml.{error.args[0]} is missing; {_REMEDY}") from error
    # Where a chat model ends its turns and messages.
    ends = ("eos_token_id", "eot_token_id", "eom_token_id")
    generation = {"eos_token_id": list(dict.fromkeys(fields[end] for end in ends if end in fields))}
    files = {
        name: content,
        special_tokens.CONFIG: special_tokens.to_json(config),
        special_tokens.GENERATION: special_tokens.to_json(generation),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            pathlib.Path(folder, name).write_bytes(content)
        tokenizer = configured.find(folder)
    tokenizer.path = path
    return tokenizer


_REMEDY = "pass the tokenizer of the original model, --tokenizer=DIR/tokenizer.json"


def _sentencepiece(fields: Mapping[str, Any]) -> bytes:
    tokens, types = fields["tokens"], fields["token_type"]
    model = model_pb2.ModelProto()
    for token, score, kind in zip(tokens, fields["scores"], types, strict=True):
        model.pieces.add(piece=token, score=score, type=kind)
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    trainer.model_type = trainer.BPE
    trainer.vocab_size = len(tokens)
    trainer.byte_fallback = _BYTE in types
    for name, default in (("unk", 0), ("bos", 1), ("eos", 2)):
        key = "unknown_token_id" if name == "unk" else f"{name}_token_id"
        id_ = fields.get(key, default)
        setattr(trainer, f"{name}_id", id_)
        setattr(trainer, f"{name}_piece", tokens[id_])
    trainer.pad_id = -1
    normalizer.name = "identity"
    normalizer.add_dummy_prefix = fields.get("add_space_prefix", True)
    normalizer.remove_extra_whitespaces = fields.get("remove_extra_whitespaces", False)
    normalizer.escape_whitespaces = True
    return model.SerializeToString()


def _byte_level(fields: Mapping[str, Any]) -> tokenizers.Tokenizer:
    cut = fields.get("pre")
    if cut not in _CUTS:
        raise InputError(f"tokenizer.ggml.pre '{cut}' is not among {', '.join(_CUTS)}; {_REMEDY}")
    tokens = fields["tokens"]
    tokenizer = tokenizers.Tokenizer(
        models.BPE(
            vocab={token: index for index, token in enumerate(tokens)},
            merges=[tuple(merge.split(" ")) for merge in fields["merges"]],
            ignore_merges=cut in _LLAMA3,
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(_CUTS[cut]())
    tokenizer.decoder = decoders.ByteLevel()
    typed = list(zip(tokens, fields["token_type"], strict=True))
    for kind, is_special in ((_CONTROL, True), (_USER_DEFINED, False)):
        added = [token for token, its in typed if its == kind]
        tokenizer.add_tokens(
            [tokenizers.AddedToken(t, special=is_special, normalized=False) for t in added]
        )
    if fields.get("add_bos_token", cut in _LLAMA3):
        bos = tokens[fields["bos_token_id"]]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A",
            pair=f"{bos} $A {bos}:1 $B:1",
            special_tokens=[(bos, fields["bos_token_id"])],
        )
    return tokenizer


def _config(fields: Mapping[str, Any], template: str | None, max_length: int) -> dict[str, Any]:
    tokens = fields["tokens"]
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[fields["bos_token_id"]],
        "eos_token": tokens[fields["eos_token_id"]],
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_length,
    }
    for name, key in (("unk_token", "unknown_token_id"), ("pad_token", "padding_token_id")):
        if key in fields:
            config[name] = tokens[fields[key]]
    return config | ({"chat_template": template} if template else {})
