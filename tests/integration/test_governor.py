"""The governor's memory in the registry: conditional writes, people's orders, and the commands that show it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.cloud import account
from tidemill.aws.registry import Registry
from tidemill.contracts import retrain_run
from tidemill.errors import InvalidRequest, StoreUnavailable
from tidemill.flows import govern
from tidemill.spec import Retrain
from tidemill.stages.retrain import Decision
from tidemill_cli.cloud import Target
from tidemill_cli.commands.retrain import retrain
from tidemill_cli.console import Console
from tidemill_cli.session import Session

NOW = datetime(2030, 1, 31, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POLICY = Retrain(cooldown=DAY, per_month=4, breaker=3)
ASKS = Decision("retrain", "performance dropped", tell=True)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with mock_aws(), account() as stores:
        yield stores.registry


def ask(registry: Registry, check: str, now: datetime, policy: Retrain = POLICY) -> tuple[Decision, str]:
    return govern.govern("trips", check, ASKS, policy, registry, now)


def carry_out(registry: Registry, check: str, now: datetime, status: str = "rejected", seconds: float = 60.0) -> None:
    """The run that the check ordered, from claim to end."""
    run = retrain_run("trips", check)
    registry.claim_run("trips", run, now, source=f"check {check}", execution=check)
    registry.finish_run("trips", run, now + HOUR / 4, status=status, seconds=seconds)


def test_what_is_no_retrain_passes_as_it_is(registry: Registry) -> None:
    note = Decision("note", "drift")
    assert govern.govern("trips", "c", note, POLICY, registry, NOW) == (note, "")
    assert registry.governor("trips") == {}


def test_an_order_without_a_record_yet_is_a_run_under_way(registry: Registry) -> None:
    policy = replace(POLICY, cooldown=timedelta(0))
    assert ask(registry, "c-1", NOW, policy)[0].action == "retrain"
    assert "under way" in ask(registry, "c-2", NOW + timedelta(seconds=1), policy)[1]


def test_of_checks_at_the_same_moment_one_starts_a_retrain(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """All have read the same memory before one of them writes."""
    states = registry.governor("trips")
    monkeypatch.setattr(Registry, "governor", lambda *_: dict(states))
    with ThreadPoolExecutor(8) as pool:
        rulings = list(pool.map(lambda i: ask(registry, f"c-{i}", NOW), range(8)))
    assert sum(decision.action == "retrain" for decision, _ in rulings) == 1
    assert {why for _, why in rulings} == {"", "another check decided at the same moment"}


def test_a_thousand_checks_whose_candidates_are_all_rejected_start_three_retrains_and_one_a_month_and_tell_once(
    registry: Registry,
) -> None:
    started, told = [], []
    for hour in range(1_000):
        now = NOW + hour * HOUR
        decision, why = ask(registry, f"c-{hour}", now)
        if decision.action == "retrain":
            started.append(hour)
            carry_out(registry, f"c-{hour}", now)
        elif decision.tell:
            told.append(why)
    assert started == [0, 48, 144, 864]  # after one and two in vain: two and four days; then a month
    [notice] = told
    assert "the last 3 retrains brought nothing better" in notice


def test_the_seconds_that_runs_recorded_are_a_budget(registry: Registry) -> None:
    policy = replace(POLICY, cooldown=timedelta(0), seconds_per_month=4_000)
    assert ask(registry, "c-1", NOW, policy)[0].action == "retrain"
    carry_out(registry, "c-1", NOW, "promoted", seconds=4_000)
    decision, why = ask(registry, "c-2", NOW + DAY, policy)
    assert decision.tell
    assert "the month's budget of seconds is used up, 4,000 of 4,000 in 30 days" in why
    assert ask(registry, "c-3", NOW + 31 * DAY, policy)[0].action == "retrain"


def test_a_pause_holds_every_check_back_and_tells_once(registry: Registry) -> None:
    govern.pause("trips", "the fair", "ann", registry, NOW)
    first, second = ask(registry, "c-1", NOW + HOUR), ask(registry, "c-2", NOW + 2 * HOUR)
    assert (first[0].action, first[0].tell, second[0].tell) == ("note", True, False)
    assert "by ann" in first[1]
    assert "the fair" in first[1]
    govern.resume("trips", "it is over", "bob", registry, NOW + 3 * HOUR)
    assert ask(registry, "c-3", NOW + 4 * HOUR)[0].action == "retrain"
    events = [(event["what"], event["who"], event["why"]) for event in registry.events("trips")]
    assert events == [("paused", "ann", "the fair"), ("resumed", "bob", "it is over")]


def test_resume_closes_the_breaker(registry: Registry) -> None:
    for hour in (0, 48, 144):
        assert ask(registry, f"c-{hour}", NOW + hour * HOUR)[0].action == "retrain"
        carry_out(registry, f"c-{hour}", NOW + hour * HOUR)
    later = NOW + 10 * DAY
    assert govern.standing("trips", POLICY, registry, later)["in_vain"] == 3
    refused = ask(registry, "c-late", later)[1]
    assert "`tidemill governor trips --resume --reason TEXT`" in refused
    assert govern.standing("trips", POLICY, registry, later)["why"] == refused
    govern.resume("trips", "the data were mended", "ann", registry, later)
    assert govern.standing("trips", POLICY, registry, later)["allowed"]
    assert ask(registry, "c-later", later + HOUR)[0].action == "retrain"


def test_a_person_passes_breaker_pause_and_cooldown_but_not_another_run(registry: Registry) -> None:
    for hour in (0, 48, 144):
        ask(registry, f"c-{hour}", NOW + hour * HOUR)
        carry_out(registry, f"c-{hour}", NOW + hour * HOUR)
    govern.pause("trips", "the fair", "ann", registry, NOW + 145 * HOUR)
    order = govern.order("trips", "newer code", "bob", registry, NOW + 146 * HOUR)
    assert order.source == "by hand of bob"
    with pytest.raises(InvalidRequest, match="is under way"):
        govern.order("trips", "again", "bob", registry, NOW + 146 * HOUR)
    assert registry.events("trips")[-1]["why"] == "newer code"


def test_a_persons_retrain_counts_for_what_the_checks_may_start(registry: Registry) -> None:
    order = govern.order("trips", "newer code", "bob", registry, NOW)
    registry.claim_run("trips", retrain_run("trips", order.check), NOW, source=order.source, execution="e")
    registry.finish_run("trips", retrain_run("trips", order.check), NOW + HOUR, status="promoted", seconds=10)
    assert "the last retrain began 2 hours ago" in ask(registry, "c-1", NOW + 2 * HOUR)[1]
    assert govern.standing("trips", POLICY, registry, NOW + 2 * HOUR)["retrains"] == 1


def test_an_order_that_could_not_be_started_holds_no_other_back(registry: Registry) -> None:
    order = govern.order("trips", "newer code", "bob", registry, NOW)
    govern.forget("trips", "order-of-another", registry)
    assert "under way" in ask(registry, "c-1", NOW + HOUR)[1]
    govern.forget("trips", order.check, registry)
    assert ask(registry, "c-2", NOW + HOUR)[0].action == "retrain"


def test_a_person_whose_order_could_not_be_started_may_order_again(registry: Registry) -> None:
    def client(service: str) -> Any:
        return boto3.client(service)  # type: ignore[call-overload]

    registry.claim_run("trips", "r-0", NOW, source="uploads/trips/a.csv", execution="e")
    registry.finish_run("trips", "r-0", NOW, status="promoted")
    session = Session(Console())
    gone = "arn:aws:states:us-east-1:123456789012:stateMachine:gone"
    names = {"PipelineArn": gone, "RegistryTable": registry.table}
    session.__dict__["target"] = Target("moto", False, names, client, "", lambda: "me")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="StateMachineDoesNotExist"):
            retrain(session, "trips", "newer code", waiting=None)


def test_an_order_that_a_check_was_faster_than_is_to_be_said_again(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Registry, "move_governor", lambda *_: False)
    with pytest.raises(StoreUnavailable, match="say it again"):
        govern.order("trips", "newer code", "bob", registry, NOW)


def test_a_run_that_was_cut_off_is_recorded_once_and_never_over_an_outcome(registry: Registry) -> None:
    registry.claim_run("trips", "r-1", NOW, source="check c", execution="e")
    assert registry.cut_off_run("trips", "r-1", NOW + HOUR, status="failed")
    assert registry.run("trips", "r-1")["status"] == "failed"
    assert not registry.cut_off_run("trips", "r-1", NOW + HOUR, status="failed")
    assert not registry.cut_off_run("trips", "r-unknown", NOW + HOUR, status="failed")
