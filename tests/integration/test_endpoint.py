"""The endpoint over moto's stores: what a client sees, what is captured, and what happens when a store is bad."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.cloud import Cloud
from tests.tables import SPEC
from tidemill.aws.objects import Objects
from tidemill.aws.registry import Registry
from tidemill.errors import StoreUnavailable, TooLarge
from tidemill.flows.champions import FRESH, STALE
from tidemill.flows.infer import Endpoint

ROW = {"trip": "t9", "distance": 120.5, "wind": 2.0, "carrier": "cedar"}


@pytest.fixture
def serving(cloud: Cloud) -> Cloud:
    cloud.champion(SPEC.replace('"linear", "boosting"', '"linear"'), 1_500)
    return cloud


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def make_endpoint(cloud: Cloud) -> tuple[Endpoint, Clock, list[tuple[str, float]]]:
    clock, counted = Clock(), list[tuple[str, float]]()
    endpoint = Endpoint(
        cloud.stores, clock, lambda name, value, _model: counted.append((name, value)), start=lambda work: work()
    )
    return endpoint, clock, counted


def test_every_answered_row_is_captured_as_it_was_answered(serving: Cloud) -> None:
    serving.http("POST", "/models/trips/predict", {"rows": [ROW, {**ROW, "trip": "t10", "note": "not a column"}]})
    records = serving.captured()
    assert [record["id"] for record in records] == ["t9", "t10"]
    assert records[1]["row"] == {**ROW, "trip": "t10"}
    assert records[0]["version"] == 1
    assert set(records[0]["probabilities"]) == {"no", "yes"}


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "golden.json"])
def test_a_champion_whose_artifact_is_gone_answers_500_without_a_word_of_where_it_was(
    serving: Cloud, name: str
) -> None:
    serving.stores.models.client.delete_object(Bucket="models", Key=f"models/trips/1/{name}")
    status, reply = serving.http("POST", "/models/trips/predict", {"rows": [ROW]})
    assert (status, reply["detail"]) == (500, "the service is not able to answer; its operators can see why in the log")


def test_labels_are_taken_by_any_form_of_a_class_and_refused_otherwise(serving: Cloud) -> None:
    status, reply = serving.http("POST", "/models/trips/labels", {"labels": [{"id": "t9", "label": "yes"}]})
    assert (status, reply) == (202, {"model": "trips", "accepted": 1})
    status, reply = serving.http("POST", "/models/trips/labels", {"labels": [{"id": "t9", "label": "perhaps"}]})
    assert status == 400
    assert "must be one of no, yes, not 'perhaps'" in reply["detail"]


def test_every_bad_field_is_named_with_expected_and_got(serving: Cloud) -> None:
    rows = [{"distance": "far", "wind": True}, ROW]
    status, reply = serving.http("POST", "/models/trips/predict", {"rows": rows})
    assert status == 400
    assert [(entry["row"], entry["field"], entry["got"]) for entry in reply["errors"]] == [
        (0, "distance", '"far"'),
        (0, "wind", "true"),
        (0, "carrier", "nothing"),
    ]


def test_unseen_categories_and_ranges_are_answered_with_warnings(serving: Cloud) -> None:
    row = {**ROW, "carrier": "elm", "wind": 99.0, "colour": "red"}
    status, reply = serving.http("POST", "/models/trips/predict", {"rows": [row]})
    assert status == 200
    text = " ".join(reply["warnings"])
    assert 'category "elm" was not seen' in text
    assert "outside of training's" in text
    assert "'colour' is not known" in text


def test_excluded_id_time_and_target_columns_are_simply_accepted(serving: Cloud) -> None:
    status, reply = serving.http("POST", "/models/trips/predict", {"rows": [{**ROW, "late": "yes"}]})
    assert status == 200
    assert "warnings" not in reply


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/models/nobody/predict", '{"rows": [{}]}', 404),
        ("POST", "/models/No%20Body/predict", '{"rows": [{}]}', 400),
        ("POST", "/models/trips/predict", "{not json", 400),
        ("POST", "/models/trips/predict", '{"rows": []}', 400),
        ("POST", "/models/trips/predict", '{"rows": [NaN]}', 400),
        ("POST", "/models/trips/predict", "[" * 100_000, 400),
        ("POST", "/models/trips/predict", " " * 4_000_001, 413),
        ("GET", "/models/trips/predict", None, 405),
        ("GET", "/nothing", None, 404),
        ("GET", "/health", None, 200),
    ],
)
def test_statuses(serving: Cloud, method: str, path: str, body: str | None, expected: int) -> None:
    status, reply = serving.http(method, path, body=body)
    assert status == expected
    assert reply.get("status") == (expected if expected != 200 else "ok")


def test_the_model_describes_its_fields(serving: Cloud) -> None:
    _, reply = serving.http("GET", "/models/trips")
    fields = {entry["name"]: entry for entry in reply["fields"]}
    assert fields["carrier"]["categories"] == ["ash", "birch", "cedar"]
    assert fields["wind"]["required"]
    assert not fields["trip"]["required"]
    assert reply["target"] == {"name": "late", "kind": "categorical", "classes": ["no", "yes"]}


@pytest.mark.parametrize("letter", ["x", "é", "😀", '"', "\0"])
def test_ids_that_no_reply_holds_are_refused_and_not_captured(serving: Cloud, letter: str) -> None:
    rows = [{**ROW, "trip": letter * 2_000_000}, {**ROW, "trip": letter * 1_100_000}]
    endpoint, _, _ = make_endpoint(serving)
    with pytest.raises(TooLarge, match=r"the rows' ids alone are .* bytes of the reply, and 3,000,000 is the limit"):
        endpoint.predict("trips", rows, "q")
    assert not list(serving.stores.captures.keys("predictions/"))


def test_as_many_long_ids_as_a_call_has_rows_are_answered(serving: Cloud) -> None:
    endpoint, _, _ = make_endpoint(serving)
    rows = [{**ROW, "trip": f"{i:0128}"} for i in range(10_000)]
    assert len(endpoint.predict("trips", rows, "q")["predictions"]) == 10_000


def test_what_a_refusal_repeats_is_cut(serving: Cloud) -> None:
    long = "é" * 600_000
    _, unknown = serving.http("POST", "/models/trips/predict", {long: 1})
    _, label = serving.http("POST", "/models/trips/labels", {"labels": [{"id": "t9", "label": long}]})
    assert "(it has 'ééé" in unknown["detail"]
    assert "not 'ééé" in label["detail"]
    assert max(len(unknown["detail"]), len(label["detail"])) < 300


def test_a_capture_that_fails_does_not_fail_the_reply(serving: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, _, counted = make_endpoint(serving)

    def refuse(*_: Any) -> None:
        raise StoreUnavailable("SlowDown")

    monkeypatch.setattr(Objects, "put", refuse)
    assert endpoint.predict("trips", [ROW], "q")["version"] == 1
    assert ("CaptureLost", 1) in counted


def test_labels_that_cannot_be_stored_are_not_acknowledged(serving: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, _, _ = make_endpoint(serving)

    def refuse(*_: Any) -> None:
        raise StoreUnavailable("SlowDown")

    monkeypatch.setattr(Objects, "put", refuse)
    with pytest.raises(StoreUnavailable, match="send them again"):
        endpoint.label("trips", [{"id": "t9", "label": "yes"}], "q")


def promote_second(cloud: Cloud) -> None:
    """A second version, the first one's copy under its own name."""
    models = cloud.stores.models
    for key in list(models.keys("models/trips/1/")):
        models.copy(key, key.replace("/1/", "/2/", 1))
    manifest = models.get_json("models/trips/2/manifest.json")
    models.put_json("models/trips/2/manifest.json", {**manifest, "version": 2})
    now = datetime.now(UTC)
    cloud.stores.registry.promote("trips", 2, expected=1, run="test", who="test", why="test", now=now)


