"""The endpoint on this machine's loopback, with the caller's own signature or key on every request.

A browser can sign nothing. It is bound to 127.0.0.1, and answers nobody's page but its own: any other page that is open
in the browser could otherwise call the endpoint in the user's name.
"""

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import BoundedSemaphore
from typing import Any

from tidemill.errors import TidemillError
from tidemill_cli.endpoint import Endpoint

HOST = "127.0.0.1"
AT_ONCE = 16
LARGEST_BODY = 10_000_000
"""Bytes; API Gateway takes no more."""
_PASSED_ON = ("Accept", "Content-Type", "Inference-Header-Content-Length")
_PASSED_BACK = (
    "Allow", "Cache-Control", "Content-Security-Policy", "Content-Type", "Referrer-Policy", "Retry-After",
    "X-Content-Type-Options",
)  # fmt: skip


class Proxy(ThreadingHTTPServer):
    """At most `AT_ONCE` requests at a time; the others wait to be accepted."""

    daemon_threads = True

    def __init__(self, endpoint: Endpoint, port: int) -> None:
        self.endpoint = endpoint
        self._room = BoundedSemaphore(AT_ONCE)
        super().__init__((HOST, port), _Handler)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}"

    @property
    def names(self) -> tuple[str, ...]:
        """What a request to it may call it; another one came by a name that was made to lead here."""
        return (f"{HOST}:{self.server_port}", f"localhost:{self.server_port}")

    def process_request(self, request: Any, client_address: Any) -> None:
        self._room.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who hangs up early is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    timeout = 30
    """Seconds that a caller may take to say something."""

    def _answer(self) -> None:
        refusal = self._refusal()
        if refusal:
            self._reply(*refusal)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
        passed = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
        try:
            response = self.server.endpoint.send(self.command, self.path, passed, body)
        except TidemillError as error:
            self._reply(502, str(error))
            return
        back = {name: response.headers[name] for name in _PASSED_BACK if name in response.headers}
        self._write(response.status_code, back, response.content)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 as http.server calls them

    def _refusal(self) -> tuple[int, str] | None:
        """Status and reason of what is not passed on."""
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in self.server.names or origin not in (
            None,
            *map("http://{}".format, self.server.names),
        ):
            return 403, f"this proxy answers its own pages only: open {self.server.url}"
        if "Transfer-Encoding" in self.headers:
            return 411, "send the body with its Content-Length"
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal():
            return 400, f"Content-Length is {length!r}, not a number of bytes"
        if int(length) > LARGEST_BODY:
            return 413, f"the body has {int(length):,} bytes, and {LARGEST_BODY:,} is the limit"
        return None

    def _reply(self, status: int, detail: str) -> None:
        problem = {"type": "about:blank", "title": self.responses[status][0], "status": status, "detail": detail}
        self._write(status, {"Content-Type": "application/problem+json"}, json.dumps(problem).encode())

    def _write(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """What is called through it, the endpoint's own log has."""
