"""The real pipeline with the real handlers, on moto."""

import json
from typing import Any

import pytest

from tests.cloud import Cloud
from tests.tables import SPEC, csv, trips
from tidemill.aws import clients
from tidemill.aws.registry import Registry
from tidemill.contracts import Start
from tidemill.errors import StoreUnavailable


def test_first_upload_is_promoted_and_answers(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)
    run = cloud.train("trips", "first.csv", csv(trips(1_500)))
    assert (run["status"], run["version"]) == ("promoted", 1)
    status, reply = cloud.http(
        "POST", "/models/trips/predict", {"rows": [{"trip": "t9", "distance": 120.5, "wind": 3.0, "carrier": "cedar"}]}
    )
    assert status == 200
    assert reply["predictions"][0]["id"] == "t9"
    assert reply["predictions"][0]["prediction"] == "yes"
    assert sum(reply["predictions"][0]["probabilities"].values()) == pytest.approx(1)


def test_an_event_delivered_twice_is_one_run(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)
    event = cloud.upload("trips", "first.csv", csv(trips(1_500)))
    first, second = cloud.run("pipeline", event), cloud.run("pipeline", event)
    assert (first["status"], second["status"]) == ("SUCCEEDED", "SUCCEEDED")
    assert [run["status"] for run in cloud.stores.registry.runs("trips")] == ["promoted"]
    assert cloud.calls.count("prepare") == 1


def test_the_same_file_uploaded_again_is_a_duplicate_and_no_news(cloud: Cloud, told: list[str]) -> None:
    cloud.spec("trips", SPEC)
    data = csv(trips(1_500))
    first, second = cloud.train("trips", "first.csv", data), cloud.train("trips", "again.csv", data)
    assert second["status"] == "duplicate"
    assert first["run"] in second["reasons"][0]
    assert len(told) == 1
    assert cloud.calls.count("train") == 2  # two candidates, once


def test_the_same_file_under_a_changed_spec_is_a_new_run(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)
    data = csv(trips(1_500))
    cloud.train("trips", "first.csv", data)
    cloud.spec("trips", SPEC.replace('id = "trip"', 'id = "trip"\nexclude = ["distance"]'))
    assert cloud.train("trips", "first.csv", data)["status"] in ("promoted", "rejected")


def test_a_file_whose_first_run_failed_may_be_uploaded_again(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)
    data = csv(trips(1_500))

    def break_validate() -> None:
        raise RuntimeError("out of memory")

    cloud.before["validate"] = break_validate
    assert cloud.train("trips", "first.csv", data)["status"] == "failed"
    assert cloud.train("trips", "first.csv", data)["status"] == "promoted"


def test_without_a_spec_the_run_says_what_to_do(cloud: Cloud) -> None:
    run = cloud.train("trips", "first.csv", csv(trips(100)))
    assert run["status"] == "invalid"
    assert "tidemill init trips" in run["reasons"][0]


def test_an_invalid_upload_leaves_the_champion_and_shows_the_rows(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)
    cloud.train("trips", "first.csv", csv(trips(1_500)))
    broken = trips(400, seed=5, start=5_000).astype({"wind": object})
    broken.loc[::4, "wind"] = "calm"
    run = cloud.train("trips", "broken.csv", csv(broken))
    assert run["status"] == "invalid"
    assert "100 of 400 rows" in run["reasons"][0]
    assert "line 2, column 'wind', value 'calm'" in run["reasons"][0]
    assert "report.html" in run["report"]
    assert b"calm" in cloud.stores.data.get(run["report"])
    assert len(cloud.stores.registry.partitions("trips")) == 1
    champion = cloud.stores.registry.champion("trips")
    assert champion is not None
    assert champion.version == 1


def test_a_candidate_no_better_than_the_champion_is_rejected_with_numbers(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)
    cloud.train("trips", "first.csv", csv(trips(3_000)))
    run = cloud.train("trips", "second.csv", csv(trips(300, seed=1, start=9_000)))
    assert run["status"] == "rejected"
    assert "not surely better than version 1" in run["reasons"][0]
    evaluation = cloud.stores.models.get_json("models/trips/2/evaluation.json")
    assert evaluation["comparison"]["difference"]["lower"] <= 0
    assert {check["name"]: check["passed"] for check in evaluation["checks"]}["better_than_champion"] is False


def test_a_better_candidate_replaces_the_champion(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)
    cloud.train("trips", "poor.csv", csv(trips(300, flipped=True)))
    run = cloud.train("trips", "good.csv", csv(trips(4_000, seed=2, start=10_000)))
    assert (run["status"], run["version"]) == ("promoted", 2)
    events = [event for event in cloud.stores.registry.events("trips") if event["what"] == "promoted"]
    assert [(event.get("previous"), event["version"]) for event in events] == [(None, 1), (1, 2)]


