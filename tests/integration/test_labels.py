"""Labels that come late, in files, twice or wrong: what a check makes of them, and what it writes down."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pandas as pd
import pytest

from tests.cloud import Cloud
from tests.integration.test_monitoring import MONITORED, check, label, predict, wait_for_retrain
from tests.tables import csv, trips
from tidemill.aws.objects import Objects
from tidemill.aws.paths import partition_prefix
from tidemill.aws.registry import content_of
from tidemill.contracts import CheckRequest, Window
from tidemill.errors import NotFound
from tidemill.flows import labels, performance
from tidemill.flows.captures import Captures
from tidemill.flows.monitor import monitor

MINUTE = timedelta(minutes=1)
Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture
def serving(cloud: Cloud) -> Cloud:
    cloud.champion(MONITORED, 3_000)
    return cloud


def window(start: datetime, end: datetime) -> dict[str, str]:
    return {"start": start.isoformat(), "end": end.isoformat()}


def report(cloud: Cloud, checked: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = cloud.stores.captures.get_json(checked["report"].replace(".html", ".json"))
    return document


def drop(cloud: Cloud, name: str, data: bytes) -> None:
    cloud.stores.captures.put(f"labels/trips/{name}", data)


def outcome(frame: pd.DataFrame) -> bytes:
    return csv(frame[["trip", "late"]])


def test_late_labels_measure_their_window_again_and_may_call_for_a_retrain(serving: Cloud) -> None:
    began = datetime.now(UTC) - MINUTE
    frame = trips(1_000, seed=8, flipped=True, start=50_000)
    predict(serving, frame)
    ended = datetime.now(UTC)
    first = check(serving, models=["trips"], window=window(began, ended))
    assert report(serving, first)["performance"]["status"] == "insufficient_labels"
    label(serving, frame)
    later = check(serving, models=["trips"], window=window(ended, ended + MINUTE))
    assert later["action"] == "retrain"
    assert "whose labels came late, roc_auc is" in later["reason"]
    (again,) = [item for item in serving.stores.registry.checks("trips") if item["check"] == first["check"]]
    assert (again["performance"], again["judged"]["labelled"], again["judged"]["predictions"]) == (
        "dropped",
        1_000,
        1_000,
    )
    (shown,) = report(serving, later)["windows"]
    assert shown["value"] == again["value"]
    assert shown["error"] == pytest.approx(again["estimate"]["value"] - again["value"])
    wait_for_retrain(serving)


def test_a_file_that_is_dropped_is_read_as_labels_of_http_are(serving: Cloud) -> None:
    frame = trips(800, seed=7, start=50_000)
    predict(serving, frame)
    drop(serving, "outcome.csv", outcome(frame[:500]))
    drop(serving, "november/outcome.csv", outcome(frame[500:700]))
    found = report(serving, check(serving))
    assert (found["performance"]["status"], found["performance"]["labelled"]) == ("fine", 700)
    files = {(file["name"], file["used"]) for file in found["labels"]["files"]}
    assert files == {("outcome.csv", 500), ("november/outcome.csv", 200)}


def test_files_beyond_the_most_rows_of_all_are_told_and_not_read(
    serving: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "MOST_ROWS", 150)
    frame = trips(300, seed=7, start=50_000)
    predict(serving, frame)
    for start in (0, 100, 200):
        drop(serving, f"{start}.csv", outcome(frame[start : start + 100]))
    found = report(serving, check(serving))
    assert found["performance"]["labelled"] == 150
    assert sum("rows of all files together" in one for one in found["labels"]["problems"]) == 2


def test_what_is_wrong_with_a_file_is_told_once_whatever_other_files_come_and_go(serving: Cloud) -> None:
    frame = trips(300, seed=7, start=50_000)
    predict(serving, frame)
    drop(serving, "a.csv", outcome(frame[:2]) + b"t9,perhaps\n")
    first = check(serving)
    assert "a.csv: a label must be one of no, yes, not 'perhaps'" in first["notice"]
    assert check(serving, models=["trips"])["notice"] == ""
    drop(serving, "b.csv", b"id,label\nt9,maybe\n")
    second = check(serving, models=["trips"])["notice"]
    assert "problems with labels: b.csv: a label must be one of no, yes, not 'maybe' (1 row). Report" in second
    captures = serving.stores.captures
    captures.client.delete_object(Bucket=captures.bucket, Key="labels/trips/a.csv")
    assert check(serving, models=["trips"])["notice"] == ""
    html = serving.stores.captures.get(first["report"]).decode()
    assert "not &#x27;perhaps&#x27;" in html


def test_an_empty_file_is_told(serving: Cloud) -> None:
    for name in ("empty.csv", "of/a/day/_SUCCESS", "day_$folder$"):
        drop(serving, name, b"")
    assert "problems with labels: empty.csv: empty.csv is empty" in (notice := check(serving)["notice"])
    assert "SUCCESS" not in notice
    assert "folder" not in notice


def test_problems_of_many_files_fit_in_the_record_of_a_check(serving: Cloud) -> None:
    rows = "".join(f"t{row},{row} {'perhaps' * 28}\n" for row in range(20))
    for number in range(100):
        drop(serving, f"{number}.csv", f"id,label\n{rows}".encode())
    first = check(serving)
    assert len(report(serving, first)["labels"]["problems"]) == 2_000
    assert "problems with labels: " in first["notice"]
    assert "; and 1,997 more" in first["notice"]
    assert len(first["notice"]) < 1_500
    (record,) = serving.stores.registry.checks("trips")
    assert len(json.dumps(record)) < 5_000
    assert check(serving, models=["trips"])["notice"] == ""
    drop(serving, "-another.csv", b"id,label\nt9,perhaps\n")
    another = check(serving, models=["trips"])["notice"]
    assert "labels: -another.csv: a label must be one of no, yes, not 'perhaps' (1 row). Report" in another


def test_labels_that_fit_nothing_are_counted(serving: Cloud) -> None:
    frame = trips(300, seed=7, start=50_000)
    predict(serving, frame)
    label(serving, frame)
    other = frame.assign(late=frame["late"].map({"yes": "no", "no": "yes"}))
    label(serving, other[:10])
    label(serving, trips(5, start=90_000))
    account = report(serving, check(serving))["labels"]
    assert (account["read"], account["conflicting"], account["unmatched"]) == (305, 10, 5)


def test_answers_of_another_version_in_the_window_are_counted_apart(serving: Cloud) -> None:
    predict(serving, trips(200, seed=7, start=50_000))
    others = [{**record, "version": 2} for record in serving.captured()[:50]]
    Captures(serving.stores.captures).write("predictions", "trips", "of-2", others)
    found = report(serving, check(serving))
    assert (found["predictions"], found["other_versions"]) == (200, {"2": 50})


def test_an_id_that_is_captured_twice_is_one_prediction(serving: Cloud) -> None:
    frame = trips(300, seed=7, start=50_000)
    predict(serving, frame)
    predict(serving, frame[:100])
    label(serving, frame)
    found = report(serving, check(serving))
    assert (found["predictions"], found["performance"]["predictions"], found["labels"]["again"]) == (400, 300, 100)


def test_one_row_is_a_window_of_which_nothing_is_said(serving: Cloud) -> None:
    frame = trips(1, seed=7, start=50_000)
    predict(serving, frame)
    label(serving, frame)
    checked = check(serving)
    found = report(serving, checked)
    assert (checked["action"], checked["verdict"]) == ("quiet", "insufficient_data")
    assert (found["performance"]["status"], found["estimate"]["status"]) == ("insufficient_labels", "not_estimated")


def test_a_window_without_a_champion_cannot_be_checked(cloud: Cloud) -> None:
    now = datetime.now(UTC)
    request = CheckRequest("trips", now.isoformat(), Window(**window(now - MINUTE, now)))
    with pytest.raises(NotFound, match="model 'trips' has no champion to check"):
        monitor(request, cloud.stores)


def test_a_capture_counts_by_its_own_time_and_not_by_its_folder(cloud: Cloud) -> None:
    noon = datetime(2026, 11, 25, 12, tzinfo=UTC)
    captures = Captures(cloud.stores.captures)
    record = {"id": "k", "version": 1, "time": (noon + timedelta(hours=2)).isoformat()}
    cloud.stores.captures.put("predictions/trips/2026/11/25/120000-a.jsonl", json.dumps(record).encode())
    assert list(captures.read("predictions", "trips", noon, noon + timedelta(hours=1))) == []
    assert list(captures.read("predictions", "trips", noon, noon + timedelta(hours=3))) == [record]


@pytest.mark.parametrize("folder", ["2026", "2026/11", "2026/notes", "{now:%Y/%m/%d}"])
def test_a_file_in_a_folder_of_ours_is_told_and_not_read(serving: Cloud, folder: str) -> None:
    frame = trips(300, seed=7, start=50_000)
    predict(serving, frame)
    label(serving, frame[:10])
    name = f"{folder.format(now=datetime.now(UTC))}/outcome.csv"
    drop(serving, name, outcome(frame))
    checked = check(serving)
    assert f"problems with labels: {name}: it is not read" in checked["notice"]
    assert "put it under labels/trips/" in checked["notice"]
    account = report(serving, checked)["labels"]
    assert [(file["name"], file["rows"]) for file in account["files"]] == [(name, 0)]
    assert account["read"] == 10


def test_a_file_in_a_folder_of_ours_is_not_taken_for_records(cloud: Cloud) -> None:
    drop(cloud, "2026/11/25/outcome.csv", b"id,label\nk,yes\n")
    assert cloud.captured("labels") == []


def test_a_version_has_the_table_that_estimates_are_made_from(serving: Cloud) -> None:
    table = serving.stores.models.get("models/trips/1/estimate.json")
    manifest = serving.stores.models.get_json("models/trips/1/manifest.json")
    assert manifest["digests"]["estimate.json"] == hashlib.sha256(table).hexdigest()
    predict(serving, trips(800, seed=7, start=50_000))
    found = report(serving, check(serving))["estimate"]
    assert found["status"] == "estimated_fine"
    assert found["low"] < found["value"] < found["high"]


def shrunk(cloud: Cloud, seed: int, labelled: int) -> tuple[datetime, datetime]:
    """The window of rows of which the model knows less, so many of them with a label."""
    began = datetime.now(UTC)
    frame = trips(1_500, seed=seed, start=seed * 10_000)
    frame["wind"] = frame["wind"] * 0.15
    predict(cloud, frame)
    if labelled:
        label(cloud, frame[:labelled])
    return began, datetime.now(UTC)


def test_rows_that_the_model_knows_less_of_are_an_estimated_drop_that_asks_for_labels(serving: Cloud) -> None:
    shrunk(serving, 9, labelled=0)
    checked = check(serving)
    assert checked["action"] == "note"
    assert checked["reason"].startswith("without labels roc_auc is estimated at")
    assert "there is nothing new to learn from: send labels" in checked["notice"]


def test_labels_that_trickle_in_add_up_to_something_new(serving: Cloud) -> None:
    first = check(serving, models=["trips"], window=window(*shrunk(serving, 9, labelled=30)))
    assert "there is nothing new to learn from: send labels (at least 50)" in first["reason"]
    second = check(serving, models=["trips"], window=window(*shrunk(serving, 10, labelled=30)))
    assert second["action"] == "retrain"
    assert wait_for_retrain(serving)["status"] in ("promoted", "rejected")


def test_labels_that_were_learned_from_do_not_add_up_again(serving: Cloud) -> None:
    serving.spec("trips", f"{MONITORED}[gate]\nfloor = 0.999")
    first = check(serving, models=["trips"], window=window(*shrunk(serving, 9, labelled=60)))
    assert first["action"] == "retrain"
    assert wait_for_retrain(serving)["status"] == "rejected"
    again = check(serving, models=["trips"], window=window(*shrunk(serving, 10, labelled=30)))
    assert "there is nothing new to learn from" in again["reason"]


def captured(cloud: Cloud, seed: int, *, days_ago: float, labelled_days_ago: float) -> None:
    """200 predictions, and their labels, as if they had come then."""
    now, captures = datetime.now(UTC), Captures(cloud.stores.captures)
    frame = trips(200, seed=seed, start=seed * 10_000)
    rows = json.loads(frame.drop(columns="late").to_json(orient="records"))
    predicted, labelled = ((now - timedelta(days=days)).isoformat() for days in (days_ago, labelled_days_ago))
    predictions = [{"id": row["trip"], "version": 1, "time": predicted, "row": row} for row in rows]
    labels = [{"id": row.trip, "label": row.late, "time": labelled} for row in frame.itertuples()]
    captures.write("predictions", "trips", f"of-{seed}", predictions)
    captures.write("labels", "trips", f"of-{seed}", labels)


def learned(cloud: Cloud, check: str) -> dict[str, Any]:
    """The account of what a retrain took up."""
    before = {item["sk"] for item in cloud.stores.registry.partitions("trips")}
    cloud.run("pipeline", {"model": "trips", "check": check, "reason": "drift"})
    new = [item for item in cloud.stores.registry.partitions("trips") if item["sk"] not in before]
    assert len(new) == 1
    account = cloud.stores.data.get_json(f"{partition_prefix('trips', content_of(new[0]))}account.json")
    return dict(account)


def test_a_retrain_learns_from_labels_of_the_last_quarter(serving: Cloud) -> None:
    captured(serving, 5, days_ago=91, labelled_days_ago=89)
    captured(serving, 6, days_ago=89, labelled_days_ago=89)
    assert learned(serving, "c-1")["accepted"] == 200


def test_a_retrain_looks_back_no_further_than_labels_may_have_come_since_the_last_one(serving: Cloud) -> None:
    captured(serving, 5, days_ago=20, labelled_days_ago=19)
    assert learned(serving, "c-1")["accepted"] == 200
    captured(serving, 6, days_ago=8, labelled_days_ago=0)
    captured(serving, 7, days_ago=6, labelled_days_ago=0)
    opened: list[str] = []
    get = Objects.get

    def noted(self: Objects, key: str, version_id: str = "") -> bytes:
        opened.append(key)
        return get(self, key, version_id)

    with patch.object(Objects, "get", noted):
        assert learned(serving, "c-2")["accepted"] == 200
    read = [key for key in opened if key.startswith(("predictions/", "labels/"))]
    assert [key.rpartition("-")[2] for key in read if key.startswith("predictions/")] == ["7.jsonl"]
    assert not [key for key in read if key.endswith("of-5.jsonl")]


def put_in_quarantine(cloud: Cloud, labelled: int = 600) -> None:
    """A window of 600 predictions from a broken feed, so many of them with a label."""
    began = datetime.now(UTC)
    broken = trips(600, seed=10, flipped=True, start=50_000)
    broken["distance"] = broken["distance"] * 1_000
    predict(cloud, broken)
    label(cloud, broken[:labelled])
    found = check(cloud, models=["trips"], window=window(began, datetime.now(UTC)))
    assert found["action"] == "quarantine"


def test_nothing_is_learned_from_a_window_in_quarantine(serving: Cloud) -> None:
    put_in_quarantine(serving)
    frame = trips(400, seed=11, flipped=True, start=60_000)
    predict(serving, frame)
    label(serving, frame)
    account = learned(serving, "c-1")
    assert account["accepted"] == account["rows_read"] == 400
    [left_out] = [finding for finding in account["findings"] if finding["kind"] == "broken_feed"]
    assert left_out["says"] == "600 labelled predictions were answered while the feed was broken"


def test_labels_of_a_window_in_quarantine_are_nothing_new(serving: Cloud) -> None:
    """Where all that is labelled is left out, a retrain would be in vain."""
    put_in_quarantine(serving, labelled=90)
    found = check(serving, models=["trips"], window=window(*shrunk(serving, 9, labelled=30)))
    assert "there is nothing new to learn from" in found["reason"]


def test_of_a_window_that_reaches_into_quarantine_only_the_other_labels_are_new(serving: Cloud) -> None:
    began = datetime.now(UTC)
    frame = trips(600, seed=10, start=50_000)
    frame["distance"] = frame["distance"] * 1_000
    predict(serving, frame)
    ended, later = shrunk(serving, 9, labelled=60)
    assert check(serving, models=["trips"], window=window(began, later))["action"] == "quarantine"
    found = check(serving, models=["trips"], window=window(ended, later + MINUTE))
    assert "there is nothing new to learn from" in found["reason"]


def capture(cloud: Cloud, frame: pd.DataFrame, start: datetime) -> dict[str, str]:
    """Predictions as if they had been made within an hour from `start` on; that window."""
    predict(cloud, frame)
    ids, then = set(frame["trip"]), (start + MINUTE).isoformat()
    made = [{**one, "time": then} for one in cloud.captured() if one["id"] in ids]
    Captures(cloud.stores.captures).write("predictions", "trips", "then", made)
    return window(start, start + timedelta(hours=1))


def judged(cloud: Cloud, checked: dict[str, Any]) -> int:
    """How many labels the record of this check has by now."""
    (item,) = [item for item in cloud.stores.registry.checks("trips") if item["check"] == checked["check"]]
    labelled: int = item["judged"]["labelled"]
    return labelled


def test_labels_that_are_many_windows_late_measure_their_window_again(cloud: Cloud) -> None:
    cloud.spec("trips", f'{MONITORED}[monitor]\nwindow = "1 hour"\n')
    assert cloud.train("trips", "first.csv", csv(trips(3_000)))["status"] == "promoted"
    frame = trips(150, seed=8, start=50_000)
    then = check(cloud, models=["trips"], window=capture(cloud, frame, datetime.now(UTC) - timedelta(days=2)))
    assert judged(cloud, then) == 0
    label(cloud, frame)
    shown = report(cloud, check(cloud, models=["trips"]))["windows"]
    assert judged(cloud, then) == 150
    assert [one["labelled"] for one in shown] == [150]


def test_windows_take_turns_where_more_are_due_than_one_check_measures(
    serving: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performance, "MOST_MEASURED", 1)
    now = datetime.now(UTC)
    frames = [trips(60, seed=8, start=50_000), trips(60, seed=9, start=60_000)]
    checks = [
        check(serving, models=["trips"], window=capture(serving, frame, now - timedelta(hours=hours)))
        for frame, hours in zip(frames, (9, 6), strict=True)
    ]
    for frame in frames:
        label(serving, frame)
    after = window(now - timedelta(hours=3), now + timedelta(hours=1))
    check(serving, models=["trips"], window=after)
    assert [judged(serving, one) for one in checks] == [60, 0]
    check(serving, models=["trips"], window=after)
    assert [judged(serving, one) for one in checks] == [60, 60]


def test_a_label_that_came_before_its_prediction_counts(serving: Cloud) -> None:
    frame = trips(60, seed=8, start=50_000)
    began = datetime.now(UTC)
    predict(serving, frame)
    early = (began - timedelta(minutes=50)).isoformat()
    known = [{"id": row.trip, "label": row.late, "time": early} for row in frame.itertuples()]
    Captures(serving.stores.captures).write("labels", "trips", "early", known)
    checked = check(serving, models=["trips"], window=window(began, datetime.now(UTC) + MINUTE))
    assert judged(serving, checked) == 60


def test_versions_and_retrains_are_marked_whatever_window_they_lie_in(serving: Cloud) -> None:
    now = datetime.now(UTC)
    registry = serving.stores.registry
    between = now - timedelta(hours=40)
    check(serving, models=["trips"], window=window(now - timedelta(hours=50), now - timedelta(hours=45)))
    registry.claim_run("trips", "r-before", now - timedelta(days=9), source="check c-0")
    registry.claim_run("trips", "r-between", between, source="check c-1")
    registry.record("trips", between, what="promoted", version=7, who="anna", why="rolled back")
    found = report(serving, check(serving, models=["trips"]))
    told = {(mark["at"][:16], mark["what"]) for mark in found["marks"]}
    assert {(f"{between:%Y-%m-%dT%H:%M}", what) for what in ("retrain", "version 7")} <= told
    assert len(found["marks"]) == 3


def checked_twice(cloud: Cloud, sent: Change, labelled: Change) -> list[dict[str, Any]]:
    """Two windows, the second after labels of the first have come and it was measured again."""
    found = []
    for seed in (10, 11):
        began = datetime.now(UTC)
        frame = trips(600, seed=seed, start=seed * 10_000)
        predict(cloud, sent(frame))
        ended = datetime.now(UTC)
        found.append(check(cloud, models=["trips"], window=window(began, ended)))
        label(cloud, labelled(frame))
        check(cloud, models=["trips"], window=window(ended, datetime.now(UTC)))
    return found


def test_what_looked_broken_and_did_no_harm_is_a_broken_feed_no_more(serving: Cloud) -> None:
    """The model does not go by the distance, and labels show it."""
    first, second = checked_twice(
        serving, lambda rows: rows.assign(distance=rows["distance"] / 1_000), lambda rows: rows
    )
    assert [first["action"], second["action"]] == ["quarantine", "note"]
    [problem] = report(serving, second)["problems"]
    assert problem["harmless"]
    assert problem["sentence"].endswith("as in a window that labels showed fine")


def test_what_looked_broken_and_did_harm_stays_a_broken_feed(serving: Cloud) -> None:
    checks = checked_twice(
        serving,
        lambda rows: rows.assign(wind=rows["wind"] * 1_000),
        lambda rows: rows.assign(late=rows["late"].sample(frac=1, random_state=1).to_numpy()),
    )
    assert [one["action"] for one in checks] == ["quarantine", "quarantine"]


def windows(cloud: Cloud, frames: list[pd.DataFrame], labelled: int) -> list[dict[str, Any]]:
    """A check of each frame's window, one behind the other, after the labels of the first `labelled` of them."""
    checks = []
    ended = datetime.now(UTC)
    for place, frame in enumerate(frames):
        began = ended
        predict(cloud, frame)
        if place < labelled:
            label(cloud, frame)
        ended = datetime.now(UTC)
        checks.append(check(cloud, models=["trips"], window=window(began, ended)))
    return checks


