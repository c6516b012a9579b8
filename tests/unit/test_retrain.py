"""The triage table, a test a cell."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tidemill.spec import Monitor, Retrain
from tidemill.stages.feed import FeedProblem
from tidemill.stages.retrain import Findings, evidence, persistence, shown_fine, triage, unlearned, unproven

NOW = datetime(2030, 1, 31, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = (NOW - DAY, NOW)
POLICY = Retrain(min_new_labels=50)

NOT_JUDGED, FINE, DROPPED, ESTIMATED = "insufficient_labels", "fine", "dropped", "estimated_drop"
SILENT, SAME, DRIFT = "insufficient_data", "no_drift", "drift"
ONCE, TWICE = (), ("drift",)
"""Windows before this one, the newest first, in which the same drift was found."""


def findings(
    performance: str,
    drift: str,
    *,
    broken: bool = False,
    weight: float = 1.0,
    unproven: float = 1.0,
    new: bool = True,
    in_vain: int = 0,
    come: bool = False,
) -> Findings:
    return Findings(
        problems=[FeedProblem("wind", "absent", "wind is gone")] if broken else [],
        performance=performance,
        performance_sentence=f"performance is {performance}",
        drift=drift,
        drift_sentence=f"drift is {drift}",
        new_labels=50 if new else 49,
        new_uploads=0,
        weight=weight,
        unproven=unproven,
        in_vain=in_vain,
        labels_come=come,
    )


def past(*verdicts: str) -> list[tuple[datetime, datetime, str]]:
    """Disjoint windows before this one, the newest first."""
    return [(NOW - (i + 2) * DAY, NOW - (i + 1) * DAY, verdict) for i, verdict in enumerate(verdicts)]


def cell(name: str, found: Findings, before: tuple[str, ...], action: str, *, told: bool) -> Any:
    return pytest.param(found, before, action, told, id=name)


@pytest.mark.parametrize("new", [True, False], ids=["something new", "nothing new"])
@pytest.mark.parametrize(
    ("found", "before", "action", "told"),
    [
        *(
            cell(
                f"broken feed, {performance}, {drift}",
                findings(performance, drift, broken=True),
                TWICE,
                "quarantine",
                told=True,
            )
            for performance in (NOT_JUDGED, FINE, DROPPED, ESTIMATED)
            for drift in (SILENT, SAME, DRIFT)
        ),
        *(
            cell(f"{performance}, {drift}", findings(performance, drift), ONCE, "retrain", told=True)
            for performance in (DROPPED, ESTIMATED)
            for drift in (SILENT, SAME, DRIFT)
        ),
        *(
            cell(f"{performance}, {drift}", findings(performance, drift), TWICE, "quiet", told=False)
            for performance in (NOT_JUDGED, FINE)
            for drift in (SILENT, SAME)
        ),
        cell("not judged, unimportant drift", findings(NOT_JUDGED, DRIFT, weight=0.049), TWICE, "note", told=False),
        cell("fine, unimportant drift", findings(FINE, DRIFT, weight=0.049), TWICE, "note", told=False),
        cell("dropped, unimportant drift", findings(DROPPED, DRIFT, weight=0.0), ONCE, "retrain", told=True),
        cell("fine, first drift", findings(FINE, DRIFT), ONCE, "note", told=False),
        cell("fine, persistent drift", findings(FINE, DRIFT), TWICE, "note", told=False),
        cell("not judged, harmless drift", findings(NOT_JUDGED, DRIFT, unproven=0.04), TWICE, "note", told=False),
        cell("dropped, harmless drift", findings(DROPPED, DRIFT, unproven=0.0), ONCE, "retrain", told=True),
        cell(
            "dropped, as many asked for after one in vain",
            findings(DROPPED, SAME, in_vain=50),
            ONCE,
            "retrain",
            told=True,
        ),
        cell("dropped, more asked for after one in vain", findings(DROPPED, SAME, in_vain=51), ONCE, "note", told=True),
        cell("not judged, first drift", findings(NOT_JUDGED, DRIFT), ONCE, "note", told=False),
        cell("not judged, drift that went away", findings(NOT_JUDGED, DRIFT), (SAME, SAME, DRIFT), "note", told=False),
        cell("not judged, drift after silence", findings(NOT_JUDGED, DRIFT), (SILENT, DRIFT), "retrain", told=True),
        cell("not judged, persistent drift", findings(NOT_JUDGED, DRIFT, weight=0.05), TWICE, "retrain", told=True),
        cell("not judged, flapping drift", findings(NOT_JUDGED, DRIFT), (SAME, DRIFT), "retrain", told=True),
        cell("the same, where labels come", findings(NOT_JUDGED, DRIFT, come=True), TWICE, "note", told=False),
        cell("dropped, where labels come", findings(DROPPED, DRIFT, come=True), TWICE, "retrain", told=True),
    ],
)
def test_every_cell_of_the_table(found: Findings, before: tuple[str, ...], action: str, told: bool, new: bool) -> None:
    """Where there is nothing new, what else would retrain is a note, and all else is as it was."""
    seen = found if new else replace(found, new_labels=49)
    decision = triage(seen, past(*before), WINDOW, Monitor(), POLICY)
    assert decision.action == (action if new or action != "retrain" else "note")
    assert decision.tell == told


def test_a_feed_of_thousands_of_broken_columns_fits_in_a_message_and_a_record() -> None:
    problems = [FeedProblem(f"column {n}", "absent", f"column {n} is absent{'!' * 1_000}") for n in range(2_000)]
    decision = triage(replace(findings(FINE, SAME), problems=problems), [], WINDOW, Monitor(), POLICY)
    assert decision.reason.startswith("the feed looks broken: column 0 is absent!")
    assert decision.reason.endswith("; and 1,990 problems more")
    assert len(decision.reason) < 4_000
    assert list(decision.about) == [f"absent column {n}" for n in range(100)]


@pytest.mark.parametrize("in_vain", [0, 2_000])
def test_an_upload_that_no_version_learned_from_is_something_new(in_vain: int) -> None:
    found = replace(findings(DROPPED, SAME, new=False, in_vain=in_vain), new_uploads=1)
    assert triage(found, [], WINDOW, Monitor(), POLICY).action == "retrain"


def test_after_a_retrain_in_vain_it_is_said_how_many_labels_the_next_one_waits_for() -> None:
    reason = triage(findings(DROPPED, SAME, in_vain=2_000), [], WINDOW, Monitor(), POLICY).reason
    assert "but 50 labels are new since the last retrain, which brought nothing better" in reason
    assert reason.endswith("the next one waits for 2,000, or until a month has passed, or for `tidemill retrain`")


def checked(performance: str, drifted: dict[str, float], together: str = "fine") -> dict[str, Any]:
    return {"performance": performance, "together": together, "drifted": drifted}


def test_drift_is_known_to_be_harmless_since_the_last_drop() -> None:
    checks = [
        checked(NOT_JUDGED, {"wind": 0.9}),
        checked(FINE, {"wind": 0.2, "rain": 0.1}),
        checked(FINE, {"wind": 0.3}),
        checked(DROPPED, {"snow": 0.3}),
        checked(FINE, {"wind": 0.8, "fog": 0.4}),
    ]
    assert shown_fine(checks) == {"wind": 0.3, "rain": 0.1}
    assert shown_fine([checked(FINE, {"wind": 0.2}, DROPPED), checked(FINE, {"rain": 0.1})]) == {}
    assert shown_fine([{"performance": FINE}]) == {}  # of before there was such a field


def test_drift_that_has_grown_is_not_known_to_be_harmless() -> None:
    assert unproven({"wind": 0.3, "rain": 0.31, "snow": 0.01}, {"wind": 0.2, "rain": 0.2}) == ["rain", "snow"]


@pytest.mark.parametrize(("in_vain", "labels"), [(0, "50"), (2_000, "2,000")])
def test_without_anything_new_the_notice_says_what_to_send(in_vain: int, labels: str) -> None:
    found = findings(DROPPED, SAME, new=False, in_vain=in_vain)
    decision = triage(found, [], WINDOW, Monitor(), POLICY)
    assert decision.reason.endswith(f"send labels (at least {labels}) or upload newer data")


def test_overlapping_windows_are_one_voice() -> None:
    hourly = [(NOW - DAY - i * timedelta(hours=1), NOW - i * timedelta(hours=1), "drift") for i in range(1, 24)]
    assert persistence(hourly, WINDOW, 3) == 1
    longer = [(NOW - DAY - i * timedelta(hours=1), NOW - i * timedelta(hours=1), "drift") for i in range(1, 60)]
    assert persistence(longer, WINDOW, 3) == 3


def test_windows_that_the_clock_made_overlap_by_seconds_are_voices_of_their_own() -> None:
    second = timedelta(seconds=1)
    daily = [(NOW - (i + 1) * (DAY - second), NOW - i * (DAY - second), "drift") for i in (1, 2)]
    assert persistence(daily, WINDOW, 3) == 3


def test_a_check_of_a_broken_feed_says_nothing_of_drift() -> None:
    assert evidence({"action": "quarantine", "verdict": "drift", "finding": "feed"}) == "insufficient_data"


@pytest.mark.parametrize(("weight", "unproven"), [(0.01, 0.01), (1.0, 0.01)])
def test_drift_that_does_not_matter_does_not_add_up_to_persistent_drift(weight: float, unproven: float) -> None:
    found = findings(NOT_JUDGED, DRIFT, weight=weight, unproven=unproven)
    decision = triage(found, [], WINDOW, Monitor(), POLICY)
    check = {"action": decision.action, "verdict": "drift", "finding": decision.finding}
    assert evidence(check) == "no_drift"
    assert evidence({**check, "finding": ""}) == "drift"


@pytest.mark.parametrize(
    ("runs", "count"),
    [
        ([{"run": "a", "status": "promoted", "started": "2030-01-01"}], 0),
        ([{"run": "a", "status": "failed", "started": "2030-01-01"}], 1),
        ([{"run": "b", "status": "rejected", "started": "2030-01-03"}], 0),
        ([{"run": "b", "status": "rejected", "started": "2030-01-01"}], 1),
        ([{"run": "b", "status": "running", "started": "2030-01-03"}], 1),
    ],
)
def test_a_partition_is_new_until_a_run_that_had_it_came_to_the_gate(runs: list[dict[str, str]], count: int) -> None:
    assert unlearned([{"run": "a", "accepted": "2030-01-02"}], runs) == count


def test_a_broken_feed_is_told_by_what_is_to_be_repaired() -> None:
    """Each look of a column is one, and rows that are refused for its sake are another."""
    problems = [
        FeedProblem("wind", "refused", "60 of 90 rows refused"),
        FeedProblem("wind", "missing", "wind is missing"),
        FeedProblem("distance", "scale", "distance is about 10 times larger"),
    ]
    found = replace(findings(FINE, SAME), problems=problems)
    decision = triage(found, [], WINDOW, Monitor(), POLICY)
    assert decision.about == ["refused wind", "missing wind", "scale distance"]
    assert decision.reason == (
        "the feed looks broken: 60 of 90 rows refused; wind is missing; distance is about 10 times larger"
    )
