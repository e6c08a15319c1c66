"""`python -m commit_t5x.infer` is `commit-t5x infer`, as T5X's users type it."""

import sys

from commit_t5x import cli

if __name__ == "__main__":
    sys.exit(cli.entry_point("infer"))
