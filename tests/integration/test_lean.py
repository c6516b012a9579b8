"""Our own clients of S3 and DynamoDB: the stores over them and over boto3's; what they do when something goes wrong."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.cloud import ACCOUNT, REGION, account
from tidemill.aws import clients, lean
from tidemill.aws.objects import Objects
from tidemill.aws.registry import Registry
from tidemill.aws.stores import Stores
from tidemill.errors import InvalidSettings, NotFound, StoreUnavailable
from tidemill_cli.local.process import MiniStack

pytestmark = pytest.mark.e2e

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    ministack = MiniStack(tmp_path_factory.mktemp("stores"), port=0)
    try:
        with account(AWS_ENDPOINT_URL=ministack.start().endpoint, AWS_ACCESS_KEY_ID=ACCOUNT) as stores:
            yield stores
    finally:
        ministack.stop()


@pytest.fixture(params=["boto3", "lean"])
def objects(stores: Stores, request: pytest.FixtureRequest) -> Objects:
    return Objects(clients.s3() if request.param == "boto3" else lean.s3(), "captures")


@pytest.fixture(params=["boto3", "lean"])
def registry(stores: Stores, request: pytest.FixtureRequest) -> Registry:
    return Registry(clients.dynamodb() if request.param == "boto3" else lean.dynamodb(), "registry")


@pytest.mark.parametrize("key", ["a/b.json", "with space/+&=?#%", "日本/ü~(1)!*'.bin", "a//b", "x" * 900])
def test_what_is_put_under_a_key_is_got_from_it(objects: Objects, stores: Stores, key: str) -> None:
    objects.put(key, b"\0\xff" + key.encode(), "text/plain")
    assert objects.get(key) == b"\0\xff" + key.encode()
    assert Objects(stores.captures.client, "captures").get(key) == objects.get(key)
    head = clients.s3().head_object(Bucket="captures", Key=key)
    assert head["ContentType"] == "text/plain"


def test_a_large_object_comes_whole(objects: Objects) -> None:
    data = os.urandom(9_000_000)
    objects.put("large", data)
    assert objects.get("large") == data
    objects.put("empty", b"")
    assert objects.get("empty") == b""


@pytest.mark.parametrize("bucket", ["captures", "no-such-bucket"])
def test_a_key_that_is_not_there_is_not_found(objects: Objects, bucket: str) -> None:
    with pytest.raises(NotFound, match=f"reading s3://{bucket}/nothing"):
        Objects(objects.client, bucket).get("nothing")


def test_a_table_that_is_not_there_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound):
        Registry(registry.client, "nothing").champion("trips")


def test_the_champion_is_read_as_it_was_promoted(registry: Registry, stores: Stores) -> None:
    assert registry.champion("nobody") is None
    if stores.registry.champion("trips") is None:
        stores.registry.promote("trips", 3, expected=None, run="r", who="w", why="y", now=NOW)
    champion = registry.champion("trips")
    assert champion is not None
    assert (champion.version, champion.run) == (3, "r")


def test_all_pages_of_a_list_are_read(registry: Registry, stores: Stores) -> None:
    models = [f"m-{i:03d}-{'x' * 30}" for i in range(60)]
    for model in models:
        # A page has at most 1 MB.
        stores.registry._put({"pk": "MODELS", "sk": model, "padding": "p" * 40_000})
    assert [model for model in registry.models() if model.startswith("m-")] == models


@pytest.mark.parametrize(
    "facts",
    [
        {
            "a": None,
            "b": True,
            "c": False,
            "d": 0,
            "e": -1.5,
            "f": "",
            "g": "日本",
            "h": [1, [2.0, "x"]],
            "i": {"j": {}},
        },
        {"big": 2**63, "small": 1e-9, "large": 1.5e20, "third": 1 / 3, "zero": -0.0},
    ],
)
def test_facts_are_read_as_they_were_written(registry: Registry, stores: Stores, facts: dict[str, Any]) -> None:
    stores.registry.put_version("facts", 1, **facts)
    read = registry.version("facts", 1)
    assert {name: read[name] for name in facts} == facts
    assert isinstance(read["version"], int)


Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers each request by the next of `answers`; `seen` has their headers."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.seen: list[dict[str, str]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.seen.append({name.lower(): value for name, value in self.headers.items()})
                server.answers.pop(0)(self)

            do_POST = do_GET  # noqa: N815 the name that http.server looks for

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean, "_PAUSE", 0.0)


def answer(status: int, body: bytes = b"", *, then_close: bool = False) -> Answer:
    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
        # As a server that grew tired of an idle connection: without a word.
        handler.close_connection = then_close

    return send


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def bucket(server: Server, **environment: str) -> Objects:
    known = {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    client: Any = lean.S3({**known, **environment})
    return Objects(client, "bucket")


@pytest.mark.parametrize("trouble", [answer(500), answer(503, b"<Code>SlowDown</Code>"), answer(429), hang_up])
def test_what_may_pass_is_tried_again(server: Server, trouble: Answer) -> None:
    server.answers = [trouble, trouble, answer(200, b"x")]
    assert bucket(server).get("k") == b"x"


@pytest.mark.parametrize(
    ("trouble", "told"), [(answer(503, b"<Code>SlowDown</Code>"), "SlowDown"), (hang_up, "Unreach")]
)
def test_it_is_given_up_after_some_attempts(server: Server, trouble: Answer, told: str) -> None:
    server.answers = [trouble] * 9
    with pytest.raises(StoreUnavailable, match=told):
        bucket(server).get("k")
    assert len(server.seen) == lean.ATTEMPTS


def test_a_throttle_of_dynamodb_is_tried_again_and_a_mistake_is_not(server: Server) -> None:
    client: Any = lean.DynamoDB(bucket(server).client._caller._environment)  # type: ignore[attr-defined]
    throttle = answer(400, json.dumps({"__type": "x#ProvisionedThroughputExceededException"}).encode())
    server.answers = [
        throttle,
        answer(200, b"{}"),
        answer(400, json.dumps({"__type": "x#ValidationException"}).encode()),
    ]
    registry = Registry(client, "registry")
    assert registry.champion("m") is None
    with pytest.raises(StoreUnavailable, match="ValidationException"):
        registry.champion("m")
    assert len(server.seen) == 3


def test_a_role_without_the_permission_is_told_so(server: Server) -> None:
    server.answers = [answer(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>")]
    with pytest.raises(InvalidSettings, match="lacks a permission"):
        bucket(server).get("k")


def test_a_kept_connection_that_died_costs_no_attempt(server: Server) -> None:
    """A function is frozen after each reply, and its connections are closed from the other side meanwhile."""
    objects = bucket(server)
    server.answers = [answer(200, b"1", then_close=True), *[answer(500)] * (lean.ATTEMPTS - 1), answer(200, b"2")]
    assert objects.get("k") == b"1"
    assert objects.get("k") == b"2"


def test_the_containers_credentials_are_fetched_once_and_again_before_they_end(server: Server) -> None:
    def credentials(name: str, minutes: float) -> Answer:
        until = (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = {"AccessKeyId": name, "SecretAccessKey": "s", "Token": "t", "Expiration": until}
        return answer(200, json.dumps(told).encode())

    environment = {
        "AWS_ENDPOINT_URL": server.url,
        "AWS_REGION": REGION,
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{server.url}/credentials?x=1",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "secret",
    }
    client: Any = lean.S3(environment)
    found = answer(200, b"x")
    server.answers = [credentials("first", 1), found, credentials("second", 60), found, found]
    for _ in range(3):
        Objects(client, "bucket").get("k")
    assert [headers["authorization"][:50].partition("/")[0] for headers in server.seen] == [
        "secret",
        "AWS4-HMAC-SHA256 Credential=first",
        "secret",
        "AWS4-HMAC-SHA256 Credential=second",
        "AWS4-HMAC-SHA256 Credential=second",
    ]
    assert server.seen[1]["x-amz-security-token"] == "t"


@pytest.mark.parametrize(
    ("region", "host"),
    [("eu-west-1", "bucket.s3.eu-west-1.amazonaws.com"), ("cn-north-1", "bucket.s3.cn-north-1.amazonaws.com.cn")],
)
def test_on_aws_a_bucket_is_called_by_its_own_name_over_tls(
    monkeypatch: pytest.MonkeyPatch, region: str, host: str
) -> None:
    called = []

    def exchange(self: Any, *request: Any) -> tuple[int, bytes]:
        called.append((self.name, self._secure, *request[:2]))
        return 200, b""

    monkeypatch.setattr(lean._Host, "exchange", exchange)
    client: Any = lean.S3({"AWS_REGION": region, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"})
    Objects(client, "bucket").get("a b")
    assert called == [(host, True, "GET", "/a%20b")]


def test_without_a_region_or_credentials_the_setting_is_named() -> None:
    for environment, missing in ({"AWS_ACCESS_KEY_ID": "a"}, "AWS_REGION"), ({"AWS_REGION": REGION}, "AWS_ACCESS_KEY"):
        client: Any = lean.S3(environment)
        with pytest.raises(InvalidSettings, match=missing):
            Objects(client, "bucket").get("k")
