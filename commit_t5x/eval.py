"""`commit-t5x eval`, or `python -m commit_t5x.eval`: scores a checkpoint on a SeqIO task."""

import sys
from collections.abc import Sequence

from commit_t5x.engine import gin_utils

_EXAMPLE = """\
example:
  commit-t5x eval --gin_file=evaluation/xquad.gin --gin_file=models/debug.gin \\
    --gin.CHECKPOINT_PATH="'out'" --gin.EVAL_OUTPUT_DIR="'out/eval'" \\
    --gin.LANGUAGE="'hi'" --gin.XQUAD_PATH="'xquad'" --gin.TOKENIZER="'tokenizer.model'"
"""


def main(argv: Sequence[str]) -> None:
    """Runs the command with its arguments; raises InputError on bad input."""
    gin_utils.run(
        argv,
        "commit_t5x.engine.eval.evaluate",
        prog="commit-t5x eval",
        description="Scores a checkpoint on a SeqIO task.",
        epilog=_EXAMPLE,
    )


if __name__ == "__main__":
    from commit_t5x import cli

    sys.exit(cli.entry_point("eval"))
