"""Examples from local files, the Hugging Face hub, TFDS and the samples that the project ships.

A location is the word "samples", a path, a glob, a URL, the name of a data set on the hub, or, but
for question answering, `tfds:NAME`; gin macros set the locations (`ALPACA_PATH` and so on), and
they are looked at when a task is built. Every example has an `index`, its place in the data, by
which stateless randomness knows it on any machine and in any shard.
"""

import collections
import dataclasses
import functools
import itertools
import logging
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import gin

from commit_t5x import ranges, signatures
from commit_t5x.data import data_files, hub, records
from commit_t5x.data.document_filters import Keeps
from commit_t5x.data.records import Item, Record, Shard
from commit_t5x.errors import InputError

_LOGGER = logging.getLogger(__name__)

_SHARD = 2**32  # an index is the shard's number times this, plus the record's place in the shard
_SHOWN = 5  # broken records that are logged one by one

# The dump of the paper, and of data sets that hold another one.
_WIKIPEDIA_DUMP = "20230601"
_WIKIPEDIA_DUMPS = {"wikimedia/wikipedia": "20231101"}


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Locations:
    """Where each family of data lies, and how it is read.

    Attributes:
      alpaca: records with `instruction`, `input`, `output`.
      parallel: sentences and their translations; see `parallel_text`.
      wikipedia: text files or records with `text`; in a path, `{lang}` stands for the language.
      wikipedia_dump: the dump's date, the first half of a hub configuration such as
        `20230601.hi`. None: the paper's, or the one that `wikimedia/wikipedia` holds.
      xquad: a folder with `xquad.{language}.json`, or such a file: of SQuAD v1.1's format, in any
        language that has labels (see `qa_prompts.get_labels`).
      mlqa: a folder with `test-context-{language}-question-{language}.json` and `dev-...`.
      document_filters: which of the Wikipedia data are left out; see `document_filters`.
      validation_examples: how many records at the end of the training data are held out as the
        validation split. The paper trains on all.
      broken_records: "stop" at a broken record of the training data, or "skip" it: then
        the first few are logged one by one and, at the end of each pass, how many there were.
        Broken files and evaluation data always stop.
    """

    alpaca: ranges.Location = "tatsu-lab/alpaca"
    wikipedia: ranges.Location = "graelo/wikipedia"
    wikipedia_dump: ranges.Text | None = None
    xquad: ranges.Location = "google/xquad"
    mlqa: ranges.Location = "facebook/mlqa"
    parallel: ranges.Location | None = None
    document_filters: Sequence[Callable[[], Keeps]] = ()
    validation_examples: ranges.Count = 0
    broken_records: Literal["stop", "skip"] = "stop"

    def __post_init__(self):
        signatures.check(type(self), vars(self))


@dataclasses.dataclass(frozen=True)
class Examples:
    """The examples of a split; each iteration is a pass over them.

    Attributes:
      shards: what they are read from.
      to_example: (position, record) -> the example; raises InputError if the record is broken.
      skip_broken: whether broken records are left out, and logged; else they stop the pass.
      filters: by which examples with a `text` are left out, and counted in the log.
    """

    shards: Sequence[Shard]
    to_example: Callable[[str, Record], Record]
    skip_broken: bool = False
    filters: Sequence[Callable[[], Keeps]] = ()

    def __iter__(self) -> Iterator[Record]:
        return (example for _, example in self.indexed())

    def indexed(self, shard: int | None = None) -> Iterator[tuple[int, Record]]:
        """Yields (index, example) of all shards, or of one.

        The index counts a shard's records, broken ones included, so that mending or breaking one
        changes no other's: 0, 1, 2, ... in the first shard.
        """
        broken, kept = 0, 0
        left_out: collections.Counter[str] = collections.Counter()
        keeps = [(getattr(start, "__name__", repr(start)), start()) for start in self.filters]
        for number in range(len(self.shards)) if shard is None else (shard,):
            for place, (position, record) in self.shards[number].read():
                try:
                    if isinstance(record, InputError):
                        raise record
                    example = self.to_example(position, record)
                except InputError as error:
                    if not self.skip_broken:
                        raise
                    broken += 1
                    if broken <= _SHOWN:
                        _LOGGER.warning("Skipped: %s", error)
                    continue
                against = next((name for name, keep in keeps if not keep(example["text"])), None)
                if against is None:
                    kept += 1
                    yield number * _SHARD + place, example
                else:
                    left_out[against] += 1
        if broken or left_out:
            self._log(self.shards[shard or 0].name, shard is None, broken, kept, left_out)

    def _log(self, where: str, all_shards: bool, broken: int, kept: int, left_out: Mapping) -> None:
        if all_shards and len(self.shards) > 1:
            where += f" and {len(self.shards) - 1} more"
        if broken:
            _LOGGER.warning("Skipped %d broken records of %s", broken, where)
        for name, number in left_out.items():
            _LOGGER.warning("%s left out %d of %s, and %d are left", name, number, where, kept)
        if left_out and not kept:
            raise InputError(
                f"DOCUMENT_FILTERS: {' and '.join(left_out)} leave nothing of {where}; leave one "
                "out, or set it more loosely"
            )


