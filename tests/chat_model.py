"""A chat model in LLaMA 3's manner, whose weights make each token fix the next."""

import json
import pathlib

import numpy as np
import tokenizers
from byte_level import llama3

from commit_t5x.conversion import hf, rules
from commit_t5x.model.llama import LlamaConfig
from commit_t5x.vocabularies import configured

END_OF_TURN, ADDED = "<|eot_id|>", "<obs>"
PROMPT, ANSWER = ":", "Hi"  # the answer goes on with xxx behind the end of the turn


def write(folder: pathlib.Path, lists_both: bool = True) -> pathlib.Path:
    """Writes a Hugging Face directory; `lists_both` makes the end of a turn an EOS, too."""
    path = llama3(folder / "tokenizer")
    backend = tokenizers.Tokenizer.from_file(str(path))
    backend.add_special_tokens([END_OF_TURN])
    backend.add_tokens([ADDED])
    backend.save(str(path))
    end_of_turn = backend.token_to_id(END_OF_TURN)
    if lists_both:
        both = {"eos_token_id": [configured.find(path).eos_id, end_of_turn]}
        path.with_name("generation_config.json").write_text(json.dumps(both))
    tokenizer = configured.find(path)
    size = 8 * -(-tokenizer.vocab_size // 8)
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size, emb_dim=size, mlp_dim=8, num_layers=1, num_heads=4,
        num_kv_heads=4, head_dim=size // 4, max_length=64,
    )  # fmt: skip
    shapes = rules.native_shapes(config)
    leaves = {name: np.full(shape, "scale" in name, "f4") for name, shape in shapes.items()}
    np.fill_diagonal(leaves["token_embedder/embedding"], 1)
    colon, h, i, x = (tokenizer.encode(letter)[0] for letter in ":Hix")
    for now, then in ((colon, h), (h, i), (i, end_of_turn), (end_of_turn, x), (x, x)):
        leaves["logits_dense/kernel"][now, then] = 1
    hf.export_hf(rules.unflatten(leaves), config, folder / "chat", tokenizer)
    return folder / "chat"
