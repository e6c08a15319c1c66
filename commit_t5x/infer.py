"""`commit-t5x infer`, or `python -m commit_t5x.infer`: lets a checkpoint answer."""

import argparse
import sys
from collections.abc import Sequence

from commit_t5x.engine import gin_utils

_EXAMPLE = """\
example:
  commit-t5x infer --gin_file=evaluation/infer.gin --gin_file=models/debug.gin \\
    --gin.CHECKPOINT_PATH="'out'" --gin.TOKENIZER="'tokenizer.model'" \\
    --gin.INPUT_PATH="'prompts.txt'" --gin.INFER_OUTPUT_DIR="'out/infer'"

Without INFER_OUTPUT_DIR the answers go to standard output, as JSON lines. INPUT_PATH="'-'" reads
standard input, a prompt a line. INSTRUCTIONS=True puts each into the prompt of training.
TEMPERATURE, TOP_K, TOP_P and SEED draw answers instead of taking the likeliest tokens.
"""
_INTERACTIVE = "--interactive"


def main(argv: Sequence[str]) -> None:
    """Runs the command with its arguments; raises InputError on bad input."""
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument(_INTERACTIVE, action="store_true", help="answer what is typed at the terminal")
    gin_utils.run(
        [*argv, *(["--gin.INTERACTIVE=True"] if _INTERACTIVE in argv else [])],
        "commit_t5x.engine.infer.infer",
        prog="commit-t5x infer",
        description="Lets a checkpoint answer the prompts of a task, a file, or a user.",
        epilog=_EXAMPLE,
        parents=[own],
    )


if __name__ == "__main__":
    from commit_t5x import cli

    sys.exit(cli.entry_point("infer"))
