"""MUSE's bilingual dictionaries: where they lie on the web, and how they get here."""

import pathlib
import re

from commit_t5x.dictionaries.download import Progress, download
from commit_t5x.errors import InputError
from commit_t5x.mixing import dictionary_files

BASE_URL = "https://dl.fbaipublicfiles.com/arrival/dictionaries"
LICENCE = "MUSE dictionaries (Meta), CC BY-NC 4.0: https://github.com/facebookresearch/MUSE"

# What a web page or a storage server's error starts with.
_MARKUP = (b"<!doctype", b"<html", b"<?xml")


def file_names(language: str) -> tuple[str, str]:
    """Returns the names of a language's dictionaries from and to English.

    Raises:
      InputError: `language` can't be a language's code.

    Example:
      >>> file_names("hi")
      ('en-hi.txt', 'hi-en.txt')
    """
    if not re.fullmatch("[a-z]{2,3}", language) or language == "en":
        raise InputError(
            f"language {language!r}: expected a code as in MUSE's file names, such as hi or el; "
            "English is the other side of each dictionary"
        )
    return f"en-{language}.txt", f"{language}-en.txt"


def url_of(name: str, base_url: str = BASE_URL) -> str:
    """Returns where a dictionary lies on the web, in the folder `base_url`."""
    return f"{base_url.rstrip('/')}/{name}"


def fetch(url: str, path: pathlib.Path, progress: Progress) -> dictionary_files.LoadReport:
    """Downloads a dictionary and returns what it holds.

    Args:
      url: the file on the web.
      path: the file here, which is replaced once the download is whole and can be read.
      progress: as in `download`.

    Raises:
      InputError: the file can't be had, or isn't a dictionary.
    """
    download(url, path, check=read, progress=progress)
    return read(path)


def read(path: pathlib.Path) -> dictionary_files.LoadReport:
    """Returns what a dictionary file holds.

    Raises:
      InputError: it is a web page, can't be read, or holds mostly lines that aren't pairs.
    """
    if path.is_file():
        with path.open("rb") as file:
            if file.read(100).lstrip().lower().startswith(_MARKUP):
                raise InputError(f"{path}: a web page instead of a dictionary; check the URL")
    _, report = dictionary_files.load(path, skip_malformed=True)
    if report.odd > report.pairs:
        number, reason = report.odd_lines[0]
        raise InputError(f"{path}:{number}: {reason}; most lines are not word pairs")
    return report
