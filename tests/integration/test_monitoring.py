"""The loop's other half: captured predictions, labels, the check's verdict, and the retrain that it starts."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.cloud import Cloud
from tests.tables import SPEC, csv, trips
from tidemill.aws.registry import Registry
from tidemill.contracts import CheckRequest, Start
from tidemill.errors import StoreUnavailable
from tidemill.flows.captures import Captures
from tidemill.flows.govern import pause, resume
from tidemill.flows.list_models import list_models
from tidemill.flows.monitor import monitor
from tidemill_cli.runs import plain

MONITORED = SPEC.replace('"linear", "boosting"', '"linear"')


@pytest.fixture
def serving(cloud: Cloud) -> Cloud:
    cloud.champion(MONITORED, 3_000)
    return cloud


def predict(cloud: Cloud, frame: pd.DataFrame) -> None:
    rows = json.loads(frame.drop(columns="late").to_json(orient="records"))
    for start in range(0, len(rows), 500):
        status, reply = cloud.http("POST", "/models/trips/predict", {"rows": rows[start : start + 500]})
        assert status == 200, reply


def label(cloud: Cloud, frame: pd.DataFrame) -> None:
    labels = [{"id": row.trip, "label": row.late} for row in frame.itertuples()]
    status, reply = cloud.http("POST", "/models/trips/labels", {"labels": labels})
    assert status == 202, reply


def check(cloud: Cloud, **request: Any) -> dict[str, Any]:
    """A `window` is as if it were the schedule's, unless the request says otherwise."""
    execution = cloud.run("monitoring", {"backfill": True, **request})
    assert execution["status"] == "SUCCEEDED", execution
    checked: dict[str, Any] = json.loads(execution["output"])["checks"][0]
    return checked


def wait_for_retrain(cloud: Cloud) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        runs = [run for run in cloud.stores.registry.runs("trips") if run["source"].startswith("check ")]
        if runs and runs[0]["status"] != "running":
            return runs[0]
        time.sleep(0.05)
    raise AssertionError("the retrain did not end")


def test_a_window_like_training_is_quiet(serving: Cloud) -> None:
    frame = trips(800, seed=7, start=50_000)
    predict(serving, frame)
    label(serving, frame)
    checked = check(serving)
    assert (checked["action"], checked["verdict"], checked["notice"]) == ("quiet", "no_drift", "")


def test_each_report_hands_on_the_effects_of_the_windows_before(serving: Cloud) -> None:
    ends, columns = [], {}
    for seed in (7, 8, 9):
        start = datetime.now(UTC)
        predict(serving, trips(300, seed=seed, start=seed * 10_000))
        ends.append(datetime.now(UTC).isoformat())
        checked = check(serving, models=["trips"], window={"start": start.isoformat(), "end": ends[-1]})
        report = serving.stores.captures.get_json(checked["report"].replace(".html", ".json"))
        now = {column["name"]: column["tests"][0]["effect"] for column in report["drift"]["columns"]}
        columns[seed] = round(now["wind"], 4)
    assert report["effects"]["ends"] == ends
    assert report["effects"]["columns"]["feature"]["wind"]["ks"] == list(columns.values())


