import json
from typing import Any

import pytest

from tidemill.contracts import Candidate, Claimed, Judged, Order, Outcome, Prepared, Start, Upload, describe_error
from tidemill.errors import InvalidUpload

UPLOAD = Upload("data", "uploads/trips/2024/jan.csv", "v1", 12)


def created(key: str, version: str = "v1") -> dict[str, Any]:
    return {"detail": {"bucket": {"name": "data"}, "object": {"key": key, "version-id": version, "size": 12}}}


def test_an_upload_event_names_its_model_by_its_folder() -> None:
    start = Start.from_event(created(UPLOAD.key))
    assert (start.model, start.upload, start.order) == ("trips", UPLOAD, None)


def test_the_same_delivery_twice_is_the_same_run_and_a_new_version_is_another() -> None:
    first, again = Start.from_event(created(UPLOAD.key)), Start.from_event(created(UPLOAD.key))
    newer = Start.from_event(created(UPLOAD.key, "v2"))
    assert first.run == again.run != newer.run


def test_a_retrain_order_is_one_run_a_check() -> None:
    start = Start.from_event({"model": "trips", "check": "c-1", "reason": "drift"})
    assert start.order == Order("c-1", "drift")
    assert start.run == Start.from_event({"model": "trips", "check": "c-1", "reason": "other words"}).run
    assert start.run != Start.from_event({"model": "trips", "check": "c-2", "reason": "drift"}).run


@pytest.mark.parametrize("key", ["uploads/file.csv", "uploads/trips/", "elsewhere/trips/file.csv"])
def test_a_key_that_names_no_model_says_where_to_upload(key: str) -> None:
    with pytest.raises(InvalidUpload, match="upload to uploads/MODEL/FILE"):
        Upload.from_event(created(key)).check()


def test_a_key_of_an_impossible_model_says_what_is_possible() -> None:
    with pytest.raises(InvalidUpload, match=r"uploads/A Model/a.csv: model name 'A Model' is not allowed: use"):
        Upload.from_event(created("uploads/A Model/a.csv")).check()


def test_a_persons_order_is_a_run_of_its_own_and_says_whose_it_is() -> None:
    start = Start.from_event({"model": "trips", "check": "order-1", "reason": "newer code", "who": "ann"})
    assert start.order == Order("order-1", "newer code", "ann")
    assert start.order.source == "by hand of ann"


def test_a_run_took_what_its_candidates_took_together() -> None:
    candidates = [
        Candidate("linear", "p/", 0.7, seconds=2.5).to_event(),
        {"candidate": "forest", "error": {"Error": "States.Timeout"}},
        Candidate("boosting", "p/", 0.8, seconds=40.0).to_event(),
    ]
    state = {"model": "m", "run": "r", "prepared": {"status": "ready"}, "candidates": candidates}
    judged = Outcome.from_event({**state, "judged": Judged(4, False, 3, "r.html", ["it is no better"]).to_event()})
    assert (judged.status, judged.champion, judged.seconds) == ("rejected", 3, 42.5)
    assert Outcome.from_event({**state, "error": {"Error": "NothingTrained"}}).seconds == 42.5


def test_an_execution_that_was_cut_off_is_a_run_that_failed() -> None:
    order = {"model": "trips", "check": "c-1", "reason": "drift"}
    event = {"detail": {"status": "ABORTED", "input": json.dumps(order)}}
    outcome = Outcome.from_event(event)
    assert (outcome.run, outcome.status) == (Start.from_event(order).run, "failed")
    assert (outcome.cut_off, outcome.ordered) == (True, True)
    assert outcome.reasons == ["the execution ended as ABORTED before the pipeline did"]


def test_what_crosses_a_state_boundary_survives_json() -> None:
    for claimed in (
        Claimed("trips", "r-1", "claimed", upload=UPLOAD),
        Claimed("trips", "r-1", "claimed", order=Order("c", "r")),
    ):
        assert Claimed.from_event(json.loads(json.dumps(claimed.to_event()))) == claimed
    for result in (Prepared("ready", "d", ["linear"], 10, 2, reasons=[]), Judged(2, False, 1, "r.html", ["worse"])):
        assert type(result).from_event(json.loads(json.dumps(result.to_event()))) == result


def test_a_branch_that_failed_is_a_candidate_with_the_reason() -> None:
    cause = json.dumps({"errorMessage": "out of memory", "errorType": "MemoryError"})
    failed = Candidate.from_event({"candidate": "forest", "error": {"Error": "MemoryError", "Cause": cause}})
    assert failed == Candidate("forest", failed="MemoryError: out of memory")


def test_an_upload_with_a_mistake_ends_as_invalid_with_every_reason_and_the_report() -> None:
    prepared = Prepared("invalid", report="report.html", reasons=["row 3 is bad", "row 5 too"]).to_event()
    outcome = Outcome.from_event({"model": "m", "run": "r", "prepared": prepared})
    assert outcome == Outcome("m", "r", "invalid", None, ["row 3 is bad", "row 5 too"], "report.html")


def test_an_outcome_says_whether_its_run_was_ordered() -> None:
    prepared = Prepared("duplicate", reasons=["nothing new"]).to_event()
    uploaded = Claimed("m", "r", "claimed", upload=UPLOAD).to_event()
    assert not Outcome.from_event({**uploaded, "prepared": prepared}).ordered
    for order in (Order("c-1", "drift"), Order("order-1", "newer code", "ann")):
        ordered = Claimed("m", "r", "claimed", order=order).to_event()
        assert Outcome.from_event({**ordered, "prepared": prepared}).ordered


def test_an_error_of_ours_ends_as_failed_and_keeps_the_version_that_was_judged() -> None:
    error = {"Error": "StoreUnavailable", "Cause": json.dumps({"errorMessage": "S3 is away"})}
    outcome = Outcome.from_event({"model": "m", "run": "r", "judged": {"version": 4}, "error": error})
    assert outcome == Outcome("m", "r", "failed", 4, ["StoreUnavailable: S3 is away"])


def test_a_cause_that_is_no_json_is_told_as_it_is() -> None:
    assert describe_error({"Error": "States.Timeout"}) == "States.Timeout: "
    assert describe_error({"Error": "X", "Cause": "[1]"}) == "X: [1]"


def test_a_judged_run_ends_as_the_gate_said() -> None:
    judged = Judged(4, True, 3, "report.html", ["it is better"]).to_event()
    outcome = Outcome.from_event({"model": "m", "run": "r", "prepared": {"status": "ready"}, "judged": judged})
    assert outcome == Outcome("m", "r", "promoted", 4, ["it is better"], "report.html")
