"""Retrain: what a check's findings call for, and whether the governor lets it happen.

broken feed                                     quarantine: tell, never retrain
performance dropped, measured or estimated      retrain
drift that persists, performance not judged     retrain, if there is something new to learn from; else tell
drift with performance shown fine, or not yet
persistent                                      note
nothing                                         quiet
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tidemill.contracts import Action
from tidemill.limits import LONGEST_RUN
from tidemill.spec import Monitor, Retrain

_MOST_DOUBLINGS = 10


@dataclass(frozen=True)
class Findings:
    """What one window showed. `drift` is the report's verdict; `new_labels` and `new_uploads` are what a retrain
    could learn from beyond the champion's own training data."""

    problems: Sequence[str]
    performance: str
    performance_sentence: str
    drift: str
    drift_sentence: str
    new_labels: int
    new_uploads: int


@dataclass(frozen=True)
class Decision:
    """`tell`: whether a person should hear of it. `finding` names it, so that the same finding is told once."""

    action: Action
    reason: str
    tell: bool = False
    finding: str = ""


@dataclass(frozen=True)
class PastRun:
    """A run of the model, the newest first in every list of them."""

    started: datetime
    status: str
    retrain: bool


def triage(
    findings: Findings,
    past: Sequence[tuple[datetime, datetime, str]],
    window: tuple[datetime, datetime],
    monitor: Monitor,
    retrain: Retrain,
) -> Decision:
    """`past`: (start, end, drift verdict) of earlier checks of this champion, the newest first."""
    if findings.problems:
        return Decision(
            "quarantine", f"the feed looks broken: {'; '.join(findings.problems)}", tell=True, finding="feed"
        )
    if findings.performance in ("dropped", "estimated_drop"):
        return Decision("retrain", findings.performance_sentence, tell=True)
    if findings.drift != "drift":
        return Decision("quiet", f"{findings.drift_sentence}; {findings.performance_sentence}")
    if findings.performance == "fine":
        return Decision("note", f"{findings.drift_sentence}, and yet {findings.performance_sentence}")
    needed, windows = monitor.patience
    seen = persistence(past, window, windows)
    if seen < needed:
        few = f"seen in {seen} of the last {windows} windows, acted on from {needed}"
        return Decision("note", f"{findings.drift_sentence}; {few}")
    return _persistent(findings, retrain)


def _persistent(findings: Findings, retrain: Retrain) -> Decision:
    if findings.new_labels >= retrain.min_new_labels or findings.new_uploads:
        return Decision("retrain", f"{findings.drift_sentence}, and it persists", tell=True)
    missing = f"send labels (at least {retrain.min_new_labels}) or upload newer data"
    sentence = f"{findings.drift_sentence}, and it persists, but there is nothing new to learn from: {missing}"
    return Decision("note", sentence, tell=True, finding="nothing new")


def persistence(past: Sequence[tuple[datetime, datetime, str]], window: tuple[datetime, datetime], windows: int) -> int:
    """In how many of the last `windows` disjoint windows, this one included, drift was found."""
    found, taken, earliest = 1, 1, window[0]
    for start, end, verdict in past:
        if taken == windows:
            break
        if end <= earliest and verdict != "insufficient_data":
            taken, earliest = taken + 1, start
            found += verdict == "drift"
    return found


def permitted(runs: Sequence[PastRun], last_start: datetime | None, policy: Retrain, now: datetime) -> tuple[bool, str]:
    """May a retrain start now? One at a time, cooldown doubled for each rejection in a row, monthly budget,
    breaker. `last_start` is the governor's own memory of an order whose run may not be recorded yet."""
    if any(run.status == "running" and now - run.started < LONGEST_RUN for run in runs):
        return False, "a run of this model is under way"
    retrains = [run for run in runs if run.retrain]
    in_a_row = _failures_in_a_row(runs)
    if in_a_row >= policy.breaker:
        why = f"the last {in_a_row} retrains brought nothing better"
        return False, f"{why}: no more are started until the model of an upload is promoted"
    starts = [run.started for run in retrains] + ([last_start] if last_start else [])
    wait = policy.cooldown * 2 ** min(in_a_row, _MOST_DOUBLINGS)
    if starts and now - max(starts) < wait:
        return (
            False,
            f"the last retrain began {_ago(now - max(starts))} ago, and {_ago(wait)} must lie between",
        )
    this_month = sum(now - run.started < timedelta(days=30) for run in retrains)
    if this_month >= policy.per_month:
        return False, f"{this_month} retrains in 30 days are the month's budget"
    return True, ""


def _failures_in_a_row(runs: Sequence[PastRun]) -> int:
    count = 0
    for run in runs:
        if run.status == "promoted":
            break
        count += run.retrain and run.status in ("rejected", "failed", "invalid")
    return count


def _ago(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} minutes"
    return f"{minutes // 60} hours" if minutes < 72 * 60 else f"{minutes // 1440} days"


def past_run(item: Mapping[str, Any]) -> PastRun:
    """From the registry's record of a run."""
    return PastRun(
        datetime.fromisoformat(str(item["started"])),
        str(item["status"]),
        str(item.get("source", "")).startswith("check "),
    )
