"""`commit-t5x lm-eval`: lm-eval's flags, our tasks, and one flag for local data."""

import argparse
import re
from typing import Annotated

from annotated_types import Interval

from commit_t5x import arguments, ranges

_DESCRIPTION = "Score a checkpoint, a Hugging Face export or any lm-eval model with lm-eval."
_EXAMPLE = """example:
  commit-t5x lm-eval --model_args pretrained=out --tasks ogx_xquad_hi,ogx_xquad_enhi \\
    --data-dir ../data/xquad --limit 20 --batch_size 8 --output_path out/results.json

The same export through transformers, which needs torch:
  commit-t5x lm-eval --model hf --model_args pretrained=export,add_bos_token=False,dtype=float32 ...

tasks: ogx_xquad_{ar,de,el,en,es,hi,ro,ru,th,tr,vi,zh} and ogx_mlqa_{ar,de,en,es,hi,vi,zh}, with
  English labels ogx_xquad_en{ar,...} and ogx_mlqa_en{ar,...}; on the validation split
  ogx_mlqa_hival and ogx_mlqa_enhival; ogx_xquad_xx of your own file and labels in any language xx;
  ogx_text_xx, the bits per byte of a text; and every task of lm-eval's own.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags, named as lm-eval's own command names them."""
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--model", default="commit_t5x", help="commit_t5x, or a model of lm-eval's such as hf"
    )
    parser.add_argument(
        "--tasks", required=True, type=names, metavar="TASK,...", help="names or patterns"
    )
    parser.add_argument("--device", help="of a torch model; JAX_PLATFORMS sets that of commit_t5x")
    parser.add_argument(
        "--output_path", metavar="PATH", help="a .json file, or a folder for results.json"
    )
    parser.add_argument(
        "--log_samples", action="store_true", help="keep prompts and answers beside the results"
    )
    parser.add_argument(
        "--seed",
        type=arguments.of(ranges.Seed),
        default=1234,
        help="of the choice of few-shot examples",
    )
    add_scoring_arguments(parser)


def add_scoring_arguments(parser: argparse._ActionsContainer) -> None:
    """Adds the flags that say how a model is scored, whichever model and tasks."""
    parser.add_argument(
        "--model_args",
        default="",
        metavar="KEY=VALUE,...",
        help="the model's arguments; for commit_t5x: pretrained=DIR, and add_bos, dtype, "
        "max_length, max_gen_toks, tokenizer, paper_truncation, skip_leading_newlines, seed",
    )
    parser.add_argument(
        "--data-dir",
        "--data_dir",
        metavar="DIR",
        help="folder of XQuAD's or MLQA's files, or of text; or 'samples' (default: the hub)",
    )
    parser.add_argument("--labels", metavar="FILE", help="TOML: labels for more languages")
    share = Annotated[float, Interval(gt=0, lt=1)]
    parser.add_argument(
        "--limit",
        type=arguments.of(ranges.Positive | share),
        metavar="N",
        help="questions per task, or below 1 the share of them",
    )
    parser.add_argument(
        "--num_fewshot",
        type=arguments.of(ranges.Count),
        metavar="N",
        help="examples in the prompt",
    )
    parser.add_argument(
        "--batch_size", type=_batch_size, default=1, metavar="N", help="rows of a forward pass"
    )
    parser.add_argument(
        "--gen_kwargs", default="", metavar="KEY=VALUE,...", help="such as max_gen_toks=64"
    )
    parser.add_argument("--include_path", metavar="DIR", help="a folder of further YAML tasks")


def names(text: str) -> list[str]:
    """Returns names that stand with commas between."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _batch_size(text: str) -> int | str:
    """Reads a number or what torch models find out by themselves: "auto", "auto:4"."""
    return text if re.fullmatch(r"auto(:\d+)?", text) else arguments.of(ranges.Positive)(text)


def main(args: argparse.Namespace) -> None:
    """Runs the command; raises InputError on bad input."""
    from commit_t5x.engine import host_memory
    from commit_t5x.evaluation import harness  # here: it takes a while to load

    if args.model == "commit_t5x":
        host_memory.keep_freed()
    harness.run(**vars(args))
