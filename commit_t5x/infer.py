"""`commit-t5x infer`, or `python -m commit_t5x.infer`: lets a checkpoint answer."""

import sys
from collections.abc import Sequence

_EXAMPLE = """\
example:
  commit-t5x infer --gin_file=evaluation/infer.gin --gin_file=models/debug.gin \\
    --gin.CHECKPOINT_PATH="'out'" --gin.INPUT_PATH="'prompts.txt'" \\
    --gin.INFER_OUTPUT_DIR="'out/infer'" --gin.TOKENIZER="'tokenizer.model'"
"""


def main(argv: Sequence[str]) -> None:
    """Runs the command with its arguments; raises InputError on bad input."""
    from commit_t5x.engine import gin_utils, infer  # here: they take seconds to load

    gin_utils.run(
        argv,
        infer.infer,
        prog="commit-t5x infer",
        description="Lets a checkpoint answer the prompts of a task or a file.",
        epilog=_EXAMPLE,
    )


if __name__ == "__main__":
    from commit_t5x import cli

    sys.exit(cli.entry_point("infer"))
