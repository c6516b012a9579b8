"""The governor: whatever the checks ask for, no more retrains start than the policy allows."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.spec import Retrain
from tidemill.stages.retrain import (
    Governor,
    PastRun,
    Ruling,
    backed_off,
    past_run,
    refusal,
    rejected_in_a_row,
    rule,
)

NOW = datetime(2030, 1, 31, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
POLICY = Retrain(cooldown=DAY, per_month=4, seconds_per_month=10_000, breaker=3, min_new_labels=50)


def run(age: timedelta, status: str = "rejected", *, retrain: bool = True, seconds: float = 0.0) -> PastRun:
    finished = None if status == "running" else NOW - age
    return PastRun(NOW - age, status, retrain, finished, seconds)


@pytest.mark.parametrize(
    ("runs", "why"),
    [
        ([], ""),
        ([run(HOUR, "running", retrain=False)], "a run of this model is under way"),
        ([run(3 * HOUR, "running", retrain=False)], ""),
        ([run(23 * HOUR, "promoted")], "the last retrain began 23 hours ago"),
        ([run(25 * HOUR, "promoted")], ""),
        ([run(25 * HOUR)], "48 hours must lie between"),
        ([run(49 * HOUR)], ""),
        ([run(25 * HOUR, "duplicate")], "48 hours must lie between"),
        ([run(25 * HOUR, "running")], "48 hours must lie between"),
        ([run(i * 2 * DAY, "promoted") for i in (1, 2, 3, 4)], "the month's budget of retrains is used up, 4 of 4"),
        ([run(i * 9 * DAY) for i in (1, 2, 3)], "the last 3 retrains brought nothing better"),
        ([run(DAY, "promoted", retrain=False), *[run(i * 9 * DAY) for i in (1, 2, 3)]], ""),
        ([run(40 * DAY), run(160 * DAY), run(280 * DAY)], ""),
        ([run(i * DAY) for i in (29, 35, 44)], "the last 3 retrains brought nothing better"),
        ([run(i * DAY) for i in (31, 35, 44)], ""),
        ([run(2 * DAY, "promoted", seconds=9_999)], ""),
        (
            [run(2 * DAY, "promoted", seconds=6_000), run(5 * DAY, "promoted", seconds=4_000)],
            "budget of seconds is used up",
        ),
        ([run(31 * DAY, "promoted", seconds=10_000)], ""),
        ([run(2 * DAY, "promoted", retrain=False, seconds=10_000)], ""),
    ],
)
def test_what_the_governor_permits(runs: list[PastRun], why: str) -> None:
    refused = refusal("trips", Governor(), runs, POLICY, NOW)
    assert (refused is None) == (not why)
    assert why in (refused.why if refused else "")


@pytest.mark.parametrize(
    ("runs", "forgiven", "waits"),
    [
        ([], None, 0),
        ([run(5 * DAY)], None, 2_000),
        ([run(5 * DAY), run(9 * DAY)], None, 4_000),
        ([run(5 * DAY), run(9 * DAY, "duplicate"), run(14 * DAY)], None, 4_000),
        ([run(5 * DAY), run(9 * DAY), run(14 * DAY)], None, 8_000),
        ([run(5 * DAY), run(9 * DAY, "promoted"), run(14 * DAY)], None, 2_000),
        ([run(5 * DAY), run(40 * DAY)], None, 2_000),
        ([run(31 * DAY)], None, 0),
        ([run(5 * DAY), run(9 * DAY)], 7 * DAY, 2_000),
        ([run(5 * DAY, retrain=False), run(9 * DAY)], None, 2_000),
        ([run(5 * DAY)] * 500, None, 2_000 * 1_024),
    ],
)
def test_the_labels_that_a_retrain_waits_for_double_with_each_that_was_rejected(
    runs: list[PastRun], forgiven: timedelta | None, waits: int
) -> None:
    governor = Governor(forgiven=(NOW - forgiven).isoformat() if forgiven else "")
    rejected = rejected_in_a_row(governor, runs, NOW)
    assert (backed_off(2_000, len(rejected)) if rejected else 0) == waits


def test_an_open_breaker_lets_one_try_through_a_month_until_somebody_resumes() -> None:
    """Time does not close it, nor one more that a person ordered, in vain."""
    opened = [run(i * DAY) for i in (400, 409, 418)]
    assert refusal("trips", Governor(), opened, POLICY, NOW) is None
    for days in (3, 29):
        refused = refusal("trips", Governor(), [run(days * DAY), *opened], POLICY, NOW)
        assert refused
        assert refused.kind == "breaker"
    assert refusal("trips", Governor(forgiven=(NOW - DAY).isoformat()), [run(3 * DAY), *opened], POLICY, NOW) is None


@pytest.mark.parametrize(
    "policy",
    [replace(POLICY, per_month=1), replace(POLICY, seconds_per_month=1_800), replace(POLICY, cooldown=20 * DAY)],
    ids=["runs", "seconds", "cooldown"],
)
def test_a_wait_that_the_governor_itself_asks_for_breaks_no_row(policy: Retrain) -> None:
    world = World(policy, lambda _: ("rejected", HOUR / 2))
    for now in hours(24 * 365)[:: 24 * 7]:
        world.check(now)
    assert all(later - earlier >= 30 * DAY for earlier, later in pairwise(world.starts[2:]))
    assert sum("the last 3 retrains brought nothing better" in notice for notice in world.notices) == 1


RETRAIN = "`tidemill retrain trips --reason TEXT` starts one at once"
RESUME = "`tidemill governor trips --resume --reason TEXT`"


@pytest.mark.parametrize(
    ("paused", "runs", "why"),
    [
        ("by ann: {a} fair", [], f"retrains are paused (by ann: {{a}} fair) until somebody says {RESUME}; {RETRAIN}"),
        (
            "",
            [run(i * 9 * DAY) for i in (1, 2, 3)],
            "the last 3 retrains brought nothing better, and the breaker opens at 3; a check may start the next one "
            f"from 2030-02-21 00:00Z on, or once a run is promoted, or somebody says {RESUME}; {RETRAIN}",
        ),
        (
            "",
            [run(25 * HOUR)],
            "the last retrain began 25 hours ago, and 48 hours must lie between; a check may start the next one from "
            f"2030-01-31 23:00Z on; {RETRAIN}",
        ),
        (
            "",  # two of them by hand
            [run(i * 2 * DAY, "promoted") for i in (1, 2, 3, 4, 5, 6)],
            "the month's budget of retrains is used up, 6 of 4 in 30 days; a check may start the next one from "
            f"2030-02-22 00:00Z on; {RETRAIN}",
        ),
        (
            "",
            [run(2 * DAY, "promoted", seconds=6_000), run(5 * DAY, "promoted", seconds=4_000)],
            "the month's budget of seconds is used up, 10,000 of 10,000 in 30 days; a check may start the next one "
            f"from 2030-02-25 00:00Z on; {RETRAIN}",
        ),
        (
            "",
            [run(HOUR, "running")],
            "a run of this model is under way: `tidemill runs trips` tells when it has ended",
        ),
    ],
    ids=["paused", "breaker", "cooldown", "runs", "seconds", "under way"],
)
def test_a_refusal_says_until_when_and_what_a_person_may_do(paused: str, runs: list[PastRun], why: str) -> None:
    refused = refusal("trips", Governor(paused=paused), runs, POLICY, NOW)
    assert refused
    assert refused.why == why


def test_where_the_budget_is_nothing_a_person_may_retrain() -> None:
    refused = refusal("trips", Governor(), [], replace(POLICY, per_month=0), NOW)
    assert refused
    assert refused.why.endswith(f"0 of 0 in 30 days; no check starts one; {RETRAIN}")


def test_the_last_retrain_alone_may_open_a_breaker() -> None:
    refused = refusal("trips", Governor(), [run(3 * DAY)], replace(POLICY, breaker=1), NOW)
    assert refused
    assert refused.why.startswith("the last retrain brought nothing better, and the breaker opens at 1;")


@settings(max_examples=200, deadline=None)
@given(
    ages=st.lists(st.integers(3, 24 * 60), min_size=1, max_size=15, unique=True).map(sorted),
    ends=st.lists(
        st.tuples(st.sampled_from(["promoted", "rejected", "failed"]), st.sampled_from([60, 3_000, 9_000])),
        min_size=15,
        max_size=15,
    ),
    cooldown=st.sampled_from([timedelta(0), DAY, 40 * DAY]),
)
def test_a_refusal_passes_when_it_says(ages: list[int], ends: list[tuple[str, int]], cooldown: timedelta) -> None:
    """Whatever else refuses by then; and no sooner."""
    runs = [run(age * HOUR, status, seconds=took) for age, (status, took) in zip(ages, ends, strict=False)]
    policy = replace(POLICY, cooldown=cooldown)
    refused = refusal("trips", Governor(), runs, policy, NOW)
    if refused:
        free = datetime.fromisoformat(refused.why.split("the next one from ")[1].split(" on")[0])
        assert refusal("trips", Governor(), runs, policy, free) is None
        assert refusal("trips", Governor(), runs, policy, free - HOUR)


def test_a_refusal_whose_words_change_is_told_once() -> None:
    """An order by hand, in vain too, puts the next try off."""
    opened = [run(i * 9 * DAY) for i in (1, 2, 3)]
    first = rule("trips", Governor(), opened, "c-1", POLICY, NOW)
    again = rule("trips", first.governor, [run(2 * DAY), *opened], "c-2", POLICY, NOW)
    assert first.why != again.why
    assert (first.tell, again.tell) == (True, False)


def test_what_was_forgiven_neither_trips_the_breaker_nor_doubles_the_cooldown() -> None:
    runs = [run((25 + i) * HOUR) for i in range(3)]
    forgiven = Governor(forgiven=(NOW - HOUR).isoformat())
    assert refusal("trips", Governor(), runs, POLICY, NOW)
    assert refusal("trips", forgiven, runs, POLICY, NOW) is None


def test_a_run_that_never_ended_took_as_long_as_a_run_can() -> None:
    assert run(DAY, "running").spent(NOW) == 7_200


def test_a_run_took_what_its_candidates_trained_and_at_least_as_long_as_it_lasted() -> None:
    item = {"started": NOW.isoformat(), "finished": (NOW + HOUR).isoformat(), "status": "failed", "source": "check c"}
    assert past_run({**item, "seconds": 5_000}).spent(NOW + DAY) == 5_000
    assert past_run({**item, "seconds": 10}).spent(NOW + DAY) == 3_600
    assert past_run(item).spent(NOW + DAY) == 3_600


@pytest.mark.parametrize(
    ("source", "status", "told"),
    [("check c-0", "rejected", False), ("check c-0", "promoted", True), ("by hand", "rejected", True)],
)
def test_a_cooldown_is_told_but_after_a_check_s_retrain_that_told_why_it_was_in_vain(
    source: str, status: str, *, told: bool
) -> None:
    began, ended = (NOW - HOUR).isoformat(), (NOW - HOUR / 2).isoformat()
    item = {"started": began, "finished": ended, "status": status, "source": source}
    ruling = rule("trips", Governor(), [past_run(item)], "c-1", POLICY, NOW)
    assert "must lie between" in ruling.why
    assert ruling.tell == told
    assert not rule("trips", ruling.governor, [past_run(item)], "c-2", POLICY, NOW).tell


def test_a_check_that_is_repeated_keeps_its_permission_and_its_notice() -> None:
    first = rule("trips", Governor(), [], "c-1", POLICY, NOW)
    assert rule("trips", first.governor, [run(HOUR, "running")], "c-1", POLICY, NOW).allowed
    tripped = [run(i * 9 * DAY) for i in (1, 2, 3)]
    told = rule("trips", Governor(), tripped, "c-2", POLICY, NOW)
    assert told.tell
    assert rule("trips", told.governor, tripped, "c-2", POLICY, NOW).tell
    assert not rule("trips", told.governor, tripped, "c-3", POLICY, NOW).tell


# Simulations


@dataclass
class World:
    """Hourly checks, or as often as said, and the runs that they start: `ends` says how and after how long."""

    policy: Retrain
    ends: Callable[[int], tuple[str, timedelta]]
    runs: list[PastRun] = field(default_factory=list)
    governor: Governor = field(default_factory=Governor)
    rulings: list[tuple[datetime, Ruling]] = field(default_factory=list)

    def check(self, now: datetime, name: str = "") -> Ruling:
        self.runs = [self._as_of(one, now) for one in self.runs]
        ruling = rule("trips", self.governor, self.runs, name or now.isoformat(), self.policy, now)
        self.governor = ruling.governor
        self.rulings.append((now, ruling))
        if ruling.allowed:
            self.runs.insert(0, PastRun(now, "running", retrain=True))
        return ruling

    def _as_of(self, one: PastRun, now: datetime) -> PastRun:
        """Ended, if its end has come."""
        place = len(self.runs) - 1 - self.runs.index(one)
        status, took = self.ends(place)
        if one.status != "running" or status == "running" or one.started + took > now:
            return one
        return replace(one, status=status, finished=one.started + took, seconds=took.total_seconds())

    @property
    def starts(self) -> list[datetime]:
        return [now for now, ruling in self.rulings if ruling.allowed]

    @property
    def notices(self) -> list[str]:
        return [ruling.why for _, ruling in self.rulings if ruling.tell]

    def hold(self) -> None:
        """What the policy promises, from the starts alone."""
        starts = self.starts
        for earlier, later in pairwise(starts):
            assert later - earlier >= self.policy.cooldown
        for start in starts:
            month = [other for other in starts if start - timedelta(days=30) < other <= start]
            assert len(month) <= self.policy.per_month
            places = [starts.index(other) for other in month[:-1]]
            spent = sum(min(self.ends(place)[1], timedelta(hours=2)).total_seconds() for place in places)
            assert spent < self.policy.seconds_per_month


def hours(count: int) -> list[datetime]:
    return [NOW + i * HOUR for i in range(count)]


def test_a_thousand_drifted_checks_in_a_row_start_what_the_budget_allows() -> None:
    world = World(POLICY, lambda _: ("promoted", HOUR / 2))
    for now in hours(1_000):
        world.check(now)
    world.hold()
    assert len(world.starts) == 8  # 4 in each of the two months that a thousand hours reach into
    # And a notice of each cooldown that a new champion's drop meets, and each time that they are used up.
    assert len(world.notices) == 8 + 2


def test_a_candidate_that_is_always_rejected_starts_three_runs_ever_further_apart_and_then_one_a_month() -> None:
    world = World(POLICY, lambda _: ("rejected", HOUR / 2))
    for now in hours(24 * 365):
        world.check(now)
    apart = [later - earlier for earlier, later in pairwise(world.starts)]
    assert apart == [2 * DAY, 4 * DAY, *[30 * DAY] * 11]
    assert len(world.notices) == 1
    assert "the last 3 retrains brought nothing better" in world.notices[0]


def test_flapping_drift_starts_no_more_and_tells_no_more() -> None:
    world = World(POLICY, lambda _: ("rejected", HOUR / 2))
    for now in hours(24 * 365)[::2]:
        world.check(now)
    assert (len(world.starts), len(world.notices)) == (3 + 11, 1)


def test_runs_that_never_end_are_started_three_times_then_one_a_month_and_never_two_at_once() -> None:
    world = World(replace(POLICY, cooldown=timedelta(0), seconds_per_month=36_000), lambda _: ("running", 2 * HOUR))
    for now in hours(24 * 365):
        world.check(now)
    assert world.starts[:4] == [NOW, NOW + 2 * HOUR, NOW + 4 * HOUR, NOW + 4 * HOUR + 30 * DAY]
    assert len(world.starts) == 3 + 12
    assert len(world.notices) == 1


def test_long_trainings_are_stopped_by_the_seconds() -> None:
    world = World(replace(POLICY, per_month=1_000), lambda _: ("promoted", timedelta(seconds=3_000)))
    for now in hours(24 * 30):
        world.check(now)
    world.hold()
    assert len(world.starts) == 4


def test_after_the_breaker_a_promoted_upload_lets_it_start_again() -> None:
    world = World(POLICY, lambda _: ("rejected", HOUR / 2))
    for now in hours(800):
        world.check(now)
    assert len(world.starts) == 3
    later = NOW + 800 * HOUR
    world.runs.insert(0, PastRun(later, "promoted", retrain=False, finished=later))
    assert world.check(later + DAY).allowed


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_over_any_year_the_policy_holds(data: st.DataObject) -> None:
    policy = Retrain(
        cooldown=data.draw(st.sampled_from([timedelta(0), HOUR, DAY, 3 * DAY])),
        per_month=data.draw(st.integers(0, 12)),
        seconds_per_month=data.draw(st.sampled_from([0, 3_600, 36_000])),
        breaker=data.draw(st.integers(1, 5)),
    )
    outcomes = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(["promoted", "rejected", "failed", "duplicate", "running"]),
                st.sampled_from([timedelta(minutes=5), HOUR, 2 * HOUR]),
            ),
            min_size=1,
            max_size=7,
        )
    )
    asked = data.draw(st.lists(st.integers(1, 60), min_size=1, max_size=12))

    def ends(place: int) -> tuple[str, timedelta]:
        status, took = outcomes[place % len(outcomes)]
        return status, 2 * HOUR if status == "running" else took

    world, now, step = World(policy, ends), NOW, 0
    while now < NOW + 365 * DAY:
        world.check(now)
        now, step = now + asked[step % len(asked)] * HOUR, step + 1
    world.hold()
    _never_two_at_once(world)
    _never_beyond_the_breaker(world)


def _never_two_at_once(world: World) -> None:
    starts = world.starts
    for place, (earlier, later) in enumerate(pairwise(starts)):
        assert later >= earlier + world.ends(place)[1]


def _never_beyond_the_breaker(world: World) -> None:
    in_a_row = 0
    for place, start in enumerate(world.starts):
        assert in_a_row < world.policy.breaker or start - world.starts[place - 1] >= 30 * DAY
        in_a_row = 0 if world.ends(place)[0] == "promoted" else in_a_row + 1
