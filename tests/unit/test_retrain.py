"""The triage table, a test a cell, and the governor that lets a retrain start or not."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tidemill.spec import Monitor, Retrain
from tidemill.stages.retrain import Findings, PastRun, permitted, persistence, triage

NOW = datetime(2030, 1, 31, tzinfo=UTC)
DAY = timedelta(days=1)
WINDOW = (NOW - DAY, NOW)
CALM = Findings([], "insufficient_labels", "no labels", "no_drift", "nothing moved", 0, 0)
DRIFTED = replace(CALM, drift="drift", drift_sentence="wind moved")
POLICY = Retrain(cooldown=DAY, per_month=4, breaker=3, min_new_labels=50)


def past(*verdicts: str) -> list[tuple[datetime, datetime, str]]:
    """Disjoint windows before this one, the newest first."""
    return [(NOW - (i + 2) * DAY, NOW - (i + 1) * DAY, verdict) for i, verdict in enumerate(verdicts)]


@pytest.mark.parametrize(
    ("findings", "before", "action", "told"),
    [
        (CALM, (), "quiet", False),
        (replace(CALM, drift="insufficient_data"), ("drift", "drift"), "quiet", False),
        (replace(CALM, performance="dropped", performance_sentence="worse"), (), "retrain", True),
        (replace(DRIFTED, performance="dropped", performance_sentence="worse"), (), "retrain", True),
        (replace(DRIFTED, problems=["wind is gone"], performance="dropped"), (), "quarantine", True),
        (replace(DRIFTED, performance="fine"), ("drift", "drift"), "note", False),
        (DRIFTED, (), "note", False),
        (DRIFTED, ("no_drift", "no_drift"), "note", False),
        (DRIFTED, ("drift",), "note", True),
        (replace(DRIFTED, new_labels=49), ("drift",), "note", True),
        (replace(DRIFTED, new_labels=50), ("drift",), "retrain", True),
        (replace(DRIFTED, new_uploads=1), ("no_drift", "drift"), "retrain", True),
    ],
)
def test_every_cell_of_the_table(findings: Findings, before: tuple[str, ...], action: str, told: bool) -> None:
    decision = triage(findings, past(*before), WINDOW, Monitor(), POLICY)
    assert (decision.action, decision.tell) == (action, told)


def test_overlapping_windows_are_one_voice() -> None:
    hourly = [(NOW - DAY - i * timedelta(hours=1), NOW - i * timedelta(hours=1), "drift") for i in range(1, 24)]
    assert persistence(hourly, WINDOW, 3) == 1
    longer = [(NOW - DAY - i * timedelta(hours=1), NOW - i * timedelta(hours=1), "drift") for i in range(1, 60)]
    assert persistence(longer, WINDOW, 3) == 3


def run(age: timedelta, status: str = "rejected", *, retrain: bool = True) -> PastRun:
    return PastRun(NOW - age, status, retrain)


@pytest.mark.parametrize(
    ("runs", "last", "why"),
    [
        ([], None, ""),
        ([run(timedelta(hours=1), "running", retrain=False)], None, "a run of this model is under way"),
        ([run(timedelta(hours=3), "running", retrain=False)], None, ""),
        ([run(timedelta(hours=23), "promoted")], None, "the last retrain began 23 hours ago"),
        ([run(timedelta(hours=25), "promoted")], None, ""),
        ([run(timedelta(hours=25))], None, "48 hours must lie between"),
        ([run(timedelta(hours=49))], None, ""),
        ([], NOW - timedelta(minutes=5), "the last retrain began 5 minutes ago"),
        ([run(i * 2 * DAY, "promoted") for i in (1, 2, 3, 4)], None, "4 retrains in 30 days are the month's budget"),
        ([run(i * 9 * DAY) for i in (1, 2, 3)], None, "the last 3 retrains brought nothing better"),
        ([run(DAY, "promoted", retrain=False), *[run(i * 9 * DAY) for i in (1, 2, 3)]], None, ""),
    ],
)
def test_what_the_governor_permits(runs: list[PastRun], last: datetime | None, why: str) -> None:
    allowed, told = permitted(runs, last, POLICY, NOW)
    assert allowed == (not why)
    assert why in told


def test_a_thousand_checks_that_ask_never_start_more_than_the_policy_allows() -> None:
    """Always rejected: 1 day, 2 days and 4 days apart, then the breaker."""
    runs: list[PastRun] = []
    for hour in range(1_000):
        now = NOW + timedelta(hours=hour)
        if permitted(runs, None, POLICY, now)[0]:
            runs.insert(0, PastRun(now, "rejected", True))
    assert len(runs) == POLICY.breaker
