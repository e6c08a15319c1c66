"""Models with a longer vocabulary: the tokenizer, and rows of embedding and head for it."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence

import numpy as np

from commit_t5x import disk, ranges, signatures
from commit_t5x.conversion import arrays, formats, open_source, rules, stream
from commit_t5x.conversion.formats import FORMATS, Header, Source
from commit_t5x.errors import InputError
from commit_t5x.extension import continuing, rows, translations, words
from commit_t5x.model import new_rows
from commit_t5x.vocabularies.tokenizer import check_fits

_EMBEDDING, _HEAD = "token_embedder/embedding", "logits_dense/kernel"


@dataclasses.dataclass(frozen=True)
class Extension:
    """What was done.

    Attributes:
      old, new: tokens before, and those that came to them.
      scripts: of the words that these were learnt from.
      share: of the text's letters that are in the scripts.
      translated: new tokens whose rows hold those of translations.
      notes: on the weights, as `commit-t5x convert` prints them.
    """

    old: int
    new: int
    scripts: tuple[str, ...]
    share: float
    translated: int
    notes: Sequence[str]


def extend(
    model: str | pathlib.Path,
    texts: Sequence[str | pathlib.Path],
    out: str | pathlib.Path,
    *,
    size: ranges.Positive,
    method: rows.Method = "mean",
    dictionaries: Sequence[str | pathlib.Path] = (),
    multiple_of: ranges.Positive = 128,
    keep: Sequence[str | pathlib.Path] = (),
    seed: ranges.Seed = 0,
    to: str | None = None,
    overwrite: bool = False,
) -> Extension:
    """Continues a model's tokenizer on texts, and gives its embedding and head the rows for it.

    Args:
      model: a checkpoint that `commit-t5x convert` reads, with a tokenizer of byte-pair encoding.
      texts: files in the language; see `words.texts`.
      out: the directory to write; appears when it is complete.
      size: tokens and rows in all.
      method: that new rows begin by: the mean of the tokens that the old tokenizer spells the new
        one with; that, and the mean of its translations; or at random.
      dictionaries: files of word pairs, for the method "dictionary".
      multiple_of: `size` is rounded up to one of these, so that devices get equal parts.
      keep: files of text, English for one, that keeps its ids; with them, words in Latin script are
        learnt, too. See `continuing.learn`.
      seed: of the method "random".
      to: the format to write, "hf" or "native"; by default the model's own.
      overwrite: replace `out`.

    Raises:
      InputError: an option or a file is bad, the tokenizer can't be continued, the text gives fewer
        tokens, or `out` can't be written.

    Example:
      >>> extend("smollm2", ["wikipedia.hi.txt"], "smollm2_hi", size=57344).scripts
      ('Devanagari',)
    """
    signatures.check(extend, locals())
    if (method == "dictionary") != bool(dictionaries):
        raise InputError(
            "--dictionary: goes with --method dictionary, which needs one or more, such as "
            "muse/en-hi.txt"
        )
    model, out = pathlib.Path(model), pathlib.Path(out)
    source_format = formats.detect(model)
    target = _target(source_format, to)
    disk.check_free(out, overwrite)
    source = open_source(source_format, model)
    disk.check_apart("OUT", out, model, *texts, *dictionaries, *keep, *source.bases)
    tokenizer, present = source.tokenizer, source.config.vocab_size
    if tokenizer is None:
        raise InputError(f"{model}: no tokenizer in it; put its files there")
    check_fits(tokenizer, present)
    old, size = tokenizer.vocab_size, -(-size // multiple_of) * multiple_of
    if size <= present:
        raise InputError(
            f"--size: {size:,} leaves no room for a new token, as {model} has {present:,} rows; "
            "choose a larger one"
        )
    found = words.read(texts, latin=bool(keep))
    if keep and words.OWN in found.scripts:
        script = words.read(keep, latin=True).scripts[0]
        if script != words.OWN:
            raise InputError(
                f"--keep: {', '.join(map(str, keep))}: most of its letters are {script}, by which "
                "no English keeps its ids; give English text"
            )
    meanings = translations.Translations(dictionaries, found.scripts) if dictionaries else None
    extended, additions = continuing.learn(tokenizer, found, size - old, keep)
    if old + len(additions) < size:
        most = (old + len(additions)) // multiple_of * multiple_of
        smaller = f", or --size {most}" if most > present else ""
        free = " that --keep leaves free" if keep else ""
        raise InputError(
            f"--size: {size:,} takes {size - old:,} new tokens, and the text gives "
            f"{len(additions):,}{free}; give more text{smaller}"
        )
    sources, translated = None, 0
    if method != "random":
        sources = rows.of_pieces(tokenizer, additions)
    if meanings is not None:
        known = list(translations.sources(tokenizer, additions, meanings))
        sources = translations.mixed(sources, known)
        translated = len(known) - sum(source is None for source in known)
    longer = _with_rows(source, old, size, sources, seed)
    longer = dataclasses.replace(longer, find_tokenizer=lambda: extended)
    # Rows of an extension that nothing was trained on since are as new.
    before = new_rows.file_of(model)
    first_new = disk.read_json(before).get("old_tokens", old) if before.is_file() else old
    record = {"old_tokens": first_new, "tokens": size, "method": method, "scripts": found.scripts}
    with disk.finished(out, overwrite) as folder:
        folder.mkdir()
        _write(longer, target, folder)
        (folder / new_rows.FILE).write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    return Extension(old, size - old, found.scripts, found.share, translated, source.notes)


def _target(source_format: str, to: str | None) -> str:
    target = to or source_format
    if target not in ("hf", "native"):
        raise InputError(f"--to: {target} can't be written; choose hf or native")
    return target


def _with_rows(
    source: Source, old: int, size: int, sources: Sequence[rows.Source] | None, seed: int
) -> Source:
    """Returns a source whose embedding and head have `size` rows."""
    config = dataclasses.replace(source.config, vocab_size=size)
    ours = {entry.foreign: entry for entry in rules.plan(source.rules, source.config)}
    longer = {entry.foreign: entry.shape for entry in rules.plan(source.rules, config)}

    def get(name: str) -> np.ndarray:
        entry, tensor = ours[name], source.get(name)
        if entry.path not in (_EMBEDDING, _HEAD):
            return tensor
        is_head = entry.path == _HEAD  # [width, rows]
        table = entry.to_native(tensor)
        table = rows.append(table.T if is_head else table, old, size - old, sources, seed + is_head)
        return entry.to_foreign(table.T if is_head else table)

    shapes = {name: longer.get(name, shape) for name, shape in source.shapes.items()}
    return dataclasses.replace(source, config=config, shapes=shapes, get=get)


def _write(source: Source, target: str, folder: pathlib.Path) -> None:
    """Writes a source in the dtype that its weights have, or fp32 where they have several."""
    found = {source.dtypes[name] for name in source.shapes}
    is_one = FORMATS[target].half and len(found) == 1 and found <= {*arrays.DTYPES}
    dtype = found.pop() if is_one else "float32"
    header = Header.checked(source.config, source.tokenizer, dtype, formats.SHARD_SIZE)
    module = formats.module(target)
    with module.write(folder, rules.shapes(module.RULES, source.config), header) as put:
        stream.copy(source, stream.plan(source, module.RULES), put, dtype)
