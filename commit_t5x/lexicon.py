"""Bilingual dictionaries: files of word pairs in, a `Lexicon` out."""

import collections
import csv
import dataclasses
import functools
import gzip
import io
import pathlib
import zlib
from collections.abc import Iterable, Iterator, Mapping

import gin

from commit_t5x import resources
from commit_t5x.errors import InputError

_CSV_SUFFIXES = (".csv", ".csv.gz")


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What `Lexicon.load` met in a file.

    Attributes:
      path: the file.
      pairs: pairs kept, repeats counted.
      identity: pairs kept whose two sides are equal.
      skipped: (line number from 1, reason) of each line left out.
    """

    path: str
    pairs: int
    identity: int
    skipped: tuple[tuple[int, str], ...]


class Lexicon:
    """Maps a source word to its translations, in file order, repeats kept.

    Example:
      >>> lexicon = Lexicon.from_pairs([("water", "पानी"), ("water", "जल"), ("two", "दो")])
      >>> lexicon.translations("water")
      ('पानी', 'जल')
      >>> lexicon.translations("Water")
      ()
    """

    def __init__(self, entries: Mapping[str, tuple[str, ...]], report: LoadReport | None = None):
        self._entries = dict(entries)
        self.report = report

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]], report: LoadReport | None = None):
        """Builds a lexicon from (source, target) pairs."""
        entries = collections.defaultdict(list)
        for source, target in pairs:
            entries[source].append(target)
        return cls({source: tuple(targets) for source, targets in entries.items()}, report)

    @classmethod
    def load(cls, path: str | pathlib.Path, *, skip_malformed: bool = False) -> "Lexicon":
        """Reads a dictionary: MUSE (`source<TAB>target`, else `source target`), TSV or CSV, or .gz.

        Args:
          path: the file; a name that ends in .csv or .csv.gz is read as CSV.
          skip_malformed: leave malformed lines out (`report.skipped` lists them) rather than fail.

        Returns:
          The lexicon; its `report` says what was read and skipped. Blank lines don't count.

        Raises:
          InputError: the file is missing, empty, not UTF-8, or holds a line that isn't a pair.
        """
        path = pathlib.Path(path)
        pairs, skipped = [], []
        for number, columns in _rows(path):
            reason = _malformed(columns)
            if reason and not skip_malformed:
                raise InputError(f"{path}:{number}: {reason}; mend the line or remove it")
            if reason:
                skipped.append((number, reason))
            else:
                pairs.append((columns[0], columns[1]))
        if not pairs:
            raise InputError(f"{path}: no word pairs found; expected lines of source<TAB>target")
        identity = sum(source == target for source, target in pairs)
        return cls.from_pairs(pairs, LoadReport(str(path), len(pairs), identity, tuple(skipped)))

    def translations(self, word: str) -> tuple[str, ...]:
        """Returns the translations of `word`, in file order; empty if there is none."""
        return self._entries.get(word, ())

    def __contains__(self, word: str) -> bool:
        return word in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """Returns (source word, translations) for each entry, in file order."""
        return self._entries.items()

    def without_identity(self) -> "Lexicon":
        """Returns a lexicon without the pairs whose two sides are equal but for case."""
        kept = {
            source: tuple(t for t in targets if t.casefold() != source.casefold())
            for source, targets in self._entries.items()
        }
        return Lexicon(
            {source: targets for source, targets in kept.items() if targets}, self.report
        )

    def with_case_variants(self) -> "Lexicon":
        """Returns a lexicon that also knows each word with its first or all letters in upper case.

        The variants' translations carry the same case. An entry of the file always wins over a
        variant of another entry. MUSE sources are all lower-case, so without this no word at the
        start of an English sentence is ever found.

        Example:
          >>> Lexicon({"tea": ("τσάι",)}).with_case_variants().translations("Tea")
          ('Τσάι',)
        """
        variants = {}
        for restore in (str.upper, _capitalise):
            for source, targets in self._entries.items():
                variants[restore(source)] = tuple(restore(target) for target in targets)
        return Lexicon({**variants, **self._entries}, self.report)


@gin.configurable
@functools.lru_cache(maxsize=8)
def load_dictionary(
    source_language: str, target_language: str, directory: str = gin.REQUIRED
) -> Lexicon:
    """Returns the dictionary `{source}-{target}` of the directory that `DICT_DIR` names.

    Args:
      source_language: the language of the words looked up, as in the file's name.
      target_language: the language of the translations.
      directory: the folder; "samples" means the small dictionaries shipped with the project.

    Raises:
      InputError: no such dictionary.
    """
    shipped = directory == "samples"
    folder = resources.path("dicts") if shipped else pathlib.Path(directory).expanduser()
    stem = f"{source_language}-{target_language}"
    names = [stem + suffix for suffix in (".txt", ".tsv", ".csv", ".txt.gz", ".tsv.gz", ".csv.gz")]
    for name in names:
        if (folder / name).is_file():
            return Lexicon.load(folder / name)
    raise InputError(
        f"{folder / names[0]}: no dictionary {stem} there; put the MUSE file of that name into it, "
        "or set DICT_DIR to the folder that holds it"
    )


def _capitalise(word: str) -> str:
    return word[:1].upper() + word[1:]


def _malformed(columns: list[str]) -> str | None:
    if len(columns) != 2:
        return f"expected 2 columns, found {len(columns)}"
    if not all(columns):
        return "an empty column"
    return None


def _rows(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number, columns) of each line that isn't blank."""
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
        text = data.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such dictionary; check the path or set DICT_DIR") from None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); expected text or .gz"
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}:{line}: not UTF-8; convert the file to UTF-8") from error
    if path.name.endswith(_CSV_SUFFIXES):
        reader = csv.reader(io.StringIO(text, newline=""))
        try:
            for row in reader:
                columns = [column.strip() for column in row]
                if columns not in ([], [""]):
                    yield reader.line_num, columns
        except csv.Error as error:
            message = f"{path}:{reader.line_num}: not CSV ({error}); mend the quotes before it"
            raise InputError(message) from error
        return
    # Split at line feeds only: str.splitlines would also cut at characters a word may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.strip(" \r")
        if line.strip("\t "):
            columns = line.split("\t") if "\t" in line else line.split(" ")
            yield number, [column.strip(" ") for column in columns]
