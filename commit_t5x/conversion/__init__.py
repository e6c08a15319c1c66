"""Checkpoints from and to other formats: one table of rules a format, which serves both ways."""

import pathlib

from commit_t5x.conversion import directories, hf
from commit_t5x.errors import InputError

FORMATS = ("hf", "native")


def convert(
    source_format: str,
    target_format: str,
    src: str | pathlib.Path,
    dst: str | pathlib.Path,
    *,
    tokenizer: str | pathlib.Path | None = None,
    dtype: str = "float32",
    max_shard_size: int | str = "5GB",
    overwrite: bool = False,
) -> None:
    """Converts a checkpoint.

    Args:
      source_format, target_format: "hf" (a Hugging Face model directory) or "native" (a model
        directory of ours, whose last checkpoint is meant, or one of its checkpoints).
      src: what to read.
      dst: directory to write; a native one becomes a model directory with weights only.
      tokenizer: SentencePiece model to carry along; by default the one that lies with `src`.
      dtype: of exported weights; native ones are always fp32.
      max_shard_size: of an exported weight file, in bytes or as "5GB".
      overwrite: replace `dst`.

    Raises:
      InputError: see `hf.export_hf` and `hf.import_hf`.

    Example:
      >>> convert("native", "hf", "runs/commit_hi", "exports/commit_hi", dtype="bfloat16")
    """
    for name in (source_format, target_format):
        if name not in FORMATS:
            raise InputError(f"format '{name}': unknown; choose from {', '.join(FORMATS)}")
    if source_format == target_format:
        raise InputError(f"{source_format} to {target_format}: nothing to convert; copy {src}")
    src, dst = pathlib.Path(src), pathlib.Path(dst)
    if not src.exists():
        raise InputError(f"{src}: no such directory; name a checkpoint to convert")
    if tokenizer is not None and not pathlib.Path(tokenizer).is_file():
        raise InputError(f"{tokenizer}: no such tokenizer; name a SentencePiece .model file")
    directories.check_free(dst, overwrite)
    # Orbax loads slowly, and only from here on is it needed.
    from commit_t5x.engine import checkpoints

    if target_format == "hf":
        params, config, found = checkpoints.restore_params(src)
        hf.export_hf(params, config, dst, tokenizer or found, dtype, max_shard_size, overwrite)
    else:
        params, config = hf.import_hf(src)
        with directories.finished(dst, overwrite) as directory:
            checkpoints.save_params(
                directory, params, config, tokenizer or _sentencepiece_model(src)
            )


def _sentencepiece_model(directory: pathlib.Path) -> pathlib.Path | None:
    path = directory / "tokenizer.model"
    return path if path.is_file() else None
