"""Govern: whether a retrain starts, by what the registry remembers, and what people say to it.

Whoever changes what is remembered does so by one conditional write: of two at the same moment, one has decided.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from tidemill.aws.registry import Item, Registry
from tidemill.contracts import Order, retrain_run
from tidemill.errors import InvalidRequest, StoreUnavailable
from tidemill.spec import Retrain
from tidemill.stages.retrain import (
    Decision,
    Governor,
    PastRun,
    Ruling,
    in_vain_in_a_row,
    past_run,
    refusal,
    rule,
    used,
)


def govern(
    model: str,
    check: str,
    decision: Decision,
    policy: Retrain,
    registry: Registry,
    now: datetime,
    *,
    by_hand: bool = False,
) -> tuple[Decision, str]:
    """The decision as it is carried out, and why not where the governor refused. Of a refusal `by_hand` nobody hears,
    so that it is not remembered as told."""
    if decision.action != "retrain":
        return decision, ""
    state = registry.governor(model)
    governor = Governor(**state)
    ruling = rule(model, governor, past_runs(model, governor, registry.runs(model)), check, policy, now)
    if by_hand and not ruling.allowed:
        ruling = replace(ruling, governor=governor, tell=False)
    if ruling.governor != governor and not registry.move_governor(model, state, asdict(ruling.governor)):
        ruling = Ruling(False, governor, "another check decided at the same moment")
    if ruling.allowed:
        return decision, ""
    return Decision("note", f"{decision.reason}; no retrain was started: {ruling.why}", tell=ruling.tell), ruling.why


def past_runs(model: str, governor: Governor, items: Sequence[Item]) -> list[PastRun]:
    """Of the registry's records, and one of the last order if none has it yet: its run is about to begin."""
    runs = [past_run(item) for item in items]
    if governor.order and retrain_run(model, governor.order) not in {item["run"] for item in items}:
        runs.append(PastRun(datetime.fromisoformat(governor.ordered), "running", retrain=True))
    return sorted(runs, key=lambda run: run.started, reverse=True)


def order(model: str, reason: str, who: str, registry: Registry, now: datetime) -> Order:
    """A person's own retrain, which neither pause, breaker, cooldown nor budget holds back, and which counts for all of
    them. Raises `InvalidRequest` while a run of the model is under way."""
    state = registry.governor(model)
    governor = Governor(**state)
    if any(run.under_way(now) for run in past_runs(model, governor, registry.runs(model))):
        raise InvalidRequest(f"a run of {model!r} is under way: `tidemill runs {model}` tells when it has ended")
    made = Order(f"order-{now:%Y%m%dT%H%M%S%f}", reason, who)
    _move(model, state, replace(governor, order=made.check, ordered=now.isoformat()), registry)
    registry.record(model, now, what="ordered", who=who, why=reason, run=retrain_run(model, made.check))
    return made


def forget(model: str, check: str, registry: Registry) -> None:
    """An order whose run could not be started: it holds no other back. Those of checks their own machine forgets."""
    state = registry.governor(model)
    governor = Governor(**state)
    if governor.order == check:
        _move(model, state, replace(governor, order="", ordered=""), registry)


def pause(model: str, reason: str, who: str, registry: Registry, now: datetime) -> None:
    """No check starts a retrain until `resume`."""
    state = registry.governor(model)
    paused = f"by {who} on {now:%Y-%m-%d %H:%M}Z: {reason}"
    _move(model, state, replace(Governor(**state), paused=paused), registry)
    registry.record(model, now, what="paused", who=who, why=reason)


def resume(model: str, reason: str, who: str, registry: Registry, now: datetime) -> None:
    """Ends a pause, and closes the breaker: what was in vain before does not count any more."""
    state = registry.governor(model)
    _move(model, state, replace(Governor(**state), paused="", forgiven=now.isoformat(), told=""), registry)
    registry.record(model, now, what="resumed", who=who, why=reason)


def standing(model: str, policy: Retrain, registry: Registry, now: datetime) -> dict[str, Any]:
    """How a check that asks now would fare, and what it is reckoned from."""
    governor = Governor(**registry.governor(model))
    runs = past_runs(model, governor, registry.runs(model))
    refused = refusal(model, governor, runs, policy, now)
    started, seconds = used(runs, now)
    return {
        "allowed": refused is None,
        "why": refused.why if refused else "",
        "paused": governor.paused,
        "in_vain": in_vain_in_a_row(governor, runs, policy, now),
        "breaker": policy.breaker,
        "retrains": started,
        "per_month": policy.per_month,
        "seconds": round(seconds),
        "seconds_per_month": policy.seconds_per_month,
    }


def _move(model: str, state: Item, governor: Governor, registry: Registry) -> None:
    if not registry.move_governor(model, state, asdict(governor)):
        raise StoreUnavailable(f"a check of {model} decided at the same moment: say it again")
