"""Checkpoints from and to other formats: one table of rules a format, which serves both ways."""

import dataclasses
import pathlib
import shutil

from commit_t5x import disk, ranges, signatures
from commit_t5x.conversion import formats, plan_table, pytorch_files, rules, stream
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
    max_shard_size: int | str = formats.SHARD_SIZE,
    overwrite: bool = False,
    dry_run: bool = False,
    verify: bool = False,
    base: str | pathlib.Path | None = None,
    quantized_base: bool = False,
) -> None:
    """Converts a checkpoint, one tensor at a time.

    Args:
      src: file or directory to read.
      dst: directory to write; a native one becomes a model directory with weights only.
      to: the format to write, "hf", "native" or "peft".
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
      base: that a PEFT adapter belongs to: from one, our checkpoint; to one, the name that the
        adapter gives Hugging Face's model.
      quantized_base: low-rank factors are merged into the base as training had it, in BASE_DTYPE;
        by default into the base's own weights.

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
        _check_apart(dst, src, config, tokenizer, base)
    if dtype != "float32" and not FORMATS[to].half:
        raise InputError(f"dtype '{dtype}': {to} weights are always float32")
    if "peft" in (source_format, to):
        given = {"config": config, "tokenizer": tokenizer, "max_length": max_length}
        given |= {"dry_run": dry_run, "verify": verify, "quantized_base": quantized_base}
        given |= {"max_shard_size": max_shard_size != formats.SHARD_SIZE}
        if name := next((name for name, value in given.items() if value), None):
            flag = name.replace("_", "-")
            raise InputError(f"--{flag}: is not for PEFT's adapters; leave it out")
        _convert_adapter(source_format, to, src, dst, str(base) if base else None, overwrite)
        return
    if base is not None:
        raise InputError("--base: is for PEFT's adapters alone; leave it out")
    if verify:
        pytorch_files.require_torch("--verify")
    source = open_source(source_format, src, config, quantized_base)
    if not dry_run:
        _check_apart(dst, *source.bases)
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
            from commit_t5x.conversion import verification  # here: others need none of it

            verification.run(source, to, directory, header)
    if source.tokenizer is None:
        print(f"note: {src} has no tokenizer, so {dst} has none; --tokenizer FILE brings one along")
    for note in source.notes:
        print(f"note: {note}")


def _convert_adapter(
    source_format: str,
    to: str,
    src: pathlib.Path,
    dst: pathlib.Path,
    base: str | None,
    overwrite: bool,
) -> None:
    from commit_t5x.conversion import peft  # here: others need none of it

    if {source_format, to} != {"peft", "native"}:
        raise InputError(
            f"{source_format} to {to}: PEFT's adapters are converted from and to native "
            "checkpoints of low-rank factors; go by way of those"
        )
    if source_format == "peft":
        peft.import_adapter(src, dst, base, overwrite)
        return
    for note in peft.export(src, dst, base, overwrite):
        print(f"note: {note}")


def open_source(
    name: str,
    src: str | pathlib.Path,
    config: str | pathlib.Path | None = None,
    quantized_base: bool = False,
) -> Source:
    """Opens a checkpoint for reading; arguments as of `convert`.

    Raises:
      InputError: there is no such format or file, or it isn't of this format.
    """
    module, src = formats.module(name), pathlib.Path(src)
    formats.check_exists(src)
    options = {"quantized_base": True} if quantized_base else {}
    if quantized_base and name != "native":
        raise InputError(f"--quantized-base: {name} checkpoints have no such base; leave it out")
    if config is None:
        return module.read(src, **options)
    if not FORMATS[name].takes_config:
        raise InputError(f"--config: {name} checkpoints carry their own; leave it out")
    return module.read(src, config_files.load(config), **options)


def _check_apart(dst: pathlib.Path, *sources: str | pathlib.Path | None) -> None:
    """Raises InputError if the destination is a source, or a folder that holds one."""
    for place in [pathlib.Path(source) for source in sources if source]:
        if place.exists():  # easylm's carry a prefix, and a preset is no file
            disk.check_apart("DST", dst, place)


def _check_space(dst: pathlib.Path, transfers: list[stream.Transfer], dtype: str) -> None:
    """Raises InputError where the weights won't fit on the disk, before any work is done."""
    place = next(parent for parent in dst.absolute().parents if parent.exists())
    needed, free = stream.total_bytes(transfers, dtype), shutil.disk_usage(place).free
    if needed > free:
        raise InputError(
            f"{dst}: the weights take {needed / 1e6:,.1f} MB and {place} has {free / 1e6:,.1f} MB "
            "left; free some space, or choose another place"
        )
