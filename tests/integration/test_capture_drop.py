"""Columns that are answered and never written down: what `[capture] drop` does to all who read captures."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.cloud import Cloud
from tests.cloud import cloud as make_cloud
from tests.integration.test_monitoring import MONITORED, check, label, predict
from tests.tables import trips
from tidemill_cli.cloud import Target
from tidemill_cli.commands.init import put_spec
from tidemill_cli.console import Console
from tidemill_cli.session import Session

DROPPING = f'{MONITORED}\n[capture]\ndrop = ["wind"]\n'


@pytest.fixture
def serving() -> Iterator[Cloud]:
    with make_cloud() as cloud:
        cloud.champion(DROPPING, 3_000)
        yield cloud


def test_it_is_answered_with_and_in_no_log_and_no_bucket(serving: Cloud, capfd: pytest.CaptureFixture[str]) -> None:
    frame = trips(50, seed=7, start=50_000)
    predict(serving, frame)
    answers = {record["id"]: record["prediction"] for record in serving.captured()}
    rows = json.loads(frame.drop(columns=["late", "wind"]).to_json(orient="records"))
    assert [record["row"] for record in sorted(serving.captured(), key=lambda one: one["id"])] == sorted(
        rows, key=lambda row: str(row["trip"])
    )
    # Nothing else tells these rows' answers apart.
    _, reply = serving.http("POST", "/models/trips/predict", {"rows": json.loads(frame.to_json(orient="records"))})
    assert {entry["id"]: entry["prediction"] for entry in reply["predictions"]} == answers
    said = capfd.readouterr()
    stored = b"".join(serving.stores.captures.get_many(serving.stores.captures.keys("")))
    assert '"wind"' not in said.out + said.err + stored.decode()


def test_a_check_does_not_take_it_for_values_that_are_gone(serving: Cloud) -> None:
    frame = trips(800, seed=7, start=50_000)
    predict(serving, frame)
    label(serving, frame)
    checked = check(serving)
    assert (checked["action"], checked["verdict"]) == ("quiet", "no_drift")
    report = serving.stores.captures.get_json(checked["report"].replace("report.html", "report.json"))
    assert '"wind"' not in json.dumps(report)


def test_labels_of_rows_that_lack_it_are_nothing_to_learn_from(serving: Cloud) -> None:
    frame = trips(3_000, seed=8, flipped=True, start=50_000)
    predict(serving, frame)
    label(serving, frame)
    found = check(serving)
    assert found["action"] == "note"
    assert "nothing new to learn from" in found["reason"]


def test_a_name_that_is_no_column_is_warned_of(serving: Cloud, tmp_path: Path) -> None:
    def client(service: str) -> Any:
        return boto3.client(service)  # type: ignore[call-overload]

    session = Session(Console())
    names = {"DataBucket": "data", "RegistryTable": "registry"}
    session.__dict__["target"] = Target("moto", False, names, client, "", lambda: "me")
    file = tmp_path / "trips.toml"
    for name, warnings in (("wnd", ["capture.drop names 'wnd', and the model has no such column"]), ("wind", [])):
        file.write_text(DROPPING.replace('["wind"]', f'["{name}"]'))
        assert put_spec(session, "trips", file).document["warnings"] == warnings
    file.write_text('target = "wind"\nexclude = ["rian"]\n[quality]\ntrusted = ["distnace"]\n')
    assert put_spec(session, "trips", file).document["warnings"] == [
        "target is 'wind', and the first upload fixed 'late': runs will be refused",
        "exclude names 'rian', and the model has no such column",
        "quality.trusted names 'distnace', and the model has no such column",
    ]
