"""Explanations as a client asks for them: over the endpoint, of versions that Validate wrote."""

from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.cloud import Cloud
from tests.cloud import cloud as make_cloud
from tests.integration.test_endpoint import ROW, make_endpoint, promote_second
from tests.tables import SPEC
from tidemill.aws.objects import Objects
from tidemill.errors import InvalidRequest, ModelIncompatible, StoreUnavailable

LATE = {"distance": 120.5, "wind": 2.5, "carrier": "cedar"}
MANIFEST = "models/trips/1/manifest.json"


@pytest.fixture
def serving() -> Iterator[Cloud]:
    with make_cloud() as cloud:
        cloud.champion(SPEC.replace('"linear", "boosting"', '"linear"') + '[capture]\ndrop = ["wind"]\n', 1_500)
        yield cloud


def explain(cloud: Cloud, *rows: dict[str, Any], explain: Any = True) -> tuple[int, Any]:
    return cloud.http("POST", "/models/trips/predict", {"rows": rows, "explain": explain})


def test_what_moved_the_answer_is_told_beside_it(serving: Cloud) -> None:
    status, reply = explain(serving, LATE)
    assert status == 200
    (entry,) = reply["predictions"]
    told = entry["explanation"]
    assert told["class"] == "yes"
    assert [each["field"] for each in told["contributions"]][:1] == ["wind"]
    assert told["contributions"][0]["value"] == 2.5
    assert told["contributions"][0]["contribution"] > 0.2
    assert 0 < told["contributions"][0]["error"] < 0.1
    total = told["base"] + sum(each["contribution"] for each in told["contributions"]) + told["others"]
    assert total == pytest.approx(entry["probabilities"]["yes"], abs=1e-6)


def test_an_explanation_is_what_the_description_says(serving: Cloud) -> None:
    api = serving.http("GET", "/openapi.json")[1]["components"]["schemas"]
    for asked in (True, False):
        body = {"rows": [LATE] * 2, "explain": asked}
        Draft202012Validator(api["trips.Request"]["properties"]["explain"]).validate(asked)
        _, reply = serving.http("POST", "/models/trips/predict", body)
        Draft202012Validator(api["trips.Reply"]).validate(reply)
    described = api["trips.Reply"]["properties"]["predictions"]["items"]["properties"]["explanation"]
    _, reply = explain(serving, LATE)
    told = reply["predictions"][0]["explanation"]
    assert list(described["properties"]) == described["required"] == list(told)
    moved = described["properties"]["contributions"]["items"]
    assert moved["required"] == list(told["contributions"][0])
    assert moved["properties"]["field"]["enum"] == ["distance", "wind", "carrier"]


def test_as_many_rows_as_the_description_says_are_explained(serving: Cloud) -> None:
    api = serving.http("GET", "/openapi.json")[1]["components"]["schemas"]
    said = api["trips.Request"]["properties"]["explain"]["description"]
    assert said.endswith("for at most 100 rows a call.")
    assert [explain(serving, *[LATE] * rows)[0] for rows in (100, 101)] == [200, 413]


def test_the_base_is_about_what_the_model_answers_in_the_mean(serving: Cloud) -> None:
    _, reply = explain(serving, LATE)
    assert reply["predictions"][0]["explanation"]["base"] == pytest.approx(0.45, abs=0.1)


@pytest.mark.parametrize("asked", [False, None])
def test_nobody_is_told_who_did_not_ask(serving: Cloud, asked: Any) -> None:
    body = {"rows": [LATE]} if asked is None else {"rows": [LATE], "explain": asked}
    _, reply = serving.http("POST", "/models/trips/predict", body)
    assert "explanation" not in reply["predictions"][0]


@pytest.mark.parametrize("asked", ["yes", 1, None, [], {"fields": 3}])
def test_what_is_neither_true_nor_false_is_refused(serving: Cloud, asked: Any) -> None:
    status, reply = explain(serving, LATE, explain=asked)
    assert status == 400
    assert "'explain' must be true or false, not" in reply["detail"]


def test_an_explained_prediction_is_captured_like_any_other(serving: Cloud) -> None:
    _, reply = explain(serving, {**LATE, "trip": "t9"})
    (record,) = serving.captured()
    assert record["prediction"] == reply["predictions"][0]["prediction"]
    assert record["row"] == {"trip": "t9", "distance": 120.5, "carrier": "cedar"}
    assert "explanation" not in record


def test_too_many_rows_are_told_the_limit_and_not_captured(serving: Cloud) -> None:
    status, reply = explain(serving, *[LATE] * 101)
    assert status == 413
    assert "101 rows to explain, and 100 is the limit" in reply["detail"]
    assert not serving.captured()


def test_a_version_of_before_says_so_and_predicts(serving: Cloud) -> None:
    manifest = serving.stores.models.get_json(MANIFEST)
    del manifest["digests"]["background.npy"]
    serving.stores.models.put_json(MANIFEST, manifest)
    status, reply = explain(serving, LATE)
    assert status == 400
    assert "version 1 of trips has no reference rows to explain by: predict without 'explain'" in reply["detail"]
    assert explain(serving, LATE, explain=False)[0] == 200
    assert len(serving.captured()) == 1


def test_reference_rows_are_read_at_the_first_explanation_and_once(
    serving: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, _, _ = make_endpoint(serving)
    read: list[str] = []
    get = Objects.get

    def seen(self: Objects, key: str, version_id: str = "") -> bytes:
        read.append(key.rpartition("/")[2])
        return get(self, key, version_id)

    monkeypatch.setattr(Objects, "get", seen)
    endpoint.predict("trips", [LATE], "q")
    assert read == ["manifest.json", "model.onnx", "golden.json"]
    for _ in range(2):
        endpoint.predict("trips", [LATE], "q", explain=True)
    assert read[3:] == ["background.npy"]


def test_a_new_champion_explains_by_its_own_reference_rows(serving: Cloud) -> None:
    endpoint, clock, _ = make_endpoint(serving)
    endpoint.predict("trips", [LATE], "q", explain=True)
    promote_second(serving)
    manifest = serving.stores.models.get_json("models/trips/2/manifest.json")
    del manifest["digests"]["background.npy"]
    serving.stores.models.put_json("models/trips/2/manifest.json", manifest)
    clock.later(60)
    with pytest.raises(InvalidRequest, match="version 2 of trips has no reference rows"):
        endpoint.predict("trips", [LATE], "q", explain=True)


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY\x01\x00v\x00", b"\x80\x04cos\nsystem\n"])
def test_reference_rows_that_are_not_the_manifests_explain_nothing_and_predict(serving: Cloud, data: bytes) -> None:
    serving.stores.models.put("models/trips/1/background.npy", data)
    endpoint, _, _ = make_endpoint(serving)
    with pytest.raises(ModelIncompatible, match=r"background\.npy of version 1 is not what its manifest says"):
        endpoint.predict("trips", [LATE], "q", explain=True)
    assert endpoint.predict("trips", [ROW], "q")["version"] == 1


def test_while_the_reference_rows_cannot_be_read_the_client_is_told_to_come_again(
    serving: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert explain(serving, LATE, explain=False)[0] == 200

    def refuse(*_: Any) -> None:
        raise StoreUnavailable("SlowDown")

    with monkeypatch.context() as patched:
        patched.setattr(Objects, "get", refuse)
        assert explain(serving, LATE)[0] == 503
    assert len(serving.captured()) == 1
