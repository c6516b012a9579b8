"""The endpoint's description of itself, and the Open Inference Protocol, over moto's stores and through the handler."""

import base64
import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.cloud import ROOT, Cloud
from tidemill.aws.registry import Registry
from tidemill.errors import StoreUnavailable
from tidemill.schema import Column, Schema

EVENTS: list[dict[str, Any]] = json.loads((ROOT / "tests/events/tritonclient.json").read_text())
"""What tritonclient sent: `python -m tests.bench.v2_client --record`."""
INFER = "/v2/models/trips/infer"


def asked(cloud: Cloud, path: str) -> dict[str, Any]:
    reply: dict[str, Any] = cloud.invoke(
        "infer", {"httpMethod": "GET", "path": path, "body": None, "requestContext": {"requestId": "q"}}
    )
    return reply


def replayed(cloud: Cloud, path: str) -> list[tuple[int, Any]]:
    replies = [cloud.invoke("infer", event) for event in EVENTS if event["path"] == path]
    return [(reply["statusCode"], json.loads(reply["body"])) for reply in replies]


def promote(cloud: Cloud, name: str, manifest: bytes | None) -> None:
    """A champion of which nothing but the manifest is stored, if that."""
    now = datetime.now(UTC)
    cloud.stores.registry.claim_run(name, "r", now)
    cloud.stores.registry.promote(name, 1, expected=None, run="r", who="test", why="test", now=now)
    if manifest is not None:
        cloud.stores.models.put(f"models/{name}/1/manifest.json", manifest)


def test_the_description_is_valid_and_has_the_models_fields(serving: Cloud) -> None:
    status, api = serving.http("GET", "/openapi.json")
    OpenAPIV31SpecValidator(api).validate()
    assert status == 200
    assert set(api["components"]["schemas"]["trips.Row"]["properties"]) == {"trip", "distance", "wind", "carrier"}
    assert "securitySchemes" not in api["components"]


def test_to_describe_a_model_its_graph_is_not_loaded(serving: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.stages.serve.OnnxModel", None)
    assert "/models/trips/predict" in serving.http("GET", "/openapi.json")[1]["paths"]


def test_the_schema_of_a_row_stands_by_itself(serving: Cloud) -> None:
    status, schema = serving.http("GET", "/models/trips/schema")
    Draft202012Validator.check_schema(schema)
    assert (status, schema["title"], schema["required"]) == (
        200,
        "A row for trips, version 1",
        ["distance", "wind", "carrier"],
    )
    assert serving.http("POST", "/models/trips/predict", {"rows": schema["examples"]})[0] == 200


def test_the_page_runs_its_own_script_and_nothing_else(serving: Cloud) -> None:
    reply = asked(serving, "/docs")
    page, headers = reply["body"], reply["headers"]
    assert (reply["statusCode"], headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["connect-src"] == "'self'"
    for kind in ("script", "style"):
        (source,) = re.findall(f"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert policy[f"{kind}-src"] == f"'sha256-{digest}'"


def test_the_page_asks_for_nothing_elsewhere(serving: Cloud) -> None:
    page = asked(serving, "/docs")["body"]
    assert not re.findall(r"https?://|//[a-z]+\.|\bsrc=|@import|\burl\(|innerHTML|eval\(", page)
    assert len(page.encode()) < 25_000


def test_every_reply_to_tritonclient_is_what_it_expects(serving: Cloud) -> None:
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/trips/ready", "/v2/models/trips"):
        assert [status for status, _ in replayed(serving, path)] == [200]
    (_, first), (_, second), *refused = replayed(serving, INFER)
    outputs = {output["name"]: output for output in first["outputs"]}
    assert (first["id"], outputs["id"]["data"]) == ("mine", ["a1", "a2"])
    assert outputs["probabilities"]["shape"] == [2, 2]
    assert [output["name"] for output in second["outputs"]] == ["prediction"]
    assert second["outputs"][0]["data"] == outputs["prediction"]["data"]
    assert [(status, list(reply)) for status, reply in refused] == [(400, ["error"]), (400, ["error"])]
    assert "binary tensor extension" in refused[0][1]["error"]


def test_what_the_protocol_was_answered_is_captured_as_any_other_row(serving: Cloud) -> None:
    replayed(serving, INFER)
    records = {one["id"]: one for one in serving.captured()}
    assert records["a1"]["row"] == {"trip": "a1", "distance": 120.5, "wind": 1, "carrier": "cedar"}
    assert set(records["a2"]["probabilities"]) == {"no", "yes"}


def test_labels_go_by_the_ids_that_the_protocol_gave(serving: Cloud) -> None:
    (_, reply), *_ = replayed(serving, INFER)
    (identity, _) = reply["outputs"][0]["data"]
    assert serving.http("POST", "/models/trips/labels", {"labels": [{"id": identity, "label": "no"}]})[0] == 202


def test_a_store_that_is_away_is_told_in_the_form_of_the_protocol(
    serving: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise StoreUnavailable("SlowDown")

    monkeypatch.setattr(Registry, "models", refuse)
    reply = asked(serving, "/v2/health/ready")
    assert (reply["statusCode"], reply["headers"]["Retry-After"]) == (503, "2")
    assert list(json.loads(reply["body"])) == ["error"]


def test_models_that_cannot_be_read_are_named_and_the_others_are_described(serving: Cloud) -> None:
    columns = (Column("size", "numeric", "feature"), Column("y", "numeric", "target"))
    promote(serving, "good", json.dumps({"schema": Schema(columns, "regression").to_json()}).encode())
    for name, manifest in {"absent": None, "cut": b"{not js", "list": b"[]", "older": b'{"schema": {}}'}.items():
        promote(serving, name, manifest)
    status, api = serving.http("GET", "/openapi.json")
    OpenAPIV31SpecValidator(api).validate()
    predicted = {path for path in api["paths"] if path.endswith("/predict")}
    assert (status, predicted) == (200, {"/models/good/predict", "/models/trips/predict"})
    assert api["info"]["description"].endswith("cannot be read: absent, cut, list, older.")
