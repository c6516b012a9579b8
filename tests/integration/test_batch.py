"""A file of rows under `batch/`, answered by the champion, with what a person finds beside it."""

import io
from typing import Any

import pandas as pd
import pytest

from tests.cloud import Cloud
from tests.tables import csv, trips
from tidemill.aws.objects import Objects
from tidemill.errors import StoreUnavailable
from tidemill.flows import batch as flow

ROWS = trips(300, seed=5, start=9_000).drop(columns="late")


def answer(cloud: Cloud, name: str, data: bytes) -> dict[str, Any]:
    found: dict[str, Any] = cloud.invoke("batch", cloud.upload("trips", name, data, "batch"))
    return found


def written(cloud: Cloud, summary: dict[str, Any], what: str = "predictions") -> pd.DataFrame:
    return pd.read_csv(io.BytesIO(cloud.stores.data.get(summary["written"][what])), keep_default_na=False)


def test_every_row_is_answered_as_over_http_and_by_one_version(serving: Cloud, told: list[str]) -> None:
    summary = answer(serving, "a b.csv", csv(ROWS))
    assert (summary["status"], summary["version"], summary["rows"], summary["answered"]) == ("answered", 1, 300, 300)
    _, reply = serving.http("POST", "/models/trips/predict", {"rows": ROWS.to_dict("records")})
    found = written(serving, summary)
    assert found["id"].tolist() == ROWS["trip"].tolist()
    assert found["prediction"].tolist() == [entry["prediction"] for entry in reply["predictions"]]
    assert told == []


def test_all_that_is_written_lies_beside_the_files_and_not_among_them(serving: Cloud) -> None:
    summary = answer(serving, "in/a.csv", csv(ROWS))
    keys = list(serving.stores.data.keys("batch-results/trips/in/a.csv/"))
    prefix = f"batch-results/trips/in/a.csv/{summary['run']}"
    assert keys == [
        f"{prefix}/summary.json",
        f"{prefix}/version-1/predictions.csv",
        f"{prefix}/version-1/problems.csv",
    ]
    assert serving.stores.data.get_json(keys[0]) == summary


def test_an_event_that_comes_twice_is_answered_once_and_told_once(serving: Cloud, told: list[str]) -> None:
    events = [
        serving.upload("trips", "bad.csv", b"wind\n1\n", "batch"),
        serving.upload("trips", "c.csv", csv(ROWS), "batch"),
    ]
    for event in events:
        first = serving.invoke("batch", event)
        serving.stores.data.put("marker", b"")
        assert serving.invoke("batch", event) == first
    assert len(told) == 1


def test_a_delivery_that_broke_off_is_made_good_by_the_next(serving: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    event = serving.upload("trips", "d.csv", csv(ROWS), "batch")

    def refuse(*_: Any) -> None:
        raise StoreUnavailable("S3 is away")

    with monkeypatch.context() as away:
        away.setattr(Objects, "upload", refuse)
        with pytest.raises(StoreUnavailable):
            serving.invoke("batch", event)
    assert serving.invoke("batch", event)["status"] == "answered"


def test_the_same_name_again_is_another_batch(serving: Cloud) -> None:
    summaries = [answer(serving, "e.csv", csv(ROWS.head(rows))) for rows in (10, 20)]
    assert [len(written(serving, summary)) for summary in summaries] == [10, 20]


def test_a_file_that_cannot_be_used_is_told_with_what_to_mend(serving: Cloud, told: list[str]) -> None:
    summary = answer(serving, "f.csv", b"wind\n1\n")
    assert summary["status"] == "invalid"
    assert "lacks 'distance', 'carrier'" in summary["reasons"][0]
    assert "a batch cannot be answered" in told[0]
    assert "lacks 'distance', 'carrier'" in told[0]


def test_a_file_of_too_many_bytes_is_refused_before_it_is_read(
    serving: Cloud, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "LARGEST_FILE", 100)
    monkeypatch.setattr(Objects, "download", None)
    (reason,) = answer(serving, "g.csv", csv(ROWS))["reasons"]
    assert "more than the 100 that one function can answer: split it into parts" in reason


def test_a_model_without_a_champion_is_told(serving: Cloud, told: list[str]) -> None:
    event = serving.upload("nobody", "a.csv", csv(ROWS), "batch")
    summary = serving.invoke("batch", event)
    assert (summary["status"], len(told)) == ("failed", 1)
    assert "has no champion yet" in summary["reasons"][0]


def test_an_artifact_that_is_not_what_its_manifest_says_answers_nothing(serving: Cloud, told: list[str]) -> None:
    graph = serving.stores.models.get("models/trips/1/model.onnx")
    serving.stores.models.put("models/trips/1/model.onnx", b"[]")
    try:
        summary = answer(serving, "h.csv", csv(ROWS))
    finally:
        serving.stores.models.put("models/trips/1/model.onnx", graph)
    assert summary["status"] == "failed"
    assert "is not what its manifest says" in summary["reasons"][0]


def test_the_folder_that_the_console_makes_is_no_file(serving: Cloud, told: list[str]) -> None:
    event = serving.upload("trips", "", b"", "batch")
    assert serving.invoke("batch", event) == {"status": "ignored"}
    assert told == []


@pytest.mark.parametrize("key", ["Not A Model/a.csv", "a.csv"])
def test_a_key_that_names_no_possible_model_is_ignored_and_told(serving: Cloud, told: list[str], key: str) -> None:
    entry = {"key": f"batch/{key}", "size": 4, "version-id": "v1"}
    summary = serving.invoke("batch", {"detail": {"bucket": {"name": "data"}, "object": entry}})
    assert summary["status"] == "ignored"
    [notice] = told
    assert f"batch/{key}" in notice
