"""A Hugging Face hub on the loopback interface, which serves data sets from memory."""

import contextlib
import http.server
import json
import socket
import threading
import urllib.parse
from collections.abc import Iterator, Mapping

import datasets
import huggingface_hub

_COMMIT = "0" * 40


@contextlib.contextmanager
def serve(repositories: Mapping[str, Mapping[str, bytes]]) -> Iterator[str]:
    """Serves data sets, each a mapping from file name to content; yields the hub's URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def handle_request(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urllib.parse.urlsplit(self.path).path
            match path.removeprefix("/api").split("/")[1:]:
                case ["datasets", user, name, *_] if f"{user}/{name}" not in repositories:
                    self.reply(404, "{}", {"X-Error-Code": "RepoNotFound"})
                case ["datasets", user, name, "resolve", _, *file]:
                    content = repositories[f"{user}/{name}"].get("/".join(file))
                    if content is None:
                        self.reply(404, "", {"X-Error-Code": "EntryNotFound"})
                    else:
                        etag = f'"{name}/{"/".join(file)}"'
                        self.reply(200, content, {"X-Repo-Commit": _COMMIT, "ETag": etag})
                case ["datasets", user, name, *rest]:
                    self.reply(200, json.dumps(_api(f"{user}/{name}", repositories, rest, body)))
                case _:
                    self.reply(404, "")

        do_GET = do_HEAD = do_POST = handle_request

        def reply(self, status, content, headers=()):
            content = content.encode() if isinstance(content, str) else content
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


def _api(repository, repositories, rest, body):
    files = repositories[repository]
    match rest:
        case ["tree", *_]:
            return [_entry(files, name) for name in files]
        case ["paths-info", *_]:
            names = json.loads(body)["paths"]
            return [_entry(files, name) for name in names if name in files]
    siblings = [{"rfilename": name} for name in files]
    return {"id": repository, "sha": _COMMIT, "siblings": siblings, "tags": [], "private": False}


def _entry(files, name):
    return {"type": "file", "path": name, "size": len(files[name]), "oid": name}
