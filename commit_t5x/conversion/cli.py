"""`commit-t5x convert`: checkpoints from one format to another."""

import argparse

_DESCRIPTION = "Convert a checkpoint between the native format and Hugging Face's."
_EXAMPLE = """example:
  commit-t5x convert --from native --to hf out export
  commit-t5x convert --from hf --to native llama7b_hf llama7b"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    from commit_t5x import conversion

    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    formats = ("--from", "source_format"), ("--to", "target_format")
    for flag, destination in formats:
        parser.add_argument(flag, dest=destination, required=True, choices=conversion.FORMATS)
    parser.add_argument("src", metavar="SRC", help="directory to read")
    parser.add_argument("dst", metavar="DST", help="directory to write")
    parser.add_argument(
        "--tokenizer", metavar="FILE", help="SentencePiece model to carry along (default: SRC's)"
    )
    parser.add_argument(
        "--dtype",
        default="float32",
        choices=("float32", "bfloat16", "float16"),
        help="of exported weights; native ones are fp32",
    )
    parser.add_argument("--max-shard-size", default="5GB", help="of an exported weight file")
    parser.add_argument("--overwrite", action="store_true", help="replace DST")


def main(args: argparse.Namespace) -> None:
    """Runs the command; raises InputError on bad input."""
    from commit_t5x import conversion

    conversion.convert(**vars(args))
    print(f"Wrote {args.dst}")
