"""Endpoints that fall short of S3's promises, over real HTTP."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session

from tests.ceph import ACCOUNTS, REGION, S3Server


class _Endpoint(ThreadingHTTPServer):
    """On a free port of loopback, for as long as its block lasts."""

    daemon_threads = True

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class ForgetfulGateway(_Endpoint):
    """Passes requests on to the server without ``If-None-Match``, signed again."""

    def __init__(self, behind: S3Server) -> None:
        self.behind = behind
        super().__init__(_Forgetting)


class WebPage(_Endpoint):
    """Answers everything with a page for people."""

    def __init__(self) -> None:
        super().__init__(_Welcoming)


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, content = self.answer(body)
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_PUT(self) -> None:
        self.do_GET()

    def answer(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content."""
        raise NotImplementedError

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class _Forgetting(_Answering):
    server: ForgetfulGateway

    def answer(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        kept = ("content-", "x-amz-content", "x-amz-checksum")
        headers = {
            name: text for name, text in self.headers.items() if name.lower().startswith(kept)
        }
        request = AWSRequest(self.command, self.server.behind.url + self.path, headers, body)
        owner = Credentials("owner", ACCOUNTS["owner"])
        S3SigV4Auth(owner, "s3", REGION).add_auth(request)
        answer = URLLib3Session().send(request.prepare())
        version = answer.headers.get("x-amz-version-id")
        return answer.status_code, {"x-amz-version-id": version} if version else {}, answer.content


class _Welcoming(_Answering):
    def answer(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        return 200, {}, b"<!doctype html><title>Welcome</title><p>It works!<br>"
