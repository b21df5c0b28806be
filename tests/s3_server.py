"""A small S3 endpoint on this machine: PutObject that creates only, GetObject, ListObjectsV2.

Real HTTP for the real client; it checks no signature and keeps objects in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 2
"""Keys a listing answers at a time, so that clients have to ask for the rest."""


class S3Server(ThreadingHTTPServer):
    """Objects by (bucket, key). ``failing`` makes it answer 503; ``lost_replies`` are PUTs that
    are done and answered with 500."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[tuple[str, str], bytes] = {}
        self.lock = threading.Lock()
        self.failing = False
        self.lost_replies = 0

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3Server

    def do_PUT(self) -> None:
        place, body = self._place(), self._body()
        with self.server.lock:
            create_only = self.headers.get("If-None-Match") == "*"
            if self.server.failing:
                return self._error(503, "ServiceUnavailable")
            if create_only and place in self.server.objects:
                return self._error(412, "PreconditionFailed")
            self.server.objects[place] = body
            if self.server.lost_replies:
                self.server.lost_replies -= 1
                return self._error(500, "InternalError")
        return self._answer(200, b"")

    def do_GET(self) -> None:
        bucket, key = self._place()
        query = parse_qs(urlsplit(self.path).query)
        with self.server.lock:
            if self.server.failing:
                return self._error(503, "ServiceUnavailable")
            if "list-type" in query:
                return self._answer(200, self._listing(bucket, query))
            found = self.server.objects.get((bucket, key))
        return self._error(404, "NoSuchKey") if found is None else self._answer(200, found)

    def _listing(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", [""])[0]
        keys = sorted(key for place, key in self.server.objects if place == bucket)
        keys = [key for key in keys if key.startswith(prefix) and key > after]
        some = "".join(f"<Contents><Key>{escape(key)}</Key></Contents>" for key in keys[:PAGE])
        more = len(keys) > PAGE
        last = escape(keys[PAGE - 1]) if more else ""
        token = f"<NextContinuationToken>{last}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{some}</ListBucketResult>"
        ).encode()

    def _place(self) -> tuple[str, str]:
        bucket, _, key = unquote(urlsplit(self.path).path).removeprefix("/").partition("/")
        return bucket, key

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return _unchunked(body) if "aws-chunked" in self._encoding() else body
        raw = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            raw += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return _unchunked(raw) if "aws-chunked" in self._encoding() else raw

    def _encoding(self) -> str:
        return self.headers.get("Content-Encoding", "")

    def _error(self, status: int, code: str) -> None:
        self._answer(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _unchunked(raw: bytes) -> bytes:
    """The content of an ``aws-chunked`` body, without its trailing checksum."""
    body = b""
    while raw:
        head, _, raw = raw.partition(b"\r\n")
        size = int(head.split(b";")[0], 16)
        if size == 0:
            break
        body, raw = body + raw[:size], raw[size + 2 :]
    return body


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """The server, until the block ends."""
    server = S3Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
