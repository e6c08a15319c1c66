"""Examples from local files, the Hugging Face hub, TFDS and the samples that the project ships.

A location is the word "samples", a local path, the name of a data set on the hub, or, but for
question answering, `tfds:NAME`; gin macros set the locations (`ALPACA_PATH` and so on), and they
are looked at when a task is built. Every example carries `index`, its place in the source, by which
stateless randomness knows it on any machine and in any shard.
"""

import collections
import dataclasses
import itertools
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import gin
import tensorflow as tf

from commit_t5x import resources
from commit_t5x.errors import InputError
from commit_t5x.records import READERS, Record, read_records


@gin.configurable
@dataclasses.dataclass(frozen=True)
class Locations:
    """Where each family of data lies.

    Attributes:
      alpaca: a file with `instruction`, `input`, `output`.
      wikipedia: a text file or records with `text`; in a path, `{lang}` stands for the language.
      wikipedia_dump: the dump's date, the first half of a hub configuration such as
        `20230601.hi`.
      xquad: a folder with `xquad.{lang}.json`.
      mlqa: a folder with `test-context-{lang}-question-{lang}.json` and `dev-...`.
      validation_examples: how many examples at the end of the Alpaca and Wikipedia data are held
        out as the validation split. The paper trains on all.
    """

    alpaca: str = "tatsu-lab/alpaca"
    wikipedia: str = "graelo/wikipedia"
    wikipedia_dump: str = "20230601"
    xquad: str = "google/xquad"
    mlqa: str = "facebook/mlqa"
    validation_examples: int = 0


def alpaca_examples(split: str) -> Iterator[Record]:
    """Yields `instruction`, `input`, `output` of the instruction data, all strings."""
    locations = Locations()
    records = _located(locations.alpaca, "ALPACA_PATH", "alpaca.jsonl")
    records = records or _remote(locations.alpaca, None, "train", "ALPACA_PATH")
    for position, record in _held_out(records, split, locations.validation_examples):
        yield {
            "instruction": _text(position, record, "instruction"),
            "input": _text(position, {"input": "", **record}, "input"),
            "output": _text(position, record, "output"),
        }


def wikipedia_examples(language: str, split: str) -> Iterator[Record]:
    """Yields `text`, one document an example, of a language's Wikipedia."""
    locations = Locations()
    name = locations.wikipedia.replace("{lang}", language)
    records = _located(name, "WIKIPEDIA_PATH", f"wikipedia.{language}.txt", f"{language}.txt")
    configuration = f"{locations.wikipedia_dump}.{language}"
    records = records or _remote(name, configuration, "train", "WIKIPEDIA_PATH")
    for position, record in _held_out(records, split, locations.validation_examples):
        yield {"text": _text(position, record, "text")}


def xquad_examples(language: str, split: str) -> Iterator[Record]:
    """Yields `id`, `context`, `question`, `answers` (a list) of XQuAD; it has no other split."""
    del split
    location = Locations().xquad
    name = f"xquad.{language}.json"
    local = _local_file(location, "XQUAD_PATH", name)
    if local:
        return squad_examples(local)
    return _hub_squad(location, f"xquad.{language}", "validation", "XQUAD_PATH")


def mlqa_examples(language: str, split: str) -> Iterator[Record]:
    """Yields the same fields of MLQA, whose splits are "validation" and "test"."""
    location = Locations().mlqa
    stem = "dev" if split == "validation" else "test"
    name = f"{stem}-context-{language}-question-{language}.json"
    local = _local_file(location, "MLQA_PATH", name, f"{stem}/{name}")
    if local:
        return squad_examples(local)
    return _hub_squad(location, f"mlqa.{language}.{language}", split, "MLQA_PATH")


def dataset(
    examples: Callable[[], Iterable[Record]], fields: Mapping[str, tuple[int | None, ...]]
) -> tf.data.Dataset:
    """Returns a tf.data.Dataset of the examples' string fields plus `index`.

    Args:
      examples: called anew for each pass over the data.
      fields: the shape of each field, () for a string and (None,) for a list of strings.
    """
    # The first example is read at once, so that a missing file is reported where the data set is
    # built and not from within the graph.
    next(iter(examples()), None)

    def generate():
        for index, example in enumerate(examples()):
            yield {"index": index, **{field: example[field] for field in fields}}

    signature = {field: tf.TensorSpec(shape, tf.string) for field, shape in fields.items()}
    signature["index"] = tf.TensorSpec((), tf.int64)
    return tf.data.Dataset.from_generator(generate, output_signature=signature)


def squad_examples(path: str | pathlib.Path) -> Iterator[Record]:
    """Yields `id`, `context`, `question`, `answers` of a file in SQuAD v1.1's JSON format.

    Raises:
      InputError: the file is missing or isn't of that format; it names the key.
    """
    path = pathlib.Path(path)
    try:
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
        for article in articles:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    yield {
                        "id": str(question["id"]),
                        "context": paragraph["context"],
                        "question": question["question"],
                        "answers": [answer["text"] for answer in question["answers"]],
                    }
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; put the SQuAD-format file there") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 ({error.reason}); convert the file") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON ({error.msg}); mend the file") from error
    except KeyError as error:
        raise InputError(f"{path}: no key {error} where SQuAD v1.1 has one; mend it") from error
    except TypeError as error:
        raise InputError(f"{path}: not in SQuAD v1.1's JSON format ({error}); mend it") from error


