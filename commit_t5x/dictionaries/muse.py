"""MUSE's bilingual dictionaries: where they lie on the web, and how they get here."""

import pathlib
import re
from collections.abc import Iterable

import rich.console
import rich.progress

from commit_t5x import disk
from commit_t5x.errors import InputError
from commit_t5x.mixing import dictionary_files

BASE_URL = "https://dl.fbaipublicfiles.com/arrival/dictionaries"
TERMS = "CC BY-NC 4.0"
LICENCE = f"MUSE dictionaries (Meta), {TERMS}: https://github.com/facebookresearch/MUSE"

_TIMEOUTS = 10, 60  # seconds: for the connection, and for the next bytes
_ATTEMPTS = 3
_CHUNK_BYTES = 2**14


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


def fetch(url: str, path: pathlib.Path) -> dictionary_files.LoadReport:
    """Downloads a dictionary and returns what it holds; shows a bar on a terminal, else a line.

    Args:
      url: the file on the web.
      path: the file here, which is replaced once the download is whole and can be read.

    Raises:
      InputError: the file can't be had or written, or isn't a dictionary.
    """
    content = _download(url, path)
    with disk.finished(path) as aside:
        aside.write_bytes(content)
        try:
            return read(aside)
        except InputError as error:
            raise InputError(url + str(error).removeprefix(str(aside))) from error


def read(path: pathlib.Path) -> dictionary_files.LoadReport:
    """Returns what a dictionary file holds.

    Raises:
      InputError: it is a web page, can't be read, or holds mostly lines that aren't pairs.
    """
    _, report, *_ = dictionary_files.load(path, skip_malformed=True)
    if report.odd > report.pairs:
        number, reason = report.odd_lines[0]
        raise InputError(f"{path}:{number}: {reason}; most lines are not word pairs")
    return report


def _download(url: str, path: pathlib.Path) -> bytes:
    """Returns a file of some megabytes; tries again where the connection fails."""
    import requests  # here: it takes a while to load

    console = rich.console.Console(stderr=True)
    if not console.is_terminal:
        print(f"Fetching {url}", flush=True)
    for _ in range(_ATTEMPTS):
        try:
            with requests.get(url, stream=True, timeout=_TIMEOUTS) as response:
                response.raise_for_status()
                length = response.headers.get("Content-Length", "")
                total = int(length) if length.isdecimal() else None
                return _receive(response.iter_content(_CHUNK_BYTES), total, path.name, console)
        except requests.HTTPError as error:
            raise InputError(
                f"{url}: the server answers {response.status_code} {response.reason}; check its "
                "name, or try again later"
            ) from error
        except requests.RequestException as error:
            failure = error
    raise InputError(
        f"{url}: {_reason(failure)}; try again later, or get the file by other means and save it "
        f"as {path}"
    ) from failure


def _receive(
    chunks: Iterable[bytes], total: int | None, name: str, console: rich.console.Console
) -> bytes:
    """Returns the chunks as one; shows a bar on a terminal."""
    columns = (
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.DownloadColumn(),
    )
    content = bytearray()
    with rich.progress.Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        bar = bars.add_task(name, total=total)
        for chunk in chunks:
            content += chunk
            bars.update(bar, completed=len(content))
    return bytes(content)


def _reason(failure: Exception) -> str:
    from requests import exceptions

    match failure:
        case exceptions.ProxyError():
            return "the proxy doesn't reach it"
        case exceptions.SSLError():
            return "no secure connection"
        case exceptions.Timeout():
            return "no answer in time"
        case exceptions.ChunkedEncodingError():
            return "the connection broke off"
        case exceptions.ConnectionError():
            return "no connection"
    return str(failure)
