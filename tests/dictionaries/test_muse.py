"""`commit-t5x dicts fetch` as users run it, against a web server that misbehaves."""

import contextlib
import os
import pty
import re
import sys
import threading

import file_server
import hub_stand_in
import pytest

from commit_t5x import cli

# Some hundred kilobytes, so that a connection can break off in the midst.
HINDI = "".join(f"word{i}\tशब्द{i}\n" for i in range(8000)).encode()
ENGLISH = "शब्द\tword\nटीवी\tटीवी\n".encode()


@pytest.fixture
def server():
    with file_server.serve() as server:
        server.files["en-hi.txt"] = file_server.WebFile(HINDI)
        server.files["hi-en.txt"] = file_server.WebFile(ENGLISH)
        yield server


@pytest.fixture
def fetch(dicts, server):
    return lambda *arguments: dicts("fetch", "--url", server.url, *arguments)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_fetches_both_directions_and_says_the_licence(fetch, server, folder):
    code, out, _ = fetch("hi")
    assert code == 0
    assert "CC BY-NC 4.0" in out.splitlines()[0]
    assert out.splitlines()[1:] == [
        f"Fetching {server.url}/en-hi.txt",
        "Wrote muse/en-hi.txt: 8,000 pairs, 8,000 words",
        f"Fetching {server.url}/hi-en.txt",
        "Wrote muse/hi-en.txt: 2 pairs, 2 words",
        """Use them with --gin.DICT_DIR="'muse'".""",
    ]
    assert names(folder / "muse") == ["en-hi.txt", "hi-en.txt"]
    assert (folder / "muse/en-hi.txt").read_bytes() == HINDI


@pytest.mark.parametrize(
    ("direction", "expected"), [("from-en", "en-hi.txt"), ("to-en", "hi-en.txt")]
)
def test_one_direction_and_another_folder(fetch, server, folder, direction, expected):
    code, _, _ = fetch("hi", "--direction", direction, "--to", "a/b")
    assert code == 0
    assert names(folder / "a/b") == [expected]


def test_several_languages(fetch, server, folder):
    server.files |= {"en-el.txt": file_server.WebFile(b"tea\tti\n")}
    code, _, _ = fetch("hi", "el", "hi", "--direction=from-en")
    assert code == 0
    assert server.requests == ["en-hi.txt", "en-el.txt"]


def test_what_is_there_stays_unless_forced(fetch, server, folder):
    (folder / "muse").mkdir()
    (folder / "muse/en-hi.txt").write_text("mine\tमेरा\n", encoding="utf-8")
    code, out, _ = fetch("hi")
    assert code == 0
    assert "muse/en-hi.txt is there: 1 pair, 1 word\n" in out
    assert server.requests == ["hi-en.txt"]
    code, _, _ = fetch("hi", "--force", "--direction=from-en")
    assert code == 0
    assert (folder / "muse/en-hi.txt").read_bytes() == HINDI


def test_what_is_there_but_no_dictionary_is_fetched_anew(fetch, server, folder):
    (folder / "muse").mkdir()
    (folder / "muse/en-hi.txt").write_text("<!DOCTYPE html>\na b\n", encoding="utf-8")
    code, out, _ = fetch("hi", "--direction=from-en")
    assert code == 0
    assert "Fetching anew: muse/en-hi.txt: a web page" in out
    assert (folder / "muse/en-hi.txt").read_bytes() == HINDI


def test_a_broken_connection_is_tried_again(fetch, server, folder):
    server.files["en-hi.txt"] = file_server.WebFile(HINDI, breaks=(100_000, 50_000))
    code, _, _ = fetch("hi", "--direction=from-en")
    assert code == 0
    assert (folder / "muse/en-hi.txt").read_bytes() == HINDI
    assert names(folder / "muse") == ["en-hi.txt"]


