"""The endpoint as tritonclient sees it: `python -m tests.bench.v2_client [--record]`.

A model of two classes is trained on moto's stores, and `infer` answers on loopback behind a path, as API Gateway's is.
`--record` writes the requests as events of API Gateway, which tests/integration/test_described.py replays.
"""

import argparse
import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

from tests.bench.pinned import environment
from tests.cloud import ROOT, Cloud, cloud
from tests.tables import SPEC, csv, trips

PINNED = Path(__file__).with_name("v2.txt")
ASKS = Path(__file__).with_name("v2_asks.py")
RECORDED = ROOT / "tests/events/tritonclient.json"
STAGE = "/v1"


class _Gateway(HTTPServer):
    """Hands on what API Gateway would, one request after another, and keeps it."""

    def __init__(self, behind: Cloud) -> None:
        self.behind = behind
        self.events: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Gateway
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        event = {
            "httpMethod": self.command,
            "path": self.path.removeprefix(STAGE),
            "headers": {name: value for name, value in self.headers.items() if name != "Host"},
            "body": base64.b64encode(body).decode() if _is_binary(body) else body.decode(),
            "isBase64Encoded": _is_binary(body),
            "requestContext": {"requestId": f"q{len(self.server.events)}"},
        }
        self.server.events.append(event)
        reply = self.server.behind.invoke("infer", event)
        content = reply["body"].encode()
        self.send_response(reply["statusCode"])
        for name, value in {**reply["headers"], "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815 as http.server calls them

    def log_message(self, *_: Any) -> None:
        """The client says what it heard."""


def _is_binary(body: bytes) -> bool:
    return b"\x00" in body


@contextmanager
def gateway() -> Iterator[_Gateway]:
    with cloud() as behind:
        behind.spec("trips", SPEC.replace('"linear", "boosting"', '"linear"'))
        behind.train("trips", "first.csv", csv(trips(1_000)))
        with _Gateway(behind) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield server
            server.shutdown()


def main(*, record: bool) -> int:
    python = environment(PINNED, "tritonclient (half a minute)")
    # What the functions log; the client's own output goes past it.
    with redirect_stdout(StringIO()), gateway() as server:
        done = subprocess.run([str(python), str(ASKS), f"127.0.0.1:{server.server_port}{STAGE}"], check=False)
    if record:
        RECORDED.write_text(json.dumps(server.events, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return done.returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--record", action="store_true")
    raise SystemExit(main(record=parser.parse_args().record))
