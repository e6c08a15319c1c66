"""`commit-t5x train`, or `python -m commit_t5x.train`: trains by gin files."""

import sys
from collections.abc import Sequence

from commit_t5x.engine import gin_utils

_EXAMPLE = """\
example:
  commit-t5x train --gin_file=main_results/commit.gin --gin_file=models/debug.gin \\
    --gin.MODEL_DIR="'out'" --gin.LANGUAGE="'hi'" --gin.DICT_DIR="'muse'" \\
    --gin.TOKENIZER="'tokenizer.model'" --gin.ALPACA_PATH="'alpaca.jsonl'"
"""


def main(argv: Sequence[str]) -> None:
    """Runs the command with its arguments; raises InputError on bad input."""
    gin_utils.run(
        argv,
        "commit_t5x.engine.train.train",
        prog="commit-t5x train",
        description="Trains by gin files.",
        epilog=_EXAMPLE,
    )


if __name__ == "__main__":
    from commit_t5x import cli

    sys.exit(cli.entry_point("train"))
