"""`commit-t5x convert`: checkpoints from one format to another."""

import argparse

_DESCRIPTION = """Convert a checkpoint between the native format, which is T5X's, and others.
It moves one tensor at a time: a model larger than the memory is no problem."""
_EXAMPLE = """formats:
  hf      Hugging Face model directory (safetensors; .bin files with the extra `convert`)
  native  our model directory, or one of its checkpoint_N: Orbax, as T5X writes it
  easylm  EasyLM's streaming msgpack, params::FILE; read only
  meta    Meta's consolidated.*.pth and params.json (extra `convert`); read only
  gguf    llama.cpp's file; read only
  peft    PEFT's adapter, from and to a native checkpoint of low-rank factors

examples:
  commit-t5x convert --to native llama7b_hf llama7b
  commit-t5x convert --to hf --dtype bfloat16 --verify out export
  commit-t5x convert --from easylm --config 7b --to native params::llama.easylm llama7b
  commit-t5x convert --to peft --base huggyllama/llama-7b out adapter
  commit-t5x convert --from peft --to native --base llama7b adapter imported"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags."""
    from commit_t5x.conversion import arrays, formats

    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--from",
        dest="source_format",
        choices=formats.READABLE,
        help="format of SRC (default: what SRC looks like)",
    )
    parser.add_argument("--to", required=True, choices=formats.WRITABLE)
    parser.add_argument("src", metavar="SRC", help="file or directory to read")
    parser.add_argument("dst", metavar="DST", help="directory to write")
    parser.add_argument(
        "--config",
        metavar="NAME|FILE",
        help="the model, where SRC doesn't say: a preset such as 7b, or a config.json",
    )
    parser.add_argument(
        "--tokenizer",
        metavar="FILE",
        help="SentencePiece model or tokenizer.json to carry along (default: SRC's)",
    )
    parser.add_argument(
        "--max-length",
        type=int,
        metavar="N",
        help="tokens of context (default: what SRC says; Meta's files don't, see its note)",
    )
    parser.add_argument(
        "--dtype",
        default="float32",
        choices=arrays.DTYPES,
        help="of exported weights; native ones are float32",
    )
    parser.add_argument(
        "--max-shard-size",
        metavar="SIZE",
        default=formats.SHARD_SIZE,
        help="of an exported weight file",
    )
    parser.add_argument(
        "--base",
        metavar="DIR|NAME",
        help="that a PEFT adapter belongs to: our checkpoint (--from peft), or the Hugging Face "
        "name that it is to give (--to peft)",
    )
    parser.add_argument(
        "--quantized-base",
        action="store_true",
        help="merge low-rank factors into the base as training had it (default: as it is)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace DST")
    parser.add_argument(
        "--dry-run", action="store_true", help="print what becomes of each tensor, write nothing"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="compare the logits with transformers' (extra `convert`)",
    )


def main(args: argparse.Namespace) -> None:
    """Runs the command; raises InputError on bad input."""
    from commit_t5x import conversion
    from commit_t5x.engine import host_memory

    host_memory.keep_freed()
    conversion.convert(**vars(args))
    if not args.dry_run:
        print(f"Wrote {args.dst}")
