"""What a reader of a format is given: a place, two languages, and help with what goes wrong."""

import codecs
import collections
import contextlib
import csv
import dataclasses
import gzip
import io
import pathlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from commit_t5x.errors import InputError, suggest

_PAGE = (b"<!doctype html", b"<html")  # what a web page starts with
_NAMED = 20  # languages, in a message
_BUFFER_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class Job:
    """One import.

    Attributes:
      place: the file or folder, as the user names it.
      source_language: the code of the words' language, as the format spells it.
      target_language: the code of the translations'.
      watch: wraps an opened file, to see how far reading has come.
      skipped: what a reader left out -> how often.
    """

    place: str
    source_language: str
    target_language: str
    watch: Callable[[BinaryIO], BinaryIO] = lambda file: file
    skipped: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    @property
    def path(self) -> pathlib.Path:
        """The place, of formats that are files."""
        return pathlib.Path(self.place).expanduser()

    @contextlib.contextmanager
    def opened(self, path: pathlib.Path | None = None, watched: bool = True) -> Iterator[BinaryIO]:
        """Opens the place, or another file of it; one that is packed by gzip is unpacked.

        Args:
          path: of the other file.
          watched: whether all of it will be read, which the progress bar then shows.

        Raises:
          InputError: it isn't there, can't be read, is cut off or is a web page; inside the block,
            too.
        """
        path = path or self.path
        with reading(path), contextlib.ExitStack() as stack:
            raw = stack.enter_context(path.open("rb", buffering=0))
            file = io.BufferedReader(self.watch(raw) if watched else raw, _BUFFER_BYTES)
            if file.peek(2)[:2] == b"\x1f\x8b":
                file = stack.enter_context(gzip.open(file))
            if file.peek(3)[:3] == codecs.BOM_UTF8:
                file.read(3)
            if file.peek(100)[:100].lstrip().lower().startswith(_PAGE):
                raise InputError(f"{path}: a web page instead of a dictionary; check the URL")
            yield file

    def missing(self, wanted: str, known: Iterable[str]) -> InputError:
        """Returns the error of a language that the place has nothing in, which names those it has.

        Args:
          wanted: the language.
          known: the others, those that matter most first.
        """
        known = list(dict.fromkeys(known))
        more = f" and {len(known) - _NAMED:,} more" if len(known) > _NAMED else ""
        has = f"it has {', '.join(known[:_NAMED])}{more}" if known else "it names no language"
        return InputError(
            f"{self.place}: nothing in language {wanted!r}; {has}{suggest(wanted, known)}"
        )


@contextlib.contextmanager
def reading(path: str | pathlib.Path) -> Iterator[None]:
    """Raises what goes wrong in reading a file as an InputError."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8; convert it to UTF-8") from error
    except csv.Error as error:
        raise InputError(f"{path}: not CSV, or cut off ({error})") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: can't be unpacked ({error}); fetch it again") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
