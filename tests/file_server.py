"""A web server on the loopback interface that serves files from memory, well or badly."""

import contextlib
import dataclasses
import http.server
import re
import threading
from collections.abc import Iterator

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@dataclasses.dataclass
class WebFile:
    """A file and how it is served.

    Attributes:
      content: the file.
      etag: its mark, if any.
      modified: its date, if any.
      status: of every answer.
      breaks: for each request in turn, after how many bytes of content the connection breaks off;
        requests beyond these get all.
      ranges: whether a part is sent where a part is asked for.
      if_range: whether a part is only sent of the version that was asked for.
      length: whether the length is told beforehand.
      headers: further headers, or others instead.
    """

    content: bytes
    etag: str = '"1"'
    modified: str = DATE
    status: int = 200
    breaks: tuple[int, ...] = ()
    ranges: bool = True
    if_range: bool = True
    length: bool = True
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


class FileServer:
    """Serves `files`, by name; `requests` are (name, Range header or None) of each request."""

    def __init__(self):
        self.url = ""
        self.files: dict[str, WebFile] = {}
        self.requests: list[tuple[str, str | None]] = []


@contextlib.contextmanager
def serve() -> Iterator[FileServer]:
    """Yields a server, which listens until the block ends."""
    state = FileServer()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name, asked = self.path.lstrip("/"), self.headers.get("Range")
            state.requests.append((name, asked))
            file = state.files.get(name, WebFile(b"gone", status=404))
            start = self.part_start(file, asked)
            content = file.content[start or 0 :]
            if start is not None and not content:
                return self.send_error(416)
            self.send_response(file.status if start is None else 206)
            headers = {"ETag": file.etag, "Last-Modified": file.modified}
            if start is not None:
                end = len(file.content)
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{end}"
            if file.length:
                headers["Content-Length"] = str(len(content))
            headers |= file.headers
            for header in filter(headers.get, headers):
                self.send_header(header, headers[header])
            self.end_headers()
            if file.breaks:
                content, file.breaks = content[: file.breaks[0]], file.breaks[1:]
            self.wfile.write(content)

        def part_start(self, file, asked):
            """Returns the first byte to send, None to send all."""
            if not asked or not file.ranges:
                return None
            if file.if_range and self.headers["If-Range"] not in (file.etag, file.modified):
                return None
            return int(re.fullmatch(r"bytes=(\d+)-", asked)[1])

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
