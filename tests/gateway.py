"""Loopback in front of the handler of infer: HTTP in, and the events that API Gateway would make of it."""

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

STAGE = "/v1"

Event = dict[str, Any]


class Gateway(ThreadingHTTPServer):
    """Many connections, and one request after another, as one copy of a function has them; `events` has them all."""

    def __init__(self, answer: Callable[[Event], Any]) -> None:
        self.answer = answer
        self.events: list[Event] = []
        self.one = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        """Without http://."""
        return f"127.0.0.1:{self.server_port}{STAGE}"


class _Handler(BaseHTTPRequestHandler):
    server: Gateway
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        event = {
            "httpMethod": self.command,
            "path": self.path.partition("?")[0].removeprefix(STAGE),
            "headers": {name: value for name, value in self.headers.items() if name != "Host"},
            "body": base64.b64encode(body).decode() if _is_binary(body) else body.decode(),
            "isBase64Encoded": _is_binary(body),
            "requestContext": {"requestId": f"q{len(self.server.events)}"},
        }
        with self.server.one:
            self.server.events.append(event)
            reply = self.server.answer(event)
        content = reply["body"].encode()
        self.send_response(reply["statusCode"])
        for name, value in {**reply["headers"], "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = do_TRACE = do_QUERY = _answer  # noqa: N815 as http.server calls them

    def log_message(self, *_: Any) -> None:
        """The client says what it heard."""


def _is_binary(body: bytes) -> bool:
    try:
        return "\0" in body.decode()
    except UnicodeDecodeError:
        return True


@contextmanager
def gateway(answer: Callable[[Event], Any]) -> Iterator[Gateway]:
    with Gateway(answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
