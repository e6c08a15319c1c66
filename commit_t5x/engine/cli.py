"""`commit-t5x train`, `eval` and `infer`: runs by gin files."""

import argparse
from collections.abc import Sequence

from commit_t5x.engine import gin_utils, host_memory

_TRAIN_EXAMPLE = """\
example:
  commit-t5x train --gin_file=main_results/commit.gin --gin_file=models/debug.gin \\
    --gin.MODEL_DIR="'out'" --gin.LANGUAGE="'hi'" --gin.DICT_DIR="'muse'" \\
    --gin.TOKENIZER="'tokenizer.model'" --gin.ALPACA_PATH="'alpaca.jsonl'"
"""
_EVAL_EXAMPLE = """\
example:
  commit-t5x eval --gin_file=evaluation/xquad.gin --gin.CHECKPOINT_PATH="'out'" \\
    --gin.EVAL_OUTPUT_DIR="'out/eval'" --gin.LANGUAGE="'hi'" --gin.XQUAD_PATH="'xquad'"
"""
_INFER_EXAMPLE = """\
example:
  commit-t5x infer --gin_file=evaluation/infer.gin --gin.CHECKPOINT_PATH="'out'" \\
    --gin.INPUT_PATH="'prompts.txt'" --gin.INFER_OUTPUT_DIR="'out/infer'"

Network and tokenizer are the checkpoint's. Without INFER_OUTPUT_DIR the answers go to standard
output, as JSON lines. INPUT_PATH="'-'" reads standard input, a prompt a line. INSTRUCTIONS=True
puts each into the prompt of training. TEMPERATURE, TOP_K, TOP_P and SEED draw answers instead of
taking the likeliest tokens.
"""
_INTERACTIVE = "--interactive"


def train(argv: Sequence[str]) -> None:
    """Trains; raises InputError on bad input."""
    host_memory.keep_freed()
    gin_utils.run(
        argv,
        "commit_t5x.engine.train.train",
        prog="commit-t5x train",
        description="Trains by gin files.",
        epilog=_TRAIN_EXAMPLE,
    )


def evaluate(argv: Sequence[str]) -> None:
    """Scores a checkpoint; raises InputError on bad input."""
    host_memory.keep_freed()
    gin_utils.run(
        argv,
        "commit_t5x.engine.eval.evaluate",
        prog="commit-t5x eval",
        description="Scores a checkpoint on a SeqIO task.",
        epilog=_EVAL_EXAMPLE,
    )


def infer(argv: Sequence[str]) -> None:
    """Lets a checkpoint answer; raises InputError on bad input."""
    host_memory.keep_freed()
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument(_INTERACTIVE, action="store_true", help="answer what is typed at the terminal")
    gin_utils.run(
        [*argv, *(["--gin.INTERACTIVE=True"] if _INTERACTIVE in argv else [])],
        "commit_t5x.engine.infer.infer",
        prog="commit-t5x infer",
        description="Lets a checkpoint answer the prompts of a task, a file, or a user.",
        epilog=_INFER_EXAMPLE,
        parents=[own],
    )
