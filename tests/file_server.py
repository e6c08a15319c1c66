"""A web server on the loopback interface that serves files from memory, well or badly."""

import contextlib
import dataclasses
import http.server
import threading
from collections.abc import Iterator


@dataclasses.dataclass
class WebFile:
    """A file and how it is served.

    Attributes:
      content: the file.
      status: of every answer.
      breaks: for each request in turn, after how many bytes of content the connection breaks off;
        requests beyond these get all.
    """

    content: bytes
    status: int = 200
    breaks: tuple[int, ...] = ()


class FileServer:
    """Serves `files`, by name; `requests` are the names asked for."""

    def __init__(self):
        self.url = ""
        self.files: dict[str, WebFile] = {}
        self.requests: list[str] = []


@contextlib.contextmanager
def serve() -> Iterator[FileServer]:
    """Yields a server, which listens until the block ends."""
    state = FileServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.lstrip("/")
            state.requests.append(name)
            file = state.files.get(name, WebFile(b"gone", status=404))
            self.send_response(file.status)
            self.send_header("Content-Length", str(len(file.content)))
            self.end_headers()
            end = None
            if file.breaks:
                end, *file.breaks = file.breaks
            self.wfile.write(file.content[:end])

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
