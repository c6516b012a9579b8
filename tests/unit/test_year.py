"""The parts of `make bench-year` that its numbers stand on."""

import math
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from tests.bench.year import weekly
from tests.bench.year_loop import Checkup
from tests.bench.year_rivals import months, score
from tests.bench.year_story import Entry, story
from tests.bench.year_world import QUICK, YEAR, Plan, turned_around
from tidemill.contracts import Action, Checked, Outcome

FIRST = date(2013, 7, 15)


def flights(origin: str, late: str, day: date = FIRST) -> pd.DataFrame:
    """One an hour; of `late`, L was late."""
    return pd.DataFrame(
        {
            "flight_id": [f"{day}-{hour:02d}-{origin}" for hour in range(len(late))],
            "origin": origin,
            "departure_minute": [60 * hour for hour in range(len(late))],
            "late": ["true" if each == "L" else "false" for each in late],
        }
    )


def lateness(flights: pd.DataFrame) -> str:
    return "".join("L" if late == "true" else "-" for late in turned_around(flights))


def test_each_airports_day_is_turned_around_for_itself_in_order_of_departure() -> None:
    two = [flights("EWR", "--LLL"), flights("LGA", "L---"), flights("EWR", "L-", FIRST + timedelta(days=1))]
    assert lateness(pd.concat(two, ignore_index=True)) == "LLL--" + "---L" + "-L"
    shuffled = two[0].iloc[[3, 0, 4, 2, 1]]
    assert lateness(shuffled) == "".join("LLL--"[place] for place in (3, 0, 4, 2, 1))


def test_the_other_airports_day_is_as_ever() -> None:
    assert lateness(flights("JFK", "--L-L")) == "--L-L"


@pytest.mark.parametrize("plan", [YEAR, QUICK])
def test_what_is_planted_lies_apart_and_within_the_year(plan: Plan) -> None:
    days = [
        plan.days.first, plan.broken.first, plan.broken.last, plan.holiday.first, plan.holiday.last, plan.change,
        plan.days.last,
    ]  # fmt: skip
    assert days == sorted(set(days))
    assert [day for month in months(plan) for day in month] == list(plan)


def test_a_days_score_takes_thirty_rows_of_both_classes() -> None:
    late = [0.0] * 20 + [1.0] * 10
    assert score(late, late) == 1.0
    assert math.isnan(score(late[1:], late[1:]))
    assert math.isnan(score([1.0] * 40, [0.5] * 40))


def test_a_year_that_is_the_same_each_day_has_no_interval_and_days_without_a_score_say_nothing() -> None:
    values = np.full(100, 0.25)
    values[::3] = np.nan
    assert weekly(values) == pytest.approx((0.25, 0.25, 0.25))


def test_days_that_go_together_by_the_week_make_the_interval_wider() -> None:
    rng = np.random.default_rng(1)
    days = rng.normal(size=364)
    weeks = np.repeat(rng.normal(size=52), 7)
    (_, low, high), (mean, from_, to) = weekly(days), weekly(weeks)
    assert to - from_ > 2 * (high - low)
    assert mean == pytest.approx(weeks.mean())


def checkup(
    day: int, action: Action, *, notice: str = "", refused: str = "", rows: int = 250, status: str = ""
) -> Checkup:
    checked = Checked("flights", f"c-{day}", action, "drift", f"reason {day}", notice=notice)
    outcome = Outcome("flights", f"r-{day}", status, 2, ["it is better"], seconds=9.0) if status else None  # type: ignore[arg-type]
    return Checkup(FIRST + timedelta(days=day), checked, rows, "", refused, outcome)


def told(checkups: list[Checkup]) -> list[tuple[int, int, str, str]]:
    def of(entry: Entry) -> tuple[int, int, str, str]:
        return (entry.first - FIRST).days, (entry.last - FIRST).days, entry.what, entry.words

    return [of(entry) for entry in story(checkups)]


def test_days_without_an_event_are_counted_between_those_with_one() -> None:
    days = [
        checkup(0, "quiet"),
        checkup(1, "note"),
        checkup(2, "quiet"),
        checkup(3, "note", notice="send labels. Report: x"),
    ]
    assert told([*days, checkup(4, "note")]) == [
        (0, 2, "", "2 quiet, 1 note"),
        (3, 3, "notice", "send labels"),
        (4, 4, "", "1 note"),
    ]


def test_what_goes_on_is_one_entry_and_what_a_person_hears_of_stands_alone() -> None:
    days = [checkup(0, "quarantine", notice="broken"), *(checkup(day, "quarantine") for day in (1, 2))]
    refused = [checkup(day, "note", refused="cooldown") for day in (3, 4)]
    assert told([*days, *refused, checkup(5, "note", refused="breaker", notice="breaker")]) == [
        (0, 0, "quarantine, told", "reason 0"),
        (1, 2, "quarantine", "reason 1"),
        (3, 4, "held back", "cooldown"),
        (5, 5, "held back, told", "reason 5"),
    ]


def test_two_retrains_are_two_events() -> None:
    days = [checkup(day, "retrain", status="rejected") for day in (0, 1)]
    assert [what for _, _, what, _ in told(days)] == ["retrain: rejected"] * 2
    assert story(days)[0].words == "reason 0 → version 2: it is better (9 s)"


def test_a_silent_day_is_told_as_one() -> None:
    usual = [checkup(day, "quiet") for day in range(4)]
    [_, (_, _, what, words)] = told([*usual, checkup(4, "quiet", rows=0)])
    assert (what, words) == ("silence", "no predictions came in this window, where 250 are usual")