def _text(position: str, record: Record, field: str) -> str:
    value = record.get(field)
    if not isinstance(value, str):
        found = "no such field" if value is None else f"found {type(value).__name__}"
        raise InputError(f"{position}: expected text in {field!r}, {found}; mend the record")
    return value


def _held_out(records: Iterable[tuple[str, Record]], split: str, validation: int):
    """Keeps the records of a split: the last `validation` ones are the validation split."""
    if not validation:
        return records if split == "train" else iter(())
    return _tail(records, validation) if split == "validation" else _head(records, validation)


def _head(records: Iterable, without: int) -> Iterator:
    # A window of `without` records runs ahead: what falls out of it isn't among the last.
    records = iter(records)
    window = list(itertools.islice(records, without))
    for place, record in enumerate(records):
        yield window[place % without]
        window[place % without] = record


def _tail(records: Iterable, length: int) -> Iterator:
    return iter(collections.deque(records, maxlen=length))


def _local_file(location: str, macro: str, *names: str) -> pathlib.Path | None:
    """Returns the file that a location means, or None for a name on the hub or in TFDS.

    Args:
      location: as the module describes it; in a folder, the first of `names` that exists is taken.
      macro: the gin macro that set it, for the message.
      names: file names within a folder.
    """
    if location == "samples":
        path = resources.path("samples") / names[0]
        if not path.is_file():
            raise InputError(f"{macro}: the samples hold no {names[0]}; set it to your own data")
        return path
    path = pathlib.Path(location).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        for name in names:
            if (path / name).is_file():
                return path / name
        raise InputError(f"{path / names[0]}: no such file; put it there or set {macro}")
    # What looks like a path was meant as one: a hub name has no suffix and at most one slash.
    if not location.startswith("tfds:") and (
        path.suffix in (*READERS, ".gz")
        or location.startswith((".", "/", "~"))
        or location.count("/") > 1
    ):
        raise InputError(f"{location}: no such file or folder; set {macro} to where the data lies")
    return None


def _located(location: str, macro: str, *names: str) -> Iterator[tuple[str, Record]] | None:
    path = _local_file(location, macro, *names)
    return read_records(path) if path else None


def _remote(name: str, configuration: str | None, split: str, macro: str):
    """Yields (position, record) of a data set in TFDS (`tfds:NAME`) or on the hub."""
    if name.startswith("tfds:"):
        yield from _tfds(name, configuration, split, macro)
        return
    import datasets  # here: these take seconds to load
    import huggingface_hub

    try:
        # A look at whether the hub answers at all takes a second; `datasets` would try for a
        # minute. Without an answer it still finds what an earlier run has left in its cache.
        datasets.config.HF_HUB_OFFLINE |= not _hub_answers(name)
        huggingface_hub.constants.HF_HUB_OFFLINE |= datasets.config.HF_HUB_OFFLINE
        records = datasets.load_dataset(name, configuration, split=split)
    except datasets.exceptions.DatasetNotFoundError as error:
        raise InputError(f"{macro}: the hub has no data set {name!r}; check the name") from error
    except (ConnectionError, huggingface_hub.errors.HfHubHTTPError) as error:
        raise InputError(
            f"{macro}: {name!r} cannot be had from the Hugging Face hub (no answer); with no "
            f"network, download it elsewhere and set {macro} to the local file or folder"
        ) from error
    except (
        datasets.exceptions.DatasetsError,
        FileNotFoundError,  # no data files
        RuntimeError,  # a loading script, which datasets no longer runs
        ValueError,  # no such configuration or split
    ) as error:
        problem = str(error).partition("\n")[0]
        raise InputError(f"{macro}: {name!r} on the hub: {problem}") from error
    for number, record in enumerate(records):
        yield f"{name}: row {number}", record


def _hub_answers(name: str) -> bool:
    import httpx2  # the hub client's own HTTP library
    import huggingface_hub

    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=10)
    except (httpx2.TransportError, huggingface_hub.errors.OfflineModeIsEnabled):
        return False
    except huggingface_hub.errors.HfHubHTTPError:
        return True  # it answered; `datasets` says what is wrong
    return True


def _tfds(name: str, configuration: str | None, split: str, macro: str):
    import tensorflow_datasets as tfds  # here: it takes seconds to load

    builder = "/".join(filter(None, (name.removeprefix("tfds:"), configuration)))
    try:
        # Preparing a data set takes its own tools, a network, and for Wikipedia hours.
        records = tfds.load(builder, split=split, download=False)
    except (AssertionError, ValueError, OSError) as error:  # unprepared, unknown, unreadable
        raise InputError(
            f"{macro}: TFDS holds no prepared {builder!r} ({type(error).__name__}); prepare "
            f"it with `tfds build`, or set {macro} to a local file"
        ) from error
    for number, record in enumerate(tfds.as_numpy(records)):
        texts = {k: v.decode("utf-8") for k, v in record.items() if isinstance(v, bytes)}
        yield f"{builder}: record {number}", texts


def _hub_squad(name: str, configuration: str, split: str, macro: str) -> Iterator[Record]:
    if name.startswith("tfds:"):
        raise InputError(f"{macro}: {name!r}: TFDS has other fields; use the hub or a local folder")
    for _, record in _remote(name, configuration, split, macro):
        answers = [str(text) for text in record["answers"]["text"]]
        yield {**{k: record[k] for k in ("id", "context", "question")}, "answers": answers}
