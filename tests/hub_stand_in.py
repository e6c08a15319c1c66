"""A Hugging Face hub on the loopback interface, which serves data sets from memory."""

import contextlib
import hashlib
import http.server
import json
import re
import socket
import threading
import urllib.parse
from collections.abc import Iterator, Mapping

import datasets
import huggingface_hub


@contextlib.contextmanager
def serve(repositories: Mapping[str, Mapping[str, bytes]]) -> Iterator[str]:
    """Serves data sets, each a mapping from file name to content; yields the hub's URL.

    A data set's key is USER/NAME, or USER/NAME@BRANCH for a branch that isn't the main one.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_request(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            _, _, path, query, _ = urllib.parse.urlsplit(self.path)
            parts = path.removeprefix("/api").split("/")[1:]
            match [urllib.parse.unquote(part) for part in parts]:
                case ["datasets", user, name, *_] if f"{user}/{name}" not in repositories:
                    self.reply(404, "{}", {"X-Error-Code": "RepoNotFound"})
                case ["datasets", user, name, "resolve", revision, *file]:
                    self.reply_with_file(_key(repositories, user, name, revision), "/".join(file))
                case ["datasets", user, name, *rest]:
                    revision = rest[1] if len(rest) > 1 else "main"
                    key = _key(repositories, user, name, revision)
                    if key:
                        answer = _api(key, repositories[key], rest, query, body)
                        self.reply(200, json.dumps(answer))
                    else:
                        self.reply(404, "{}", {"X-Error-Code": "RevisionNotFound"})
                case _:
                    self.reply(404, "")

        def reply_with_file(self, key, file):
            if key is None:
                self.reply(404, "", {"X-Error-Code": "RevisionNotFound"})
            elif file not in repositories[key]:
                self.reply(404, "", {"X-Error-Code": "EntryNotFound"})
            else:
                headers = {"X-Repo-Commit": _commit(key), "ETag": f'"{_commit(key + file)}"'}
                self.reply(200, repositories[key][file], headers)

        do_GET = do_HEAD = do_POST = handle_request

        def reply(self, status, content, headers=()):
            content = content.encode() if isinstance(content, str) else content
            begin, end = 0, len(content)
            if asked := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
                status, begin, end = 206, int(asked[1]), int(asked[2]) + 1
            content = content[begin:end]
            self.send_response(status)
            for name, value in {**dict(headers), "Content-Length": len(content)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_address() -> str:
    """Returns a URL at which nothing answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def use(monkeypatch, url: str, cache) -> None:
    """Lets `datasets` and `huggingface_hub` take `url` for the hub and keep what they load in
    `cache`, until the monkeypatch is undone."""
    constants, config = huggingface_hub.constants, datasets.config
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + template)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    monkeypatch.setattr(config, "HF_ENDPOINT", url)
    monkeypatch.setattr(config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(config, "HF_DATASETS_CACHE", cache / "datasets")
    monkeypatch.setattr(config, "DOWNLOADED_DATASETS_PATH", cache / "downloads")
    huggingface_hub.HfFileSystem.clear_instance_cache()  # its instances remember their hub


def _key(repositories, user, name, revision) -> str | None:
    """Returns the key of the branch that a revision, a branch or a commit, means."""
    branches = [key for key in repositories if key.partition("@")[0] == f"{user}/{name}"]
    for key in branches:
        if revision in (key.partition("@")[2] or "main", _commit(key)):
            return key
    return None


def _commit(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


def _api(key, files, rest, query, body):
    match rest:
        case ["tree", *_] if "recursive=true" in query.lower():
            return [_entry(files, name) for name in files]
        case ["tree", _, *folder]:
            prefix = "".join(f"{part}/" for part in folder)
            inside = [name.removeprefix(prefix) for name in files if name.startswith(prefix)]
            folders = sorted({name.partition("/")[0] for name in inside if "/" in name})
            return [
                *({"type": "directory", "path": prefix + name, "oid": name} for name in folders),
                *(_entry(files, prefix + name) for name in inside if "/" not in name),
            ]
        case ["paths-info", *_]:
            names = json.loads(body)["paths"]
            return [_entry(files, name) for name in names if name in files]
    siblings = [{"rfilename": name} for name in files]
    name = key.partition("@")[0]
    return {"id": name, "sha": _commit(key), "siblings": siblings, "tags": [], "private": False}


def _entry(files, name):
    return {"type": "file", "path": name, "size": len(files[name]), "oid": name}
