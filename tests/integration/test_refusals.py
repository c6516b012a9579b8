"""Rows that the endpoint refuses: what is written of them, and what a check makes of it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from tests.cloud import Cloud
from tests.integration.test_endpoint import ROW, make_endpoint
from tests.integration.test_labels import report
from tests.integration.test_monitoring import MONITORED, check, predict
from tests.tables import trips
from tidemill.aws.objects import Objects
from tidemill.aws.registry import Registry
from tidemill.errors import InvalidRequest, StoreUnavailable
from tidemill.flows.captures import Captures

SENT = "only the caller knows"


@pytest.fixture
def serving(cloud: Cloud) -> Cloud:
    cloud.champion(f'{MONITORED}\n[capture]\ndrop = ["carrier"]\n', 3_000)
    return cloud


def send(cloud: Cloud, frame: pd.DataFrame, size: int = 50) -> None:
    """Rows that are refused."""
    rows = json.loads(frame.to_json(orient="records"))
    for start in range(0, len(rows), size):
        status, _ = cloud.http("POST", "/models/trips/predict", {"rows": rows[start : start + size]})
        assert status == 400


def renamed(rows: int, seed: int = 7) -> pd.DataFrame:
    return trips(rows, seed=seed, start=50_000).drop(columns="late").rename(columns={"wind": "wind_speed"})


def test_a_refusal_says_what_was_wrong_with_which_field_and_no_value(serving: Cloud) -> None:
    rows = [{**ROW, "trip": SENT, "distance": SENT, "wind": None}, ROW, {SENT: SENT, "distance": 1.0}]
    assert serving.http("POST", "/models/trips/predict", {"rows": rows})[0] == 400
    [record] = serving.captured("refusals")
    assert {name: record[name] for name in ("version", "rows", "more")} == {"version": 1, "rows": 3, "more": 0}
    assert sorted(record["problems"]) == [
        ["carrier", "absent"],
        ["distance", "unusable"],
        ["wind", "absent"],
        ["wind", "null"],
    ]
    stored = b"".join(serving.stores.captures.get_many(serving.stores.captures.keys("")))
    assert SENT not in stored.decode()


@pytest.mark.parametrize(
    ("path", "body", "problem"),
    [
        ("/models/trips/predict", "{not json", "unusable"),
        ("/models/trips/predict", "[" * 100_000, "unusable"),
        ("/models/trips/predict", " " * 4_000_001, "too_large"),
        ("/models/trips/predict", json.dumps({"rows": [{}] * 10_001}), "too_large"),
        ("/v2/models/trips/infer", '{"inputs": []}', "unusable"),
    ],
)
def test_a_body_in_which_no_rows_can_be_read_counts_as_one_row(
    serving: Cloud, path: str, body: str, problem: str
) -> None:
    assert serving.http("POST", path, body=body)[0] in (400, 413)
    [record] = serving.captured("refusals")
    assert (record["rows"], record["problems"]) == (1, [["", problem]])


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/models/nobody/predict", '{"rows": [{}]}'),
        ("POST", "/models/nobody/predict", "{not json"),
        ("POST", "/models/No%20Body/predict", "{not json"),
        ("GET", "/models/trips/predict", None),
        ("POST", "/models/trips/labels", "{not json"),
        ("POST", "/v2/models/trips/versions/7/infer", "{not json"),
    ],
)
def test_what_is_no_fault_of_a_models_rows_leaves_no_refusal(
    serving: Cloud, method: str, path: str, body: str | None
) -> None:
    assert serving.http(method, path, body=body)[0] >= 400
    assert not list(serving.stores.captures.keys("refusals/"))


def test_rows_are_counted_as_refused_and_not_as_predictions(serving: Cloud) -> None:
    endpoint, _, counted = make_endpoint(serving)
    with pytest.raises(InvalidRequest):
        endpoint.predict("trips", [ROW, {}], "q")
    assert counted == [("Refused", 2)]


def test_nothing_is_loaded_for_a_body_in_which_no_rows_can_be_read(serving: Cloud) -> None:
    serving.stores.models.client.delete_object(Bucket="models", Key="models/trips/1/model.onnx")
    endpoint, _, counted = make_endpoint(serving)
    endpoint.refused("trips", "q", InvalidRequest("the body is empty"))
    assert counted == [("Refused", 1)]


def test_a_refusal_that_cannot_be_kept_changes_no_reply(serving: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, _, counted = make_endpoint(serving)
    assert endpoint.stores.capture == "store"

    def refuse(*_: Any) -> None:
        raise StoreUnavailable("SlowDown")

    monkeypatch.setattr(Objects, "put", refuse)
    with pytest.raises(InvalidRequest, match="2 values cannot be used"):
        endpoint.predict("trips", [{"distance": 1.0}], "q")
    assert ("CaptureLost", 1) in counted
    monkeypatch.setattr(Registry, "champion", refuse)
    endpoint, _, counted = make_endpoint(serving)
    endpoint.refused("trips", "q", InvalidRequest("the body is empty"))
    assert counted == []


def test_a_producer_that_renamed_a_field_is_a_broken_feed(serving: Cloud) -> None:
    predict(serving, trips(800, seed=7, start=50_000))
    send(serving, renamed(200))
    checked = check(serving)
    assert checked["action"] == "quarantine"
    assert "200 of 1,000 rows refused, in 4 requests: wind is absent (200 rows)" in checked["reason"]
    assert "let the producer send the fields as the model has them" in checked["notice"]
    found = report(serving, checked)
    assert [(one["field"], one["problem"], one["requests"], one["rows"]) for one in found["refusals"]["problems"]] == [
        ("wind", "absent", 4, 200)
    ]
    html = serving.stores.captures.get(checked["report"]).decode()
    assert "Refused requests" in html
    assert "200 of 1,000 rows (20%), in 4 requests." in html


def test_a_few_refused_rows_are_shown_and_break_nothing(serving: Cloud) -> None:
    predict(serving, trips(800, seed=7, start=50_000))
    send(serving, renamed(80))
    checked = check(serving)
    assert checked["action"] == "quiet"
    assert report(serving, checked)["refusals"]["rows"] == 80


def test_a_window_of_refusals_alone_is_not_silent(serving: Cloud) -> None:
    few = check(serving, models=["trips"], window=_now())
    assert "refused" not in few["reason"]
    send(serving, renamed(60))
    shown = check(serving, models=["trips"], window=_now())
    assert shown["action"] == "quiet"
    assert shown["reason"].startswith("60 of 60 rows refused, in 2 requests: wind is absent (60 rows); ")
    send(serving, renamed(60))
    assert check(serving, models=["trips"], window=_now())["action"] == "quarantine"


def test_refusals_of_another_time_or_version_are_not_the_windows(serving: Cloud) -> None:
    send(serving, renamed(200))
    past = {"start": "2001-01-01T00:00:00Z", "end": "2001-01-02T00:00:00Z"}
    assert report(serving, check(serving, models=["trips"], window=past))["refusals"]["rows"] == 0
    captures = Captures(serving.stores.captures)
    captures.write("refusals", "trips", "of-2", [{**record, "version": 2} for record in serving.captured("refusals")])
    found = report(serving, check(serving, models=["trips"]))["refusals"]
    assert (found["rows"], found["others"]) == (200, {"2": 200})


def _now() -> dict[str, str]:
    end = datetime.now(UTC)
    return {"start": (end - timedelta(days=1)).isoformat(), "end": end.isoformat()}
