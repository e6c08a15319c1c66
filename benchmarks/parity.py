"""Compares a native checkpoint with transformers on the same weights, and prints JSON.

The reference is a Hugging Face directory or a GGUF file, which transformers reads (and dequantises)
by itself, in fp32. Compared are the logits of real text, row by row, and greedy continuations of
prompts, token by token. Needs the extra `torch`. Exits with 1 if the logits differ by more than the
tolerance, or a continuation differs at all.

  commit-t5x convert --from gguf --to native SmolLM2-135M-Instruct.Q4_1.gguf smollm2
  python benchmarks/parity.py smollm2 --reference SmolLM2-135M-Instruct.Q4_1.gguf
"""

import argparse
import json
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

import numpy as np

from commit_t5x import quiet

_TOLERANCE = 1e-3


def sample_texts() -> dict[str, str]:
    """Returns a text of several hundred words in each of two languages."""
    from commit_t5x import resources
    from commit_t5x.data import sources

    texts = {}
    for language in ("en", "hi"):
        examples = sources.squad_examples(resources.path("samples") / f"xquad.{language}.json")
        # Each once, though many questions share one.
        texts[language] = "\n\n".join(dict.fromkeys(example["context"] for example in examples))
    return texts


def sample_prompts(count: int) -> list[str]:
    """Returns instructions in Alpaca's template, as COMMIT trains on them."""
    from commit_t5x import resources
    from commit_t5x.data import templates

    prompts = templates.get_prompts("en")
    path = resources.path("samples") / "alpaca.jsonl"
    examples = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [prompts.choose(example).render(example).text for example in examples[:count]]


def load_reference(path: pathlib.Path):
    """Returns transformers' model, in fp32."""
    import torch
    import transformers

    where = {"gguf_file": path.name} if path.is_file() else {}
    directory = path.parent if path.is_file() else path
    model = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, **where
    )
    return model.eval()


def compare_logits(
    ours: Callable[[np.ndarray], np.ndarray],
    theirs: Callable[[np.ndarray], np.ndarray],
    rows: dict[str, Sequence[int]],
) -> dict[str, dict[str, float]]:
    """Returns the largest differences by name of the row.

    Args:
      ours, theirs: functions from ids [1, length] to logits [1, length, vocabulary].
      rows: ids by name.
    """
    compared = {}
    for name, ids in rows.items():
        mine, reference = (model(np.array([ids]))[0] for model in (ours, theirs))
        same = np.argmax(mine, axis=-1) == np.argmax(reference, axis=-1)
        compared[name] = {
            "tokens": len(ids),
            "largest_difference": float(np.abs(mine - reference).max()),
            "largest_logit": float(np.abs(reference).max()),
            "same_likeliest_token": float(np.mean(same)),
        }
    return compared


def count_identical(
    reference,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    max_new_tokens: int,
    eos_id: int,
) -> int:
    """Returns how many answers are what `generate` says to the same prompt, token by token."""
    import torch

    same = 0
    for prompt, answer in zip(prompts, answers, strict=True):
        generated = reference.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=eos_id,
            pad_token_id=eos_id,
        )
        same += generated[0, len(prompt) :].tolist() == answer
    return same


def measure(args: argparse.Namespace) -> dict[str, object]:
    """Returns the report."""
    import jax
    import torch

    from commit_t5x.conversion import native, native_names
    from commit_t5x.engine import decoding
    from commit_t5x.model import llama

    source = native.read(pathlib.Path(args.checkpoint))
    params, config, vocabulary = native_names.load(source), source.config, source.tokenizer
    module = llama.Llama(config)
    reference = load_reference(args.reference)

    @jax.jit
    def forward(params, ids):
        return module.apply({"params": params}, ids, ids, enable_dropout=False)

    def ours(ids: np.ndarray) -> np.ndarray:
        return np.asarray(forward(params, ids))

    def theirs(ids: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return reference(torch.tensor(ids)).logits.numpy()

    def encode(text: str) -> list[int]:
        return [vocabulary.bos_id, *vocabulary.encode(text)]

    rows = {name: encode(text)[: args.tokens] for name, text in sample_texts().items()}
    logits = compare_logits(ours, theirs, rows)
    prompts = [encode(text) for text in sample_prompts(args.prompts)]
    unrolled, params = decoding.unrolled(module, jax.device_put(params))
    answers = decoding.decode(unrolled, params, prompts, args.new_tokens, vocabulary.eos_id)
    same = count_identical(reference, prompts, answers, args.new_tokens, vocabulary.eos_id)
    return {
        "parameters": config.num_parameters,
        "logits": logits,
        "greedy": {
            "prompts": len(prompts),
            "identical": same,
            "tokens": sum(map(len, answers)),
            "answers": [vocabulary.decode(answer) for answer in answers[:5]],
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", help="a native model directory")
    parser.add_argument("--reference", type=pathlib.Path, required=True, metavar="DIR|FILE.gguf")
    parser.add_argument("--tokens", type=int, default=512, help="of each text")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--new-tokens", type=int, default=32, help="of each continuation, at most")
    args = parser.parse_args()
    os.environ.setdefault("TQDM_DISABLE", "1")  # transformers' bars
    quiet.silence_libraries()
    report = measure(args)
    print(json.dumps(report, indent=2, ensure_ascii=False))
    largest = max(row["largest_difference"] for row in report["logits"].values())
    all_same = report["greedy"]["identical"] == report["greedy"]["prompts"]
    return 0 if largest <= _TOLERANCE and all_same else 1


if __name__ == "__main__":
    sys.exit(main())
