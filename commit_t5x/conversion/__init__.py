"""Checkpoints from and to other formats: one table of rules a format, which serves both ways."""

import dataclasses
import pathlib
import shutil

from commit_t5x import disk, ranges, signatures
from commit_t5x.conversion import formats, plan_table, rules, stream
from commit_t5x.conversion.formats import FORMATS, Header, Source
from commit_t5x.errors import InputError
from commit_t5x.model import config_files
from commit_t5x.vocabularies import configured


def convert(
    src: str | pathlib.Path,
    dst: str | pathlib.Path,
    *,
    to: str,
    source_format: str | None = None,
    config: str | pathlib.Path | None = None,
    tokenizer: str | pathlib.Path | None = None,
    max_length: ranges.Positive | None = None,
    dtype: str = "float32",
    max_shard_size: int | str = "5GB",
    overwrite: bool = False,
    dry_run: bool = False,
    verify: bool = False,
) -> None:
    """Converts a checkpoint, one tensor at a time.

    Args:
      src: file or directory to read.
      dst: directory to write; a native one becomes a model directory with weights only.
      to: the format to write, "hf" or "native".
      source_format: a key of FORMATS; None finds it out.
      config: of the model, where the source has none: a preset's name, or a config.json of
        Hugging Face's, or a model_config.json of ours.
      tokenizer: to carry along, a SentencePiece model, a tokenizer.json or a directory with one; by
        default what lies with `src`.
      max_length: of the model's context, in tokens; by default what the source says.
      dtype: of exported weights; native ones are always fp32.
      max_shard_size: of an exported weight file, in bytes or as "5GB".
      overwrite: replace `dst`, once the new one is complete.
      dry_run: print what would be done, and write nothing.
      verify: compare the logits with transformers', print the largest difference, and leave
        nothing behind if it is too large.

    Raises:
      InputError: an option or the source is bad, the disk is full, or the logits differ.

    Example:
      >>> convert("runs/commit_hi", "exports/commit_hi", to="hf", dtype="bfloat16")
    """
    signatures.check(convert, locals())
    src, dst = pathlib.Path(src), pathlib.Path(dst)
    target = formats.module(to)
    if not FORMATS[to].writable:
        raise InputError(
            f"format '{to}': can't be written; choose from {', '.join(formats.WRITABLE)}"
        )
    if source_format is None:
        source_format = formats.detect(src)
    if source_format == to:
        raise InputError(f"{source_format} to {to}: nothing to convert; copy {src}")
    if not dry_run:
        disk.check_free(dst, overwrite)
        if src.exists():  # easylm's carry a prefix
            disk.check_apart("DST", dst, src, *src.resolve().parents)
    if dtype != "float32" and not FORMATS[to].half:
        raise InputError(f"dtype '{dtype}': {to} weights are always float32")
    if verify:
        from commit_t5x.conversion import verification

        verification.require()
    source = open_source(source_format, src, config)
    if tokenizer is not None:
        source = dataclasses.replace(source, find_tokenizer=lambda: configured.load(tokenizer))
    if max_length is not None:
        longer = dataclasses.replace(source.config, max_length=max_length)
        source = dataclasses.replace(source, config=longer)
    header = Header.checked(source.config, source.tokenizer, dtype, max_shard_size)
    transfers = stream.plan(source, target.RULES)
    if dry_run:
        print(plan_table.render(source, transfers, dtype))
        return
    _check_space(dst, transfers, dtype)
    with disk.finished(dst, overwrite) as directory:
        directory.mkdir()
        shapes = rules.shapes(target.RULES, source.config)
        with target.write(directory, shapes, header) as put:
            stream.copy(source, transfers, put, dtype)
        if verify:
            verification.run(source, to, directory, header)
    if source.tokenizer is None:
        print(f"note: {src} has no tokenizer, so {dst} has none; --tokenizer FILE brings one along")
    for note in source.notes:
        print(f"note: {note}")


def open_source(
    name: str, src: str | pathlib.Path, config: str | pathlib.Path | None = None
) -> Source:
    """Opens a checkpoint for reading; arguments as of `convert`.

    Raises:
      InputError: there is no such format or file, or it isn't of this format.
    """
    module, src = formats.module(name), pathlib.Path(src)
    formats.check_exists(src)
    if config is None:
        return module.read(src)
    if not FORMATS[name].takes_config:
        raise InputError(f"--config: {name} checkpoints carry their own; leave it out")
    return module.read(src, config_files.load(config))


def _check_space(dst: pathlib.Path, transfers: list[stream.Transfer], dtype: str) -> None:
    """Raises InputError where the weights won't fit on the disk, before any work is done."""
    place = next(parent for parent in dst.absolute().parents if parent.exists())
    needed, free = stream.total_bytes(transfers, dtype), shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"{dst}: the weights take {needed / 1e6:,.1f} MB and {place} has {free / 1e6:,.1f} MB "
            "left; free some space, or choose another place"
        )