def test_a_new_champion_is_looked_for_beside_a_request_and_serves_the_next(serving: Cloud) -> None:
    endpoint, clock, _ = make_endpoint(serving)
    assert endpoint.predict("trips", [ROW], "q")["version"] == 1
    promote_second(serving)
    versions = []
    for seconds in (FRESH - 1, 2, 0):
        clock.later(seconds)
        versions.append(endpoint.predict("trips", [ROW], "q")["version"])
    assert versions == [1, 1, 2]


def test_after_a_quiet_minute_the_champion_is_looked_for_before_the_reply(serving: Cloud) -> None:
    endpoint, clock, _ = make_endpoint(serving)
    endpoint.predict("trips", [ROW], "q")
    promote_second(serving)
    clock.later(STALE)
    assert endpoint.predict("trips", [ROW], "q")["version"] == 2


@pytest.mark.parametrize("name", ["model.onnx", "golden.json"])
def test_a_new_artifact_that_is_not_what_its_manifest_says_never_serves(serving: Cloud, name: str) -> None:
    endpoint, clock, counted = make_endpoint(serving)
    endpoint.predict("trips", [ROW], "q")
    promote_second(serving)
    serving.stores.models.put(f"models/trips/2/{name}", b"[]")
    clock.later(60)
    reply = endpoint.predict("trips", [ROW], "q")
    assert reply["version"] == 1
    assert reply["degraded"] == "version 1 answers: the champion, version 2, could not be loaded"
    assert ("Degraded", 1) in counted


def test_a_registry_that_fails_in_passing_does_not_stop_the_last_good_model(
    serving: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, clock, counted = make_endpoint(serving)
    endpoint.predict("trips", [ROW], "q")

    def refuse(*_: Any) -> None:
        raise StoreUnavailable("ProvisionedThroughputExceeded")

    monkeypatch.setattr(Registry, "champion", refuse)
    clock.later(60)
    reply = endpoint.predict("trips", [ROW], "q")
    assert reply["version"] == 1
    assert reply["degraded"] == "version 1 answers: which version is the champion could not be read"
    assert ("Degraded", 1) in counted


def test_a_store_that_is_away_at_the_first_request_is_a_503_and_not_a_trace(
    serving: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise StoreUnavailable("SlowDown")

    monkeypatch.setattr(Registry, "champion", refuse)
    status, reply = serving.http("POST", "/models/trips/predict", {"rows": [ROW]})
    assert status == 503
    assert "Traceback" not in json.dumps(reply)