def test_a_connection_that_always_breaks(fetch, server, folder):
    server.files["en-hi.txt"] = file_server.WebFile(HINDI, breaks=(100_000,) * 9)
    code, _, err = fetch("hi")
    assert code == 2
    assert err == (
        f"{server.url}/en-hi.txt: the connection broke off; try again later, or get the file by "
        "other means and save it as muse/en-hi.txt"
    )
    assert names(folder) == []


PAGE = b"\n<!DOCTYPE HTML>\n<html><body>Please log in</body></html>\n"
REFUSED = {
    "not found": (
        file_server.WebFile(b"", status=404),
        ": the server answers 404 Not Found; check",
    ),
    "web page": (file_server.WebFile(PAGE), ": a web page, XML or JSON instead of a dictionary"),
    "empty": (file_server.WebFile(b""), ": no word pairs found"),
    "not UTF-8": (file_server.WebFile(b"a\tb\n\xff\n"), ":2: not UTF-8"),
    "prose": (file_server.WebFile(b"a b\nSome plain words.\nAnd then more.\n"), ":2: expected 2"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("old", [b"", b"old\tfile\n"])
def test_what_is_no_dictionary_leaves_nothing(fetch, server, folder, case, old):
    web_file, message = REFUSED[case]
    server.files["en-xx.txt"] = web_file
    if old:
        (folder / "en-xx.txt").write_bytes(old)
    code, _, err = fetch("xx", "--to", ".", "--force")
    assert code == 2
    assert err.startswith(f"{server.url}/en-xx.txt{message}")
    assert names(folder) == ["en-xx.txt"] * bool(old)


def test_a_few_odd_lines_are_told(fetch, server, folder):
    server.files["en-xx.txt"] = file_server.WebFile(b"a\tb\nc\td\nodd\n")
    code, out, _ = fetch("xx", "--direction=from-en")
    assert code == 0
    assert "Wrote muse/en-xx.txt: 2 pairs, 2 words, 1 odd line (see commit-t5x dicts check)" in out


def test_without_a_network_one_line_says_what_to_put_where(dicts, folder):
    url = hub_stand_in.closed_address()
    code, _, err = dicts("fetch", "hi", "--url", url)
    assert code == 2
    assert err == (
        f"{url}/en-hi.txt: no connection; try again later, or get the file by other means and save "
        "it as muse/en-hi.txt"
    )
    assert names(folder) == []


@pytest.mark.parametrize("language", ["en", "English", "../x", "hi/", "HI", ""])
def test_a_language_is_a_code(fetch, server, folder, language):
    code, _, err = fetch("--", language)
    assert code == 2
    assert err.startswith(f"language {language!r}: expected a code")
    assert not server.requests and not names(folder)


def test_a_url_without_scheme(dicts, folder):
    code, _, err = dicts("fetch", "hi", "--url", "example.org")
    assert code == 2
    assert err.startswith("example.org/en-hi.txt: Invalid URL")


def test_a_folder_that_is_a_file(fetch, server, folder):
    (folder / "muse").write_text("x", encoding="utf-8")
    code, _, err = fetch("hi")
    assert code == 2
    assert err.startswith("muse/en-hi.txt: can't be written (")


def test_a_terminal_gets_a_bar(capsys, monkeypatch, server, folder):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with terminal() as (stream, screen):
        monkeypatch.setattr(sys, "stderr", stream)
        assert cli.main(["dicts", "fetch", "hi", "--url", server.url]) == 0
    shown = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", b"".join(screen).decode())
    size = f"{len(HINDI) / 1000:.1f}"
    assert "en-hi.txt ━━━━" in shown and f"{size}/{size} kB" in shown
    out = capsys.readouterr().out
    assert "Fetching" not in out and "Wrote muse/hi-en.txt: 2 pairs, 2 words" in out


@contextlib.contextmanager
def terminal():
    """Yields a stream to a terminal, and the bytes that it has shown once the block has ended."""
    main, side = pty.openpty()
    screen = []

    def read():
        with contextlib.suppress(OSError):  # the other side is closed
            while data := os.read(main, 4096):
                screen.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    with open(side, "w", encoding="utf-8") as stream:
        yield stream, screen
    reader.join()
    os.close(main)
