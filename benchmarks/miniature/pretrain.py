"""Makes the miniature from nothing: its world, its tokenizer, and the base that reads English.

  python benchmarks/miniature/pretrain.py miniature_out

writes OUT/world, OUT/tokenizer.model and, by `commit-t5x train` on base.gin, OUT/base; a run that
was interrupted goes on where it was. docs/miniature.md says what it takes and what comes of it.
"""

import argparse
import pathlib
import sys

import tokenizer
import world

from commit_t5x import arguments, cli, ranges

_GIN_FILE = pathlib.Path(__file__).with_name("base.gin")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0, help="of the world and of the run")
    parser.add_argument(
        "--templated",
        type=arguments.of(ranges.Share),
        default=0.0,
        help="share of the questions that the base reads in Alpaca's template (none)",
    )
    args = parser.parse_args()
    world.write(args.out / "world", world.World(args.seed), templated=args.templated)
    tokenizer.train(args.out / "world", args.out / "tokenizer.model")
    macros = {
        "MODEL_DIR": f"{args.out}/base",
        "TOKENIZER": f"{args.out}/tokenizer.model",
        "WIKIPEDIA_PATH": f"{args.out}/world/pretraining.jsonl",
        "RANDOM_SEED": args.seed,
    }
    bindings = [f"--gin.{name}={value!r}" for name, value in macros.items()]
    return cli.main(["train", f"--gin_file={_GIN_FILE}", *bindings])


if __name__ == "__main__":
    sys.exit(main())
