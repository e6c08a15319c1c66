"""A file from the web, whole or not at all; a download that broke off goes on where it stopped."""

import os
import pathlib
import re
from collections.abc import Callable

import requests

from commit_t5x.errors import InputError

_TIMEOUTS = 10, 60  # seconds: for the connection, and for the next bytes
_ATTEMPTS = 5  # at most, and only as long as each brings more of the file
_CHUNK_BYTES = 4096  # up to as much is lost where a connection breaks off

Progress = Callable[[int, int | None], None]  # bytes that have arrived, bytes in all if known


def download(
    url: str, path: pathlib.Path, *, check: Callable[[pathlib.Path], None], progress: Progress
) -> None:
    """Downloads `url` to `path`, which is replaced once the download is whole and checked.

    What has arrived waits in `{path}.part`, and in `{path}.part.version` the mark (ETag or date) by
    which the server tells whether the file is still the same. If it is not, or if there is no mark,
    the download starts anew.

    Args:
      url: the file on the web.
      path: the file here; its folder is made.
      check: raises InputError("PATH: ...") if the file at that path, the whole download, isn't what
        was asked for; it is then deleted.
      progress: called as bytes arrive.

    Raises:
      InputError: the server can't be reached, has no such file or breaks off; the folder can't be
        written to; `check` fails.
    """
    part, version = (path.with_name(path.name + end) for end in (".part", ".part.version"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _receive(url, path, part, version, progress)
        try:
            check(part)
        except InputError as error:
            _discard(part, version)
            raise InputError(url + str(error).removeprefix(str(part))) from error
        os.replace(part, path)
        version.unlink()
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{path}: cannot be written ({reason}); choose another folder") from error


def _receive(
    url: str, path: pathlib.Path, part: pathlib.Path, version: pathlib.Path, progress: Progress
) -> None:
    """Brings `part` to its full length, in several attempts if need be."""
    with requests.Session() as session:
        for _ in range(_ATTEMPTS):
            before = _size(part)
            try:
                return _attempt(session, url, part, version, progress)
            except requests.RequestException as error:
                failure = error
            if _size(part) <= before:
                break
    kept = _size(part)
    if not kept:
        _discard(part, version)
    again = f"run the command again to go on after {kept:,} bytes" if kept else "try again later"
    raise InputError(
        f"{url}: {_reason(failure)}; {again}, or get the file by other means and save it as {path}"
    ) from failure


def _attempt(
    session: requests.Session,
    url: str,
    part: pathlib.Path,
    version: pathlib.Path,
    progress: Progress,
) -> None:
    """Adds what is missing to `part`.

    Raises:
      RequestException: the transfer fails.
      InputError: the server refuses.
    """
    start, mark = _kept(url, part, version)
    headers = {"Accept-Encoding": "identity"}  # else lengths and ranges are not those of the file
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": mark}
    with session.get(url, headers=headers, stream=True, timeout=_TIMEOUTS) as response:
        continues = start and response.status_code == requests.codes.partial_content
        if continues and not _fits(response, start, mark) or start and response.status_code == 416:
            _discard(part, version)  # the file has changed
            return _attempt(session, url, part, version, progress)
        _check_status(url, response)
        if not continues:
            start = 0
            part.write_bytes(b"")
            version.write_text(f"{url}\n{_mark(response)}\n", encoding="utf-8")
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        progress(start, total)
        with part.open("ab") as file:
            for chunk in response.iter_content(_CHUNK_BYTES):
                file.write(chunk)
                progress(file.tell(), total)


def _kept(url: str, part: pathlib.Path, version: pathlib.Path) -> tuple[int, str]:
    """Returns how many bytes of `url` have arrived before, and their mark; 0 without a mark."""
    if not version.exists():
        return 0, ""
    noted = version.read_text(encoding="utf-8", errors="replace")
    noted_url, _, mark = noted.strip().partition("\n")
    return (_size(part), mark) if noted_url == url and mark else (0, "")


def _mark(response: requests.Response) -> str:
    """Returns what tells one version of the file from another; empty if nothing does so surely."""
    if "Content-Encoding" in response.headers:
        return ""  # ranges would be those of another form of the file
    etag = response.headers.get("ETag", "")
    weak = etag.startswith("W/")
    return etag if etag and not weak else response.headers.get("Last-Modified", "")


def _fits(response: requests.Response, start: int, mark: str) -> bool:
    """Whether the response holds all of the same file from `start` on."""
    ranged = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
    if not ranged or _mark(response) not in (mark, ""):
        return False
    first, last, length = map(int, ranged.groups())
    return first == start and last == length - 1


def _check_status(url: str, response: requests.Response) -> None:
    if response.status_code in (403, 404, 410):  # some servers say 403 of what they don't have
        raise InputError(
            f"{url}: no such file there (status {response.status_code}); check its name"
        )
    if not response.ok:
        raise InputError(
            f"{url}: the server answers {response.status_code} {response.reason}; try again later"
        )


def _discard(*paths: pathlib.Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _size(part: pathlib.Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _reason(failure: requests.RequestException) -> str:
    match failure:
        case requests.exceptions.ProxyError():
            return "the proxy doesn't reach it"
        case requests.exceptions.SSLError():
            return "no secure connection"
        case requests.exceptions.Timeout():
            return "no answer in time"
        case requests.exceptions.ChunkedEncodingError():
            return "the connection broke off"
        case requests.exceptions.ConnectionError():
            return "no connection"
    return str(failure)
