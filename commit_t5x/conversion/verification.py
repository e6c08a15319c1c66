"""`convert --verify`: our network's logits beside those of transformers on the same weights."""

import dataclasses
import pathlib
import tempfile
from typing import Any

import jax
import numpy as np

from commit_t5x.conversion import arrays, formats, hf, native_names, pytorch_files, rules, stream
from commit_t5x.conversion.formats import Header, Source
from commit_t5x.errors import InputError
from commit_t5x.model import llama

TOLERANCE = 1e-3  # absolute, in fp32
_LENGTHS = (1, 16, 64, 64)


def run(source: Source, target_format: str, written: pathlib.Path, header: Header) -> None:
    """Compares, and prints the largest difference.

    Our network takes what was written, or the source if that is transformers' side.

    Args:
      source: what was converted.
      target_format: a key of FORMATS.
      written: the directory with the result.
      header: of the result.

    Raises:
      InputError: the difference is beyond TOLERANCE.
    """
    if target_format == "hf":
        params = _rounded(native_names.load(source), header.dtype)
        difference = compare(params, source.config, written)
    else:
        params = native_names.load(formats.module(target_format).read(written))
        with tempfile.TemporaryDirectory(dir=written.parent) as folder:
            exported = pathlib.Path(folder)
            plain = dataclasses.replace(header, tokenizer=None)
            with hf.write(exported, rules.shapes(hf.RULES, source.config), plain) as put:
                stream.copy(source, stream.plan(source, hf.RULES), put, header.dtype)
            difference = compare(params, source.config, exported)
    print(
        f"verify: the logits differ by at most {difference:.1e} from transformers' "
        f"(tolerance {TOLERANCE:.0e})"
    )
    if not difference <= TOLERANCE:
        raise InputError(
            f"--verify: the logits differ by {difference:.1e} from transformers', more than "
            f"{TOLERANCE:.0e}; nothing was written"
        )


def compare(params: Any, config: llama.LlamaConfig, directory: pathlib.Path) -> float:
    """Returns the largest difference of logits on a few prompts of random tokens, in fp32.

    Args:
      params: our network's weights.
      config: of the network.
      directory: a Hugging Face model.
    """
    torch = pytorch_files.require_torch("--verify")
    import transformers

    prompts = _prompts(config)
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    with torch.no_grad():
        theirs = [model(torch.tensor(prompt)).logits.numpy() for prompt in prompts]
    del model  # two sets of weights in memory are enough
    network = jax.jit(llama.Llama(config).apply, static_argnames="enable_dropout")
    differences = [
        np.max(
            np.abs(np.asarray(network({"params": params}, prompt, enable_dropout=False)) - logits)
        )
        for prompt, logits in zip(prompts, theirs, strict=True)
    ]
    return float(np.max(differences))


def _prompts(config: llama.LlamaConfig) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    lengths = [min(length, config.max_length) for length in _LENGTHS]
    return [rng.integers(0, config.vocab_size, (1, length)) for length in lengths]


def _rounded(params: Any, dtype: str) -> Any:
    """Returns the weights as they are after a stay in a file of this dtype."""
    return jax.tree.map(lambda leaf: leaf.astype(arrays.DTYPES[dtype]).astype(np.float32), params)