def test_a_loss_that_no_window_shows_by_itself_is_found_over_several(serving: Cloud) -> None:
    def fifth_turned(seed: int) -> pd.DataFrame:
        frame = trips(160, seed=seed, start=seed * 10_000)
        other = frame["late"].map({"yes": "no", "no": "yes"})
        return frame.assign(late=frame["late"].where(frame.index % 5 > 0, other))

    checks = windows(serving, [fifth_turned(seed) for seed in (21, 22)], labelled=2)
    found = [report(serving, one) for one in checks]
    assert [one["performance"]["status"] for one in found] == ["fine", "fine"]
    together = found[-1]["together"]
    assert (together["windows"], together["labelled"], together["status"]) == (2, 320, "dropped")
    assert found[0]["together"] is None
    assert checks[-1]["action"] == "retrain"
    assert checks[-1]["reason"].startswith("over the 2 newest windows with labels, ")
    html = serving.stores.captures.get(checks[-1]["report"]).decode()
    assert "The 2 newest with labels" in html
    wait_for_retrain(serving)


@pytest.mark.parametrize(("labelled", "said"), [(1, "as in past windows, which labels showed fine"), (0, "persists")])
def test_drift_that_labels_showed_fine_before_is_a_note(serving: Cloud, labelled: int, said: str) -> None:
    frames = [trips(300, seed=seed, wind=0.8, start=seed * 10_000) for seed in (31, 32, 33)]
    checks = windows(serving, frames, labelled)
    assert [one["verdict"] for one in checks] == ["drift"] * 3
    assert said in checks[-1]["reason"]


