"""The endpoint on loopback: what is passed on, and what is not."""

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest

from tidemill_cli.cloud import Target
from tidemill_cli.endpoint import Endpoint
from tidemill_cli.proxy import LARGEST_BODY, Proxy


class Behind(HTTPServer):
    """Stands for API Gateway, and keeps what came."""

    def __init__(self) -> None:
        self.came: list[tuple[str, dict[str, str], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Answer)


class _Answer(BaseHTTPRequestHandler):
    server: Behind

    def do_GET(self) -> None:
        self.server.came.append((self.path, dict(self.headers), b""))
        self.send_response(200)
        for name, value in {"Content-Type": "text/html", "Content-Security-Policy": "default-src 'none'"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"<p>a page")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.came.append((self.path, dict(self.headers), body))
        self.send_response(429)
        for name, value in {"Content-Type": "text/plain", "Retry-After": "7", "Set-Cookie": "secret"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(b"slow down")

    def log_message(self, *_: Any) -> None:
        """Tests say enough."""


@pytest.fixture
def behind() -> Iterator[Behind]:
    with Behind() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def proxy(behind: Behind) -> Iterator[Proxy]:
    def sign(request: AWSRequest) -> None:
        request.headers["Authorization"] = "signed"

    target = Target("a stack", True, {}, lambda _: None, f"http://127.0.0.1:{behind.server_port}/v1", str, sign)
    with Proxy(Endpoint(target), 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def call(
    proxy: Proxy,
    headers: dict[str, str] | None = None,
    body: bytes | None = b"{}",
    method: str = "POST",
    path: str = "/models/trips/predict?a=b",
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.server_port, timeout=10)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    return response.status, dict(response.headers), response.read()


def test_a_request_is_passed_on_signed_and_its_answer_back(proxy: Proxy, behind: Behind) -> None:
    status, headers, body = call(proxy, {"Content-Type": "application/json", "Cookie": "private"})
    (path, came, sent) = behind.came[0]
    assert (path, sent) == ("/v1/models/trips/predict?a=b", b"{}")
    assert (came["Authorization"], came["Content-Type"], "Cookie" in came) == ("signed", "application/json", False)
    assert (status, headers["Retry-After"], headers["Content-Type"], body) == (429, "7", "text/plain", b"slow down")
    assert "Set-Cookie" not in headers


def test_a_page_comes_with_the_policy_that_bounds_it(proxy: Proxy, behind: Behind) -> None:
    status, headers, body = call(proxy, body=None, method="GET", path="/docs")
    assert (status, body, behind.came[0][0]) == (200, b"<p>a page", "/v1/docs")
    assert (headers["Content-Type"], headers["Content-Security-Policy"]) == ("text/html", "default-src 'none'")


def test_where_bytes_begin_in_a_body_is_passed_on(proxy: Proxy, behind: Behind) -> None:
    call(proxy, {"Inference-Header-Content-Length": "2"}, b"{}\x00")
    assert (behind.came[0][1]["Inference-Header-Content-Length"], behind.came[0][2]) == ("2", b"{}\x00")


def test_it_listens_on_this_machine_alone(proxy: Proxy) -> None:
    assert proxy.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Host": "rebound.example:80"},
        {"Host": "127.0.0.1:1"},
    ],
)
def test_no_other_page_of_the_browser_calls_in_the_users_name(
    proxy: Proxy, behind: Behind, headers: dict[str, str]
) -> None:
    status, answered, body = call(proxy, headers)
    assert (status, behind.came) == (403, [])
    assert answered["Content-Type"] == "application/problem+json"
    assert "answers its own pages only" in json.loads(body)["detail"]


def test_its_own_page_may_call(proxy: Proxy, behind: Behind) -> None:
    assert call(proxy, {"Origin": proxy.url})[0] == 429
    assert len(behind.came) == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Length": str(LARGEST_BODY + 1)}, 413),
        ({"Content-Length": "many"}, 400),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_a_body_without_bounds_is_not_read(proxy: Proxy, behind: Behind, headers: dict[str, str], status: int) -> None:
    assert call(proxy, headers, None)[0] == status
    assert behind.came == []


def test_an_endpoint_that_cannot_be_reached_is_told(proxy: Proxy, behind: Behind) -> None:
    behind.server_close()
    status, _, body = call(proxy)
    assert status == 502
    assert "cannot be reached" in json.loads(body)["detail"]