def training_splits() -> tuple[str, ...]:
    """Returns the splits of the Alpaca and Wikipedia data."""
    return ("train", "validation") if Locations().validation_examples else ("train",)


def alpaca_examples(split: str) -> Examples:
    """Returns `instruction`, `input`, `output` of the instruction data, all strings."""
    locations = Locations()
    paths = data_files.find(locations.alpaca, "ALPACA_PATH", ["alpaca.jsonl"], shards=".*")
    if paths:
        shards = list(map(records.file_shard, paths))
    else:
        shards = hub.find(locations.alpaca, None, "train", "ALPACA_PATH")
    return training_examples(shards, _alpaca_example, split, locations)


def wikipedia_examples(language: str, split: str) -> Examples:
    """Returns `text`, one document an example, of a language's Wikipedia."""
    locations = Locations()
    name = locations.wikipedia.replace("{lang}", language)
    file_names = [f"wikipedia.{language}.txt", f"{language}.txt"]
    # A file that is named by a language holds that language, and is no shard of another's.
    no_language = r"(?!(wikipedia\.)?[a-z]{2,3}\.).*"
    paths = data_files.find(name, "WIKIPEDIA_PATH", file_names, shards=no_language)
    if paths:
        for path in paths:
            data_files.check_language(path, "WIKIPEDIA_PATH", language)
        shards = list(map(records.file_shard, paths))
    else:
        dump = locations.wikipedia_dump or _WIKIPEDIA_DUMPS.get(name, _WIKIPEDIA_DUMP)
        shards = hub.find(name, f"{dump}.{language}", "train", "WIKIPEDIA_PATH")
    examples = training_examples(shards, document, split, locations)
    return dataclasses.replace(examples, filters=locations.document_filters)


def xquad_examples(language: str, split: str) -> Examples:
    """Returns `id`, `context`, `question`, `answers` (a list) of XQuAD; it has no other split."""
    del split
    name = f"xquad.{language}"
    place, names = Locations().xquad, [f"{name}.json"]
    return _questions(place, "XQUAD_PATH", names, name, "validation", language)


def mlqa_examples(language: str, split: str) -> Examples:
    """Returns the same fields of MLQA, whose splits are "validation" and "test"."""
    stem = "dev" if split == "validation" else "test"
    name = f"{stem}-context-{language}-question-{language}.json"
    names = [name, f"{stem}/{name}"]
    configuration = f"mlqa.{language}.{language}"
    return _questions(Locations().mlqa, "MLQA_PATH", names, configuration, split, language)


def squad_examples(path: str | pathlib.Path) -> Iterator[Record]:
    """Yields `id`, `context`, `question`, `answers` of a file in SQuAD v1.1's JSON format.

    Raises:
      InputError: the file is missing or isn't of that format; it names the key.
    """
    document = records.read_json(path)
    try:
        for article in document["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    fields = {
                        "id": str(question["id"]),
                        "context": paragraph["context"],
                        "question": question["question"],
                    }
                    position = f"{path}: question {fields['id']}"
                    answers = [answer["text"] for answer in question["answers"]]
                    yield _question(position, fields, answers)
    except KeyError as error:
        raise InputError(f"{path}: no key {error} where SQuAD v1.1 has one; mend it") from error
    except TypeError as error:
        raise InputError(f"{path}: not in SQuAD v1.1's JSON format ({error}); mend it") from error