@pytest.mark.parametrize("soon", [True, False])
def test_a_few_labels_a_window_that_show_no_loss_together_speak_for_it(
    serving: Cloud, monkeypatch: pytest.MonkeyPatch, *, soon: bool
) -> None:
    """60 a window are too few by themselves, and enough to retrain on: of long ago they say nothing, and persistent
    drift does."""
    if not soon:
        monkeypatch.setattr(performance, "SOON", timedelta(0))
    checks = []
    for seed in (31, 32):
        began, frame = datetime.now(UTC), trips(300, seed=seed, wind=0.8, start=seed * 10_000)
        predict(serving, frame)
        label(serving, frame.iloc[:60])
        checks.append(check(serving, models=["trips"], window=window(began, datetime.now(UTC))))
    found = [report(serving, one) for one in checks]
    assert [one["performance"]["status"] for one in found] == ["insufficient_labels"] * 2
    assert found[1]["together"]["status"] == "fine"
    assert (checks[1]["verdict"], checks[1]["action"]) == ("drift", "note" if soon else "retrain")
    assert ("and yet over the 2 newest windows with labels, " in checks[1]["reason"]) == soon


@pytest.mark.parametrize(("again", "action"), [(1_000, "retrain"), (100_000, "quarantine")])
def test_a_drop_beside_what_did_no_harm_has_another_cause(serving: Cloud, again: int, action: str) -> None:
    """Unless it is much more than what did none: a hundred times as much as that is a broken feed."""

    def rescaled(seed: int, by: int, *, flipped: bool = False) -> pd.DataFrame:
        frame = trips(600, seed=seed, start=seed * 10_000, flipped=flipped)
        return frame.assign(distance=frame["distance"] / by)

    first, second = windows(serving, [rescaled(41, 1_000), rescaled(42, again, flipped=True)], labelled=2)
    assert [first["action"], second["action"]] == ["quarantine", action]


@pytest.mark.parametrize("version", [7, 1], ids=["another version", "this one"])
def test_where_labels_come_they_decide_and_no_estimate(serving: Cloud, version: int) -> None:
    """They judged it an hour ago."""
    now = datetime.now(UTC)
    facts = {"predictions": 300, "verdict": "no_drift", "action": "quiet", "reason": "", "performance": "fine"}
    start, end = (now - timedelta(hours=hours) for hours in (2, 1))
    serving.stores.registry.put_check(
        "trips", end.isoformat(), "c-other", start=start.isoformat(), version=version, value=0.8, **facts
    )
    found = check(serving, models=["trips"], window=window(*shrunk(serving, 9, labelled=0)))
    assert report(serving, found)["estimate"]["status"] == "estimated_drop"
    assert "without labels" not in found["reason"]
