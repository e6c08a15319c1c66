"""Dictionaries made of others: several joined, or one turned round."""

import pathlib
from collections.abc import Callable, Iterator, Sequence

from commit_t5x.mixing import dictionary_files
from commit_t5x.mixing.dictionary_files import Record

# What a later dictionary only adds where no earlier one has it.
PREFERENCES: dict[str, Callable[[Record], object]] = {
    "first": lambda record: record.source,
    "all": lambda record: (record.source, record.target),
}


def merged(paths: Sequence[str | pathlib.Path], prefer: str) -> Iterator[Record]:
    """Yields the records of dictionaries, the preferred one first.

    Args:
      paths: the dictionaries, of a kind that `dictionary_files.read_records` knows.
      prefer: "first": a word has the translations of the first dictionary that knows it; "all": it
        has those of all, and a pair that several have is that of the first. A dictionary's own
        repeats stay.

    Raises:
      InputError: a dictionary can't be read.
    """
    key, known = PREFERENCES[prefer], set()
    for path in paths:
        own = set()
        for record in dictionary_files.read_records(path):
            if key(record) not in known:
                own.add(key(record))
                yield _named(record, path)
        known |= own


def inverted(path: str | pathlib.Path) -> Iterator[Record]:
    """Yields the records of a dictionary from its translations to its words, weights as they are.

    Raises:
      InputError: the dictionary can't be read.
    """
    for record in dictionary_files.read_records(path):
        yield _named(record._replace(source=record.target, target=record.source), path)


def _named(record: Record, path: str | pathlib.Path) -> Record:
    return record if record.file else record._replace(file=pathlib.Path(path).name)