def _alpaca_example(position: str, record: Record) -> Record:
    absent = record.get("input") is None  # or null
    return {
        "instruction": text_of(position, record, "instruction"),
        "input": "" if absent else text_of(position, record, "input"),
        "output": text_of(position, record, "output"),
    }


def document(position: str, record: Record) -> Record:
    """Returns `text` of a record; raises InputError if it has none."""
    return {"text": text_of(position, record, "text")}


def text_of(position: str, record: Record, field: str) -> str:
    """Returns the text in a field of a record; raises InputError if there is none."""
    value = record.get(field)
    if not isinstance(value, str):
        found = f"found {'null' if value is None else type(value).__name__}"
        found = found if field in record else "no such field"
        raise InputError(f"{position}: expected text in {field!r}, {found}; mend the record")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:  # JSON can spell half of a UTF-16 pair
        problem = f"{field!r} holds {value[error.start]!a}, which is no character"
        raise InputError(f"{position}: {problem}; mend the record") from error
    return value


def training_examples(
    shards: Sequence[Shard],
    to_example: Callable[[str, Record], Record],
    split: str,
    locations: Locations,
) -> Examples:
    """Returns the examples of a split of training data, of which the last are held out."""
    held_out = locations.validation_examples
    part = _tail if split == "validation" else _head
    if held_out:
        shards = [
            Shard(shard.name, functools.partial(part, shards[number:], held_out))
            for number, shard in enumerate(shards)
        ]
    elif split != "train":
        shards = []
    return Examples(shards, to_example, skip_broken=locations.broken_records == "skip")


def _head(shards: Sequence[Shard], held_out: int) -> Iterator[tuple[int, Item]]:
    """Yields the items of the first shard but those among the last `held_out` of all."""
    items = shards[0].read()
    # A window of that many items runs ahead: what falls out of it isn't among the last.
    window = collections.deque(itertools.islice(items, _held_out_of_first(shards, held_out)))
    for item in items:
        window.append(item)
        yield window.popleft()


def _tail(shards: Sequence[Shard], held_out: int) -> Iterator[tuple[int, Item]]:
    """Yields the other items of the first shard."""
    held_out = _held_out_of_first(shards, held_out)
    return iter(collections.deque(shards[0].read(), maxlen=held_out) if held_out else ())


def _held_out_of_first(shards: Sequence[Shard], held_out: int) -> int:
    # Of the shards that follow, no more than that many items need to be counted.
    following = itertools.chain.from_iterable(shard.read() for shard in shards[1:])
    return held_out - sum(1 for _ in itertools.islice(following, held_out))


def _questions(
    location: str, macro: str, names: Sequence[str], configuration: str, split: str, language: str
) -> Examples:
    if location.startswith("tfds:"):
        problem = "TFDS has other fields; use the hub or a local folder"
        raise InputError(f"{macro}: {location!r}: {problem}")
    found = data_files.find(location, macro, names)
    if not found:
        return Examples(hub.find(location, configuration, split, macro), _hub_question)
    [path] = found
    data_files.check_language(path, macro, language)

    def read() -> Iterator[tuple[int, Item]]:
        return enumerate(Item(path, question) for question in squad_examples(path))

    return Examples([Shard(path, read)], lambda _, question: question)


def _hub_question(position: str, record: Record) -> Record:
    try:
        return _question(position, record, record["answers"]["text"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{position}: expected lists of texts in 'answers'; mend it") from error


def _question(position: str, record: Record, answers: Sequence[str]) -> Record:
    fields = {name: text_of(position, record, name) for name in ("id", "context", "question")}
    texts = [text_of(position, {"answers": a}, "answers") for a in answers]
    for text in texts:
        if not text.strip():
            raise InputError(f"{position}: an answer is empty; mend the file: answers are spans")
        if text not in fields["context"]:
            problem = f"the answer {text!r} doesn't occur in the context"
            raise InputError(f"{position}: {problem}; mend the file: answers are spans of it")
    return {**fields, "answers": texts}