def test_what_a_check_measured_is_counted_by_model(serving: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    frame = trips(800, seed=7, start=50_000)
    predict(serving, frame)
    label(serving, frame[:600])
    capsys.readouterr()
    measured = check(serving)["measures"]
    assert (measured["CheckedPredictions"], measured["LabelCoverage"]) == (800, 0.75)
    assert (measured["DriftedColumns"], measured["DriftedImportance"]) == (0, 0)
    assert 0.5 < measured["Performance"] < 1
    assert 0.5 < measured["EstimatedPerformance"] < 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws"')]
    counted = {
        metric["Name"]: line[metric["Name"]]
        for line in lines
        for described in line["_aws"]["CloudWatchMetrics"]
        if described["Dimensions"] == [["model", "service"]] and line["model"] == "trips"
        for metric in described["Metrics"]
    }
    assert counted == {name: [value] for name, value in measured.items()}


def test_a_past_window_is_no_measure_of_the_present(serving: Cloud) -> None:
    window = {"start": "2001-01-01T00:00:00Z", "end": "2001-01-02T00:00:00Z"}
    assert check(serving, models=["trips"], window=window)["measures"] == {}


def test_too_few_rows_are_insufficient_data_and_not_a_verdict(serving: Cloud) -> None:
    predict(serving, trips(40, seed=7, start=50_000))
    checked = check(serving)
    assert (checked["action"], checked["verdict"]) == ("quiet", "insufficient_data")


def test_a_window_without_captures_is_a_fact_and_not_a_failure(serving: Cloud) -> None:
    assert check(serving)["verdict"] == "insufficient_data"


def test_a_window_that_falls_silent_is_told_beside_what_is_usual(serving: Cloud) -> None:
    began = datetime.now(UTC)
    predict(serving, trips(400, seed=7, start=50_000))
    ended = datetime.now(UTC)

    def checked(start: datetime, minutes: int) -> dict[str, Any]:
        window = {"start": start.isoformat(), "end": (ended + timedelta(minutes=minutes)).isoformat()}
        return check(serving, models=["trips"], window=window)

    for minutes in (1, 2, 3):
        assert "are usual" not in checked(began, minutes)["reason"]
    silent = checked(ended, 4)
    assert (silent["action"], silent["verdict"], silent["notice"]) == ("quiet", "insufficient_data", "")
    assert silent["reason"].startswith("no predictions came in this window, where 400 are usual; 0 rows in the window")
    html = serving.stores.captures.get(silent["report"]).decode()
    assert "No predictions came in this window, where 400 are usual" in html


@pytest.fixture
def counting(cloud: Cloud) -> Cloud:
    """Windows by count."""
    cloud.champion(MONITORED + "\n[monitor]\nwindow = 300\n", 3_000)
    return cloud


def test_a_window_by_count_has_the_newest_predictions(counting: Cloud) -> None:
    predict(counting, trips(250, seed=7, start=50_000))
    assert check(counting, models=["trips"])["measures"]["CheckedPredictions"] == 250
    predict(counting, trips(200, seed=8, start=60_000))
    # Those of one request are of one moment.
    assert check(counting, models=["trips"])["measures"]["CheckedPredictions"] == 450
    for seed in range(3):
        predict(counting, trips(100, seed=seed, start=70_000 + 1_000 * seed))
    assert check(counting, models=["trips"])["measures"]["CheckedPredictions"] == 300


def test_a_window_by_count_tells_that_nothing_came(counting: Cloud) -> None:
    predict(counting, trips(300, seed=9, start=50_000))
    assert "no prediction has come" not in check(counting)["reason"]
    silent = check(counting, models=["trips"])
    assert silent["reason"].startswith("no prediction has come since 20")
    assert (silent["action"], silent["measures"]["CheckedPredictions"]) == ("quiet", 300)


def captured_at(cloud: Cloud, frame: pd.DataFrame, end: datetime, minutes: int = 1) -> None:
    """As if the endpoint had answered it in as many minutes before `end`."""
    predict(cloud, frame)
    captures, ids = Captures(cloud.stores.captures), set(frame["trip"])
    made = [record for record in cloud.captured() if record["id"] in ids]
    for place, records in enumerate(np.array_split(np.array(made), minutes)):
        time = (end - timedelta(minutes=place + 1)).isoformat()
        captures.write("predictions", "trips", f"made-{place}", [{**record, "time": time} for record in records])


def test_a_window_by_count_reaches_back_over_days(counting: Cloud) -> None:
    now = datetime.now(UTC) + timedelta(days=9)
    captured_at(counting, trips(100, seed=1, start=50_000), now)
    captured_at(counting, trips(200, seed=2, start=60_000), now - timedelta(days=2), minutes=10)
    captured_at(counting, trips(100, seed=3, start=70_000), now - timedelta(days=4))
    checked = monitor(CheckRequest("trips", now.isoformat()), counting.stores)
    report = counting.stores.captures.get_json(checked.report.replace(".html", ".json"))
    assert report["predictions"] == 300
    assert report["window"]["start"] == (now - timedelta(days=2, minutes=10)).isoformat()
    later = monitor(CheckRequest("trips", (now + timedelta(days=1)).isoformat()), counting.stores)
    assert f"no prediction has come since {now - timedelta(minutes=1):%Y-%m-%d %H:%M}Z" in later.reason


def test_drift_in_short_windows_by_count_persists_from_check_to_check(cloud: Cloud) -> None:
    cloud.champion(MONITORED + '\n[monitor]\nwindow = 300\nevery = "1 day"\n', 3_000)
    begin, reasons = datetime.now(UTC), []
    for day in range(1, 4):
        now = begin + timedelta(days=day)
        captured_at(cloud, trips(300, seed=day, wind=1.0, start=10_000 * day), now)
        reasons.append(monitor(CheckRequest("trips", now.isoformat()), cloud.stores).reason)
    assert "seen in 1 of the last 3 windows" in reasons[0]
    assert "and it persists" in reasons[1]
    assert "and it persists" in reasons[2]


def test_a_window_by_count_without_predictions_is_a_fact(counting: Cloud) -> None:
    checked = check(counting)
    assert (checked["action"], checked["verdict"]) == ("quiet", "insufficient_data")


def test_a_performance_drop_retrains_on_the_labelled_captures(serving: Cloud) -> None:
    frame = trips(3_000, seed=8, flipped=True, start=50_000)
    predict(serving, frame)
    label(serving, frame)
    checked = check(serving)
    assert checked["action"] == "retrain"
    assert "of what it had learned is lost" in checked["reason"]
    assert ". What to do: nothing, a retrain was started." in checked["notice"]
    assert "`tidemill runs trips`" in checked["notice"]
    run = wait_for_retrain(serving)
    manifest = serving.stores.models.get_json(f"models/trips/{run['version']}/manifest.json")
    assert len(manifest["partitions"]) == 2
    account = serving.stores.data.get_json(f"datasets/trips/partitions/{manifest['partitions'][1]}/account.json")
    assert account["accepted"] == 3_000


def test_a_second_check_does_not_start_a_second_retrain(serving: Cloud) -> None:
    frame = trips(1_000, seed=8, flipped=True, start=50_000)
    predict(serving, frame)
    label(serving, frame)
    assert check(serving)["action"] == "retrain"
    wait_for_retrain(serving)
    serving.spec("trips", MONITORED)
    again = check(serving, models=["trips"])
    assert again["action"] != "retrain"


def test_drift_with_performance_shown_fine_is_a_note(serving: Cloud) -> None:
    frame = trips(1_500, seed=9, start=50_000)
    frame["distance"] = frame["distance"] * 1.6  # a column that the target does not depend on
    predict(serving, frame)
    label(serving, frame)
    checked = check(serving)
    assert (checked["action"], checked["verdict"]) == ("note", "drift")
    assert "distance" in checked["reason"]


def test_a_broken_feed_is_told_and_never_retrained_on(serving: Cloud) -> None:
    frame = trips(1_000, seed=10, flipped=True, start=50_000)
    frame["distance"] = frame["distance"] * 1_000  # metres for kilometres
    predict(serving, frame)
    label(serving, frame)
    checked = check(serving)
    assert checked["action"] == "quarantine"
    assert "distance" in checked["notice"]
    assert ". What to do: repair the feed, or upload data of the new form" in checked["notice"]
    assert all(not run["source"].startswith("check ") for run in serving.stores.registry.runs("trips"))


def test_a_feed_that_flaps_is_told_once_and_another_problem_at_once(serving: Cloud) -> None:
    predict(serving, trips(1_000, seed=10, start=50_000).assign(distance=lambda frame: frame["distance"] * 1_000))
    broken = datetime.now(UTC)

    def checked(minutes: int, start: datetime) -> tuple[str, bool]:
        window = {"start": start.isoformat(), "end": (broken + timedelta(minutes=minutes)).isoformat()}
        found = check(serving, models=["trips"], window=window)
        return found["action"], bool(found["notice"])

    since = broken - timedelta(days=1)
    assert checked(1, since) == ("quarantine", True)
    assert checked(2, since) == ("quarantine", False)
    assert checked(3, broken) == ("quiet", False)
    assert checked(4, since) == ("quarantine", False)
    assert serving.http("POST", "/models/trips/predict", {"rows": [{}] * 200})[0] == 400
    assert checked(5, since) == ("quarantine", True)


def test_a_drop_whose_labels_were_learned_from_in_vain_is_a_notice(serving: Cloud) -> None:
    frame = trips(1_000, seed=8, flipped=True, start=50_000)
    predict(serving, frame)
    label(serving, frame)
    serving.spec("trips", f"{MONITORED}[gate]\nfloor = 0.999")
    assert check(serving)["action"] == "retrain"
    assert wait_for_retrain(serving)["status"] == "rejected"
    again = check(serving, models=["trips"])
    assert again["action"] == "note"
    assert "there is nothing new to learn from" in again["notice"]
    html = serving.stores.captures.get(again["report"]).decode()
    assert "A retrain is called for, and there is nothing new to learn from." in html
    # Nor is there for an order that comes anyway.
    order = {"model": "trips", "check": "c-late", "reason": "drift"}
    serving.run("pipeline", order)
    run = serving.stores.registry.run("trips", Start.from_event(order).run)
    assert run["status"] == "duplicate"
    assert "nothing to learn from that version 2 has not learned from" in run["reasons"][0]


def test_after_a_retrain_in_vain_the_next_one_waits_for_as_many_new_labels_as_judged_it(serving: Cloud) -> None:
    serving.spec("trips", f"{MONITORED}[gate]\nfloor = 0.999")
    begun = datetime.now(UTC)

    def dropped(rows: int, start: int) -> dict[str, Any]:
        frame = trips(rows, seed=start, flipped=True, start=start)
        predict(serving, frame)
        label(serving, frame)
        return check(serving, models=["trips"])

    assert dropped(1_000, 50_000)["action"] == "retrain"
    assert wait_for_retrain(serving)["status"] == "rejected"
    waits = dropped(150, 60_000)
    assert waits["action"] == "note"
    assert "150 labels are new since the last retrain, which brought nothing better: the next one" in waits["notice"]
    first = int(waits["notice"].split("the next one waits for ")[1].split(",")[0])
    assert first < 1_000
    registry = serving.stores.registry
    registry.claim_run("trips", "r-before", begun, source="check c-before")
    registry.finish_run("trips", "r-before", begun, status="rejected", version=7)
    predict(serving, trips(50, seed=9, start=70_000))
    assert f"the next one waits for {2 * first:,}," in check(serving, models=["trips"])["reason"]
    # Of 1,250 new rows, 1,000 are learned from and 250 judge, however many there were before.
    (judged,) = [one for one in registry.judgements("trips") if one["rows"] == first]
    registry.put_judgement("trips", **{**plain(judged), "rows": 200_000})
    assert "the next one waits for 2,500," in check(serving, models=["trips"])["reason"]
    resume("trips", "tried enough", "anna", serving.stores.registry, datetime.now(UTC))
    assert "no retrain was started: the last retrain began" in check(serving, models=["trips"])["reason"]


def test_a_model_is_checked_when_its_time_has_come_or_when_it_is_named(serving: Cloud) -> None:
    check(serving)
    registry, now = serving.stores.registry, datetime.now(UTC)
    assert list_models({}, serving.stores, now)["requests"] == []
    assert list_models({"models": ["trips"]}, serving.stores, now)["requests"] == [
        {"model": "trips", "at": now.isoformat()}
    ]
    later = now + timedelta(hours=1)
    due = [{"model": "trips", "at": later.isoformat()}]
    assert list_models({}, serving.stores, later)["requests"] == due
    serving.spec("trips", MONITORED + '\n[monitor]\nevery = "2 hours"\n')
    assert list_models({}, serving.stores, later)["requests"] == []
    serving.spec("trips", "target =")
    assert list_models({}, serving.stores, later)["requests"] == due
    registry.put_version("trips", **{**plain(registry.version("trips", 1)), "check_every": 7_200.0})
    assert list_models({}, serving.stores, later)["requests"] == []


def test_a_changed_spec_holds_for_the_next_check(serving: Cloud) -> None:
    frame = trips(400, seed=8, start=50_000, flipped=True)
    predict(serving, frame)
    label(serving, frame)
    serving.spec("trips", MONITORED + "\n[monitor]\nmin_rows = 500\n")
    assert check(serving, models=["trips"])["verdict"] == "insufficient_data"
    serving.spec("trips", MONITORED + "\n[retrain]\nper_month = 0\n")
    checked = check(serving, models=["trips"])
    assert (checked["action"], "the month's budget" in checked["reason"]) == ("note", True)


@pytest.mark.parametrize(("spec", "why"), [(b"target =", "the spec is not valid TOML"), (b"\xff", "is not UTF-8 text")])
def test_a_spec_that_cannot_be_read_leaves_the_champion_s_in_force(serving: Cloud, spec: bytes, why: str) -> None:
    serving.stores.data.put("specs/trips.toml", spec)
    checked = check(serving)
    assert checked["verdict"] == "insufficient_data"
    assert "by the spec that the champion was trained under, since " in checked["reason"]
    assert why in checked["reason"]
    assert why in checked["notice"]
    assert check(serving, models=["trips"])["notice"] == ""


def test_a_refusal_of_a_check_by_hand_is_news_to_the_next_check(serving: Cloud) -> None:
    frame = trips(400, seed=8, start=50_000, flipped=True)
    began = datetime.now(UTC)
    predict(serving, frame)
    label(serving, frame)
    pause("trips", "the fair", "ann", serving.stores.registry, began)
    window = {"start": began.isoformat(), "end": datetime.now(UTC).isoformat()}
    looked = check(serving, models=["trips"], window=window, backfill=False)
    assert ("retrains are paused" in looked["reason"], looked["notice"]) == (True, "")
    assert "retrains are paused" in check(serving, models=["trips"])["notice"]


def test_a_past_window_is_checked_as_of_its_own_rows(serving: Cloud) -> None:
    predict(serving, trips(400, seed=7, start=50_000))
    window = {"start": "2001-01-01T00:00:00Z", "end": "2001-01-02T00:00:00Z"}
    checked = check(serving, models=["trips"], window=window)
    assert checked["verdict"] == "insufficient_data"
    assert "0 rows" in checked["reason"]


@pytest.mark.parametrize(
    ("start", "end", "said"),
    [
        ("2001-01-02T00:00:00Z", "2001-01-01T00:00:00Z", "does not end after it starts"),
        ("2900-01-02T00:00:00Z", "2900-01-03T00:00:00Z", "has not begun"),
        ("1801-01-02T00:00:00Z", "2001-01-03T00:00:00Z", "begins before 1970"),
    ],
)
def test_a_window_that_is_none_is_told_as_a_failed_check(serving: Cloud, start: str, end: str, said: str) -> None:
    execution = serving.run("monitoring", {"models": ["trips"], "window": {"start": start, "end": end}})
    result = json.loads(execution["output"])["checks"][0]
    assert said in result["error"]["Cause"]


def test_a_window_by_hand_is_reported_and_counts_for_no_other_check(serving: Cloud) -> None:
    """Its feed is broken, it ends in the future, and it is looked at twice: neither is past to the other."""
    predict(serving, trips(400, seed=7, start=50_000).assign(wind=lambda rows: rows.wind * 1_000))
    window = {"start": (datetime.now(UTC) - timedelta(days=3)).isoformat(), "end": "2900-01-01T00:00:00Z"}
    first, again = (check(serving, models=["trips"], window=window, backfill=False) for _ in range(2))
    assert [one["action"] for one in (first, again)] == ["quarantine", "quarantine"]
    assert [one["notice"] for one in (first, again)] == ["", ""]
    report = serving.stores.captures.get_json(first["report"].replace(".html", ".json"))
    assert report["window"]["end"] <= datetime.now(UTC).isoformat()
    assert serving.stores.registry.checks("trips") == []
    # Nor is the schedule's next one put off.
    assert len(list_models({}, serving.stores, datetime.now(UTC))["requests"]) == 1


def test_a_model_without_champion_is_not_checked(cloud: Cloud) -> None:
    cloud.spec("trips", MONITORED)
    cloud.train("trips", "empty.csv", b"")
    execution = cloud.run("monitoring", {})
    assert json.loads(execution["output"])["checks"] == []


def test_a_check_that_is_repeated_keeps_its_permission_to_retrain(
    serving: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record could not be written the first time: the retry must not be told that a retrain began just now."""
    frame = trips(1_000, seed=8, flipped=True, start=50_000)
    predict(serving, frame)
    label(serving, frame)
    put_check = Registry.put_check

    def fail_once(*_: Any, **__: Any) -> None:
        monkeypatch.setattr(Registry, "put_check", put_check)
        raise StoreUnavailable("ThrottlingException")

    monkeypatch.setattr(Registry, "put_check", fail_once)
    assert check(serving)["action"] == "retrain"
    wait_for_retrain(serving)


def test_captures_are_learned_from_although_a_later_upload_brought_one_more_column(serving: Cloud) -> None:
    more = trips(300, seed=4, start=80_000).assign(visibility=1.0)
    more.loc[::2, "visibility"] = 2.0
    assert serving.train("trips", "more.csv", csv(more))["status"] == "rejected"
    frame = trips(1_000, seed=8, flipped=True, start=50_000)
    predict(serving, frame)
    label(serving, frame)
    assert check(serving)["action"] == "retrain"
    assert wait_for_retrain(serving)["status"] in ("promoted", "rejected")