def test_a_run_whose_champion_moved_is_judged_again_against_the_new_one(cloud: Cloud) -> None:
    """Two uploads at once: both are handled, none is lost, and one champion remains."""
    cloud.spec("trips", SPEC)
    other: dict[str, Any] = {}

    def upload_meanwhile() -> None:
        other.update(cloud.train("trips", "second.csv", csv(trips(1_500, seed=1, start=5_000))))

    cloud.before["deploy"] = upload_meanwhile
    run = cloud.train("trips", "first.csv", csv(trips(1_500)))
    assert other["status"] == "promoted"
    assert run["status"] == "rejected"
    assert f"version {other['version']}" in run["reasons"][0]
    assert cloud.calls.count("validate") == 3
    assert len(cloud.stores.registry.partitions("trips")) == 2


def test_of_two_uploads_prepared_at_once_the_later_sees_both(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.spec("trips", SPEC)
    move = Registry.move_schema

    def interrupted(self: Registry, *args: Any) -> bool:
        monkeypatch.setattr(Registry, "move_schema", move)
        extra = trips(600, seed=1, start=5_000)
        extra["carrier"] = "dogwood"
        cloud.train("trips", "second.csv", csv(extra))
        return move(self, *args)

    monkeypatch.setattr(Registry, "move_schema", interrupted)
    run = cloud.train("trips", "first.csv", csv(trips(1_500)))
    manifest = cloud.stores.models.get_json(f"models/trips/{run['version']}/manifest.json")
    assert len(manifest["partitions"]) == 2
    carrier = next(c for c in manifest["schema"]["columns"] if c["name"] == "carrier")
    assert carrier["vocabulary"] == ["dogwood", "ash", "birch", "cedar"]


def test_a_file_replaced_while_its_run_is_under_way_is_read_as_it_was(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)
    event = cloud.upload("trips", "data.csv", csv(trips(1_500)))
    later = cloud.upload("trips", "data.csv", b"not,a,trip\n1,2,3\n")
    cloud.run("pipeline", event)
    cloud.run("pipeline", later)
    runs = {run["run"]: run["status"] for run in cloud.stores.registry.runs("trips")}
    assert sorted(runs.values()) == ["invalid", "promoted"]


def test_a_candidate_that_fails_does_not_stop_the_others(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)

    def break_one() -> None:
        raise RuntimeError("out of memory")

    cloud.before["train"] = break_one
    run = cloud.train("trips", "first.csv", csv(trips(1_500)))
    assert run["status"] == "promoted"
    evaluation = cloud.stores.models.get_json("models/trips/1/evaluation.json")
    assert [c["failed"] for c in evaluation["candidates"] if c["failed"]] == ["RuntimeError: out of memory"]


@pytest.mark.parametrize("prefix", ["candidates/", "models/"])
def test_a_graph_that_is_not_what_its_document_says_is_not_judged(cloud: Cloud, prefix: str) -> None:
    cloud.spec("trips", SPEC)
    cloud.train("trips", "first.csv", csv(trips(600)))
    champion = cloud.stores.registry.champion("trips")

    def tamper() -> None:
        for key in [key for key in cloud.stores.models.keys(prefix) if key.endswith("model.onnx")]:
            cloud.stores.models.put(key, cloud.stores.models.get(key) + b"\0")

    cloud.before["validate"] = tamper
    run = cloud.train("trips", "second.csv", csv(trips(600, seed=2)))
    assert run["status"] == "failed"
    assert "is not what its document says" in str(run["reasons"])
    assert cloud.stores.registry.champion("trips") == champion


def test_a_run_without_any_candidate_fails_with_each_reason(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC.replace('"linear", "boosting"', '"linear"'))

    def break_it() -> None:
        raise RuntimeError("out of memory")

    cloud.before["train"] = break_it
    event = cloud.upload("trips", "first.csv", csv(trips(1_500)))
    execution = cloud.run("pipeline", event)
    run = cloud.stores.registry.runs("trips")[0]
    assert execution["status"] == "FAILED"
    assert run["status"] == "failed"
    assert "linear: RuntimeError: out of memory" in run["reasons"][0]


def test_a_store_that_fails_in_passing_is_tried_again(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC)

    def break_once() -> None:
        raise StoreUnavailable("SlowDown while reading")

    cloud.before["prepare"] = break_once
    assert cloud.train("trips", "first.csv", csv(trips(1_500)))["status"] == "promoted"
    assert cloud.calls.count("prepare") == 2


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("empty.csv", b"", "is empty"),
        ("header.csv", b"trip,distance,wind,carrier,late\n", "a header and no rows"),
        ("picture.csv", b"\x89PNG\r\n\x1a\n" + bytes(64), "is a PNG picture"),
        ("table.parquet", b"trip,late\n1,yes\n", "is not a Parquet file"),
        ("other.csv", b"a,b\n1,2\n", "target 'late' of the spec is not a column of the file"),
        ("one.csv", csv(trips(60).assign(late="no")), "only the class 'no'"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(cloud: Cloud, name: str, data: bytes, told: str) -> None:
    cloud.spec("trips", SPEC)
    run = cloud.train("trips", name, data)
    assert run["status"] == "invalid"
    assert told in "; ".join(run["reasons"])
    assert cloud.stores.registry.champion("trips") is None


def test_a_spec_with_an_unknown_key_names_the_nearest(cloud: Cloud) -> None:
    cloud.spec("trips", SPEC.replace("trials", "trails"))
    run = cloud.train("trips", "first.csv", csv(trips(100)))
    assert run["status"] == "invalid"
    assert "train.trails is not a known key; did you mean train.trials?" in run["reasons"][0]


def test_a_folder_made_in_the_console_is_ignored(cloud: Cloud) -> None:
    clients.s3().put_object(Bucket="data", Key="uploads/trips/", Body=b"")
    entry = {"key": "uploads/trips/", "size": 0, "version-id": "v1"}
    execution = cloud.run("pipeline", {"detail": {"bucket": {"name": "data"}, "object": entry}})
    assert execution["status"] == "SUCCEEDED"
    assert cloud.stores.registry.models() == []


def test_a_spec_that_is_not_text_is_invalid_and_not_a_failure(cloud: Cloud) -> None:
    cloud.stores.data.put("specs/trips.toml", b'target = "\xff"')
    run = cloud.train("trips", "first.csv", csv(trips(100)))
    assert run["status"] == "invalid"
    assert "is not UTF-8 text" in run["reasons"][0]


def test_a_misspelled_exclude_is_told_and_never_trained_on(cloud: Cloud) -> None:
    """Excluded columns are known only after the fact: a model that saw one would be worthless and look great."""
    cloud.spec("trips", SPEC.replace('id = "trip"', 'id = "trip"\nexclude = ["windd"]'))
    run = cloud.train("trips", "first.csv", csv(trips(1_000)))
    assert run["status"] == "invalid"
    assert "exclude 'windd' of the spec is not a column" in run["reasons"][0]


def test_a_table_of_few_distinct_rows_is_learned_from_whole(cloud: Cloud) -> None:
    """Without an id, equal rows are separate events."""
    cloud.spec("few", 'target = "late"\n[train]\ncandidates = ["linear"]\ntrials = 1')
    few = trips(1_500)[["carrier", "late"]]
    run = cloud.train("few", "few.csv", csv(few))
    evaluation = cloud.stores.models.get_json(f"models/few/{run['version']}/evaluation.json")
    assert evaluation["rows"]["all"] == 1_500


@pytest.mark.parametrize("key", ["Not A Model/first.csv", "first.csv"])
def test_a_key_that_names_no_possible_model_is_ignored_and_told(cloud: Cloud, told: list[str], key: str) -> None:
    entry = {"key": f"uploads/{key}", "size": 4, "version-id": "v1"}
    execution = cloud.run("pipeline", {"detail": {"bucket": {"name": "data"}, "object": entry}})
    assert execution["status"] == "SUCCEEDED"
    assert json.loads(execution["output"])["status"] == "ignored"
    assert cloud.stores.registry.models() == []
    [notice] = told
    assert f"uploads/{key}" in notice


def test_a_run_that_is_not_better_tells_which_version_goes_on_serving(cloud: Cloud, told: list[str]) -> None:
    cloud.spec("trips", SPEC.replace('"linear", "boosting"', '"linear"'))
    cloud.train("trips", "first.csv", csv(trips(1_500)))
    run = cloud.train("trips", "second.csv", csv(trips(300, seed=1, start=9_000)))
    assert run["status"] == "rejected"
    assert run["seconds"] == 0  # of a clock that stands still
    assert "Version 1 goes on serving." in told[-1]


def test_a_retrain_that_a_check_ordered_and_that_is_a_duplicate_is_told(cloud: Cloud, told: list[str]) -> None:
    cloud.spec("trips", SPEC.replace('"linear", "boosting"', '"linear"'))
    cloud.train("trips", "first.csv", csv(trips(1_500)))
    order = {"model": "trips", "check": "c-1", "reason": "drift"}
    cloud.run("pipeline", order)
    assert cloud.stores.registry.run("trips", Start.from_event(order).run)["status"] == "duplicate"
    assert told[-1].startswith("Tidemill: trips: a retrain had nothing new to learn from\n")
    assert "\nthere is nothing to learn from that version 1 has not learned from\n" in told[-1]
    assert "\nNothing was trained, for it would be the same model again" in told[-1]
    assert told[-1].endswith("What to do: send labels or upload newer data.")


def test_a_run_whose_execution_was_stopped_is_recorded_as_failed(cloud: Cloud, told: list[str]) -> None:
    event = cloud.upload("trips", "first.csv", b"a\n1\n")
    state = cloud.invoke("claim", {"execution": "e", "event": event})
    stopped = {"detail": {"status": "ABORTED", "input": json.dumps(event)}}
    cloud.invoke("notify", stopped)
    cloud.invoke("notify", stopped)
    run = cloud.stores.registry.run("trips", state["run"])
    assert (run["status"], len(told)) == ("failed", 1)
    assert "ABORTED" in run["reasons"][0]
