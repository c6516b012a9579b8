"""What the endpoint loads for its first reply, in an interpreter that has nothing else: docs/decisions/0009."""

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from tests.cloud import ACCOUNT, CREDENTIALS, ENVIRONMENT, ROOT, account
from tests.unit.builders import artifacts, dataset, observations, trained
from tidemill_cli.local.process import MiniStack

pytestmark = pytest.mark.e2e

ROW = {"size": 50.0, "flag": True, "day": "2024-03-01", "colour": "red", "town": "town 3"}
HEAVY = {
    "aws_lambda_powertools", "boto3", "botocore", "cryptography", "joblib", "jsonschema", "onnx", "pandas", "pyarrow",
    "pydantic", "requests", "s3transfer", "scipy", "skl2onnx", "sklearn", "urllib3",
}  # fmt: skip
OURS = {
    "aws", "aws.clients", "aws.failures", "aws.lean", "aws.lines", "aws.objects", "aws.paths", "aws.registry",
    "aws.signing", "aws.stores", "encoding", "errors", "flows", "flows.captures", "flows.champions", "flows.infer",
    "limits", "names", "schema", "settings", "stages", "stages.captured", "stages.classes", "stages.http",
    "stages.onnx_model", "stages.rows", "stages.serve", "stages.wire", "written",
}  # fmt: skip
"""Of tidemill: who adds to these looks at what it costs a cold start (`make bench-serve ARGS=cold`)."""

LATER = {
    "GET /docs": {"reports", "reports.page", "reports.docs"},
    "GET /v2/health/live": {"stages.contract", "stages.v2"},
}
"""What a route adds when it is first asked for, and no prediction pays for."""

_FIRST_REPLY = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
import handler
lean = sys.modules["tidemill.aws.lean"]
kept = [made.cache_info().currsize for made in (handler.endpoint, lean.s3, lean.dynamodb)]
reply = handler.handler(json.loads(sys.argv[2]), None) if len(sys.argv) > 2 else None
print()
print(json.dumps({"reply": reply, "modules": sorted(sys.modules), "kept": kept}))
"""


def run(environment: Mapping[str, str], *events: dict[str, Any]) -> dict[str, Any]:
    packages = str(distribution("numpy").locate_file(""))
    path = [str(ROOT / "functions" / "infer"), str(ROOT / "layers" / "core" / "python"), packages]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", _FIRST_REPLY, json.dumps(path), *map(json.dumps, events)],
        env=dict(environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The first reply of a process that predicts."""
    folder: Path = tmp_path_factory.mktemp("stores")
    ministack = MiniStack(folder, port=0)
    data = dataset(observations(300, task="binary"))
    manifest, graph, golden = artifacts(data, trained("linear", data).onnx)
    aws = {"AWS_ENDPOINT_URL": ministack.start().endpoint, "AWS_ACCESS_KEY_ID": ACCOUNT}
    try:
        with account(**aws) as stores:
            stores.models.put_json("models/demo/3/manifest.json", manifest)
            stores.models.put("models/demo/3/model.onnx", graph)
            stores.models.put("models/demo/3/golden.json", golden)
            now = datetime.now(UTC)
            stores.registry.promote("demo", 3, expected=None, run="test", who="test", why="test", now=now)
            event = {
                "httpMethod": "POST",
                "path": "/models/demo/predict",
                "body": json.dumps({"rows": [ROW]}),
                "requestContext": {"requestId": "q"},
            }
            return run({**CREDENTIALS, **ENVIRONMENT, **aws}, event)
    finally:
        ministack.stop()


def test_the_first_reply_is_a_prediction(first: dict[str, Any]) -> None:
    assert first["reply"]["statusCode"] == 200, first["reply"]
    assert json.loads(first["reply"]["body"])["version"] == 3


def test_nothing_heavy_is_loaded_before_the_first_reply(first: dict[str, Any]) -> None:
    assert not HEAVY & {name.partition(".")[0] for name in first["modules"]}


def test_of_our_own_modules_only_those_are_loaded_that_serve(first: dict[str, Any]) -> None:
    loaded = {name.removeprefix("tidemill.") for name in first["modules"] if name.startswith("tidemill.")}
    assert loaded == OURS


@pytest.mark.parametrize("route", LATER)
def test_what_only_describes_is_loaded_where_it_is_asked_for(route: str) -> None:
    """With what ships in infer's layers alone."""
    method, path = route.split()
    event = {"httpMethod": method, "path": path, "requestContext": {"requestId": "q"}}
    asked = run({**CREDENTIALS, **ENVIRONMENT}, event)
    assert asked["reply"]["statusCode"] == 200
    loaded = {name.removeprefix("tidemill.") for name in asked["modules"] if name.startswith("tidemill.")}
    assert loaded - OURS == LATER[route]
    assert not HEAVY & {name.partition(".")[0] for name in asked["modules"]}


def test_a_snapshot_of_the_started_function_holds_no_credentials_and_no_connections() -> None:
    """SnapStart freezes what the import left: it succeeds without a region or credentials, and made no client."""
    assert run({})["kept"] == [0, 0, 0]
