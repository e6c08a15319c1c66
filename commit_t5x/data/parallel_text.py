"""Sentences and their translations as instructions to translate, each way in turn.

It is what those who have parallel text train on without any dictionary: a baseline for COMMIT.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Iterator, Mapping

import babel
import gin

from commit_t5x import fingerprints, ranges
from commit_t5x.data import data_files, hub, records, sources
from commit_t5x.data.records import Item, Record, Shard
from commit_t5x.errors import InputError
from commit_t5x.mixing import text_rows

_MACRO = "PARALLEL_PATH"


@gin.configurable
def translation_examples(
    language: str,
    split: str,
    *,
    instruction: ranges.Text = "Translate the text from {source} into {target}.",
    language_name: ranges.Text | None = None,
) -> sources.Examples:
    """Returns `instruction`, `input`, `output` of parallel text in English and another language.

    Each sentence pair gives two examples, one into the language and one into English.

    Args:
      language: its code.
      split: "train" or "validation".
      instruction: what is asked for; {source} and {target} stand for the languages' names.
      language_name: the language's name in English; None: CLDR's.

    `PARALLEL_PATH` names, for Hindi,
    - a folder with texts of a sentence a line, `en-hi.en` and `en-hi.hi` (or `hi-en.en`, ..., also
      .gz), or several such pairs, `NAME.en-hi.en` and so on, as OPUS names them;
    - or what `ALPACA_PATH` may name (but not `tfds:`), with records such as
      {"en": "water", "hi": "पानी"} or {"translation": {"en": "water", "hi": "पानी"}}.

    Raises:
      InputError: it isn't set, nothing lies there, the language is English or has no name, or
        `instruction` has other places to fill.
    """
    try:
        instruction.format(source="", target="")
    except (LookupError, ValueError) as error:
        raise InputError(
            f"translation_examples.instruction: {instruction!r} has braces around something else "
            "than source and target; write a brace itself twice"
        ) from error
    if language == "en":
        raise InputError("LANGUAGE 'en': the other side of the text is English; name its language")
    locations = sources.Locations()
    if locations.parallel is None:
        raise InputError(
            f"{_MACRO}: not set; name the folder of en-{language}.en and en-{language}.{language}"
        )
    names = {"en": "English", language: language_name or _name(language)}
    to_example = functools.partial(_example, instruction, names)
    shards = _shards(locations.parallel, language)
    examples = sources.training_examples(shards, to_example, split, locations)
    # After the last pairs have been held out: no sentence is in both splits.
    return dataclasses.replace(examples, shards=[_both_ways(s, language) for s in examples.shards])


def _name(language: str) -> str:
    try:
        name = babel.Locale.parse(language, sep="-" if "-" in language else "_").english_name
    except (babel.UnknownLocaleError, ValueError):
        name = None
    if name is None:
        raise InputError(
            f"LANGUAGE {language!r}: CLDR has no name for it; give the English one: "
            "--gin.LANGUAGE_NAME=\"'Quechua'\""
        )
    return name


def _shards(location: str, language: str) -> list[Shard]:
    if pairs := list(_text_pairs(location, language)):
        # A shard has the name of its English text alone.
        fingerprints.record(_MACRO, *(other for _, other in pairs))
        return [Shard(str(p[0]), functools.partial(_read, *p, language)) for p in pairs]
    names = [f"en-{language}.{suffix}" for suffix in ("en", "jsonl", "parquet")]
    if paths := data_files.find(location, _MACRO, names, shards=".*"):
        return list(map(records.file_shard, paths))
    # OPUS's data sets name their configurations in the order of the alphabet.
    return hub.find(location, "-".join(sorted(("en", language))), "train", _MACRO)


def _text_pairs(location: str, language: str) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
    """Yields the English text and the other one of each pair that lies in a folder."""
    found: dict[str, pathlib.Path] = {}
    for codes in (f"en-{language}", f"{language}-en"):
        for english in sorted(pathlib.Path(location).expanduser().glob(f"*{codes}.en*")):
            stem, _, packed = english.name.rpartition(".en")
            if stem.rpartition(".")[2] == codes and packed in ("", ".gz"):
                # The same sentences twice would be in both splits.
                if (first := found.setdefault(stem.removesuffix(codes), english)) != english:
                    raise InputError(
                        f"{_MACRO}: {first} and {english.name} are two of one name; take one out, "
                        f"or give it another name in front, such as more.{codes}.en"
                    )
                yield english, english.with_name(f"{stem}.{language}{packed}")


def _read(english: pathlib.Path, other: pathlib.Path, language: str) -> Iterator[tuple[int, Item]]:
    for number, (source, target) in text_rows.read_parallel(english, other):
        yield number - 1, Item(f"{english}:{number}", {"en": source, language: target})


def _both_ways(shard: Shard, language: str) -> Shard:
    """Returns a shard with two items for each of another one's."""

    def read() -> Iterator[tuple[int, Item]]:
        for place, (position, record) in shard.read():
            try:
                pair = _pair(position, record, language)
            except InputError as error:
                yield 2 * place, Item(position, error)
                continue
            for turn, target in enumerate((language, "en")):
                yield 2 * place + turn, Item(position, {**pair, "target": target})

    return Shard(shard.name, read)


def _pair(position: str, record: Record | InputError, language: str) -> dict[str, str]:
    if isinstance(record, InputError):
        raise record
    record = record.get("translation", record)
    if not isinstance(record, Mapping):
        raise InputError(f"{position}: expected an object in 'translation'; mend the record")
    pair = {code: sources.text_of(position, record, code).strip() for code in ("en", language)}
    for code, text in pair.items():
        if not text:
            raise InputError(
                f"{position}: no text in {code!r}; mend it, or leave such pairs out: "
                "--gin.BROKEN_RECORDS=\"'skip'\""
            )
    return pair


def _example(instruction: str, names: Mapping[str, str], _: str, record: Record) -> Record:
    target = record["target"]
    [source] = names.keys() - {target}
    return {
        "instruction": instruction.format(source=names[source], target=names[target]),
        "input": record[source],
        "output": record[target],
    }
