"""When a model is checked, and which windows a silence has left out."""

from datetime import UTC, datetime, timedelta

import pytest

from tidemill.stages.schedule import disjoint, due, missed

NOW = datetime(2030, 1, 31, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("every", "ago", "is_due"),
    [
        (HOUR, HOUR, True),
        (HOUR, HOUR - timedelta(seconds=2), True),
        (HOUR, 50 * MINUTE, False),
        (DAY, DAY - 4 * MINUTE, True),
        (DAY, 23 * HOUR, False),
        (10 * MINUTE, 10 * MINUTE - timedelta(seconds=30), True),
        (10 * MINUTE, 8 * MINUTE, False),
    ],
)
def test_a_model_is_due_when_its_time_has_passed_give_or_take_the_clocks_own_error(
    every: timedelta, ago: timedelta, is_due: bool
) -> None:
    assert due(NOW - ago, every, NOW) is is_due


def daily(*days_ago: int) -> list[tuple[datetime, datetime]]:
    """Windows of a day, each with its own second of the clock, the newest first."""
    ends = [NOW - days * DAY - timedelta(seconds=days % 3) for days in days_ago]
    return [(end - DAY, end) for end in ends]


def hourly(*hours_ago: int) -> list[tuple[datetime, datetime]]:
    """Windows of a day that slide."""
    return [(NOW - hours * HOUR - DAY, NOW - hours * HOUR) for hours in hours_ago]


DAILY, SLIDING, WEEKLY = (DAY, DAY), (HOUR, DAY), (7 * DAY, DAY)


def test_an_outage_in_the_middle_is_found_though_the_clock_has_ticked_since() -> None:
    windows = missed(daily(0, 1, 5, 6), NOW - 7 * DAY, NOW, *DAILY)
    end = daily(1)[0][0]
    assert windows == [(end - 3 * DAY, end - 2 * DAY), (end - 2 * DAY, end - DAY), (end - DAY, end)]


def test_an_outage_that_lasts_until_now_is_found_the_oldest_window_first() -> None:
    windows = missed(daily(3, 4), NOW - 5 * DAY, NOW, *DAILY)
    assert windows == [(NOW - 3 * DAY, NOW - 2 * DAY), (NOW - 2 * DAY, NOW - DAY), (NOW - DAY, NOW)]


def test_several_outages_are_found_the_oldest_first() -> None:
    windows = missed(daily(0, 2, 4), NOW - 5 * DAY, NOW, *DAILY)
    assert [end for _, end in windows] == [daily(2)[0][0], daily(0)[0][0]]


def test_an_outage_that_began_before_is_found_from_there_on() -> None:
    assert missed(daily(0), NOW - 2 * DAY, NOW, *DAILY) == [(NOW - 2 * DAY, NOW - DAY)]


def test_without_an_outage_nothing_is_missed() -> None:
    assert missed(daily(*range(7)), NOW - 7 * DAY, NOW, *DAILY) == []
    assert missed(hourly(*range(200)), NOW - 7 * DAY, NOW, *SLIDING) == []


def test_until_the_next_check_is_due_nothing_is_missed() -> None:
    assert missed(hourly(*range(1, 200)), NOW - 7 * DAY, NOW, *SLIDING) == []
    assert missed(daily(*range(7)), NOW - 7 * DAY, NOW + 23 * HOUR, *DAILY) == []


def test_an_outage_that_the_next_sliding_window_covers_is_none() -> None:
    assert missed(hourly(*range(5), *range(24, 200)), NOW - 7 * DAY, NOW, *SLIDING) == []


def test_of_a_longer_outage_between_sliding_windows_the_missing_hours_are_in_one_whole_window() -> None:
    """Thirty hours without a check: six of them are in no window."""
    windows = missed(hourly(*range(5), *range(34, 200)), NOW - 7 * DAY, NOW, *SLIDING)
    assert windows == [(NOW - 28 * HOUR - DAY, NOW - 28 * HOUR)]


def test_what_a_sparse_schedule_leaves_out_is_not_missed() -> None:
    weekly = daily(0, 7, 14, 28)
    assert missed(weekly[:3], NOW - 15 * DAY, NOW, *WEEKLY) == []
    assert len(missed(weekly, NOW - 29 * DAY, NOW, *WEEKLY)) == 13


def test_what_was_made_up_for_is_not_missed_again() -> None:
    checked = hourly(*range(5), *range(60, 200))
    made_up = missed(checked, NOW - 9 * DAY, NOW, *SLIDING)
    assert len(made_up) == 2
    assert missed([*checked, *made_up], NOW - 9 * DAY, NOW, *SLIDING) == []


def test_a_window_that_lies_in_the_future_makes_up_for_nothing() -> None:
    assert missed([(NOW + DAY, NOW + 2 * DAY)], NOW - 2 * DAY, NOW, *DAILY) == [
        (NOW - 2 * DAY, NOW - DAY),
        (NOW - DAY, NOW),
    ]


def test_windows_that_overlap_are_taken_once() -> None:
    hours = [(NOW - DAY - h * HOUR, NOW - h * HOUR) for h in range(80)]
    assert disjoint(hours, (NOW - DAY, NOW)) == [24, 48, 72]
    assert disjoint([], (NOW - DAY, NOW)) == []


def test_a_short_window_within_a_long_one_is_not_apart_from_it() -> None:
    long = (NOW - 90 * DAY, NOW - HOUR / 2)
    assert disjoint([long], (NOW - HOUR, NOW)) == []
    assert disjoint([(NOW - HOUR, NOW)], (NOW - HOUR / 2, NOW + 90 * DAY)) == []


@pytest.mark.parametrize("window", [HOUR, DAY])
def test_windows_that_the_clock_made_overlap_by_seconds_are_all_taken(window: timedelta) -> None:
    """Each check came a minute earlier after the one before than it should."""
    ends = [NOW - i * (window - MINUTE) for i in range(1, 6)]
    assert disjoint([(end - window, end) for end in ends], (NOW - window, NOW)) == [0, 1, 2, 3, 4]


def test_windows_by_count_are_of_any_length_and_leave_what_they_leave() -> None:
    ends = [NOW - n * HOUR for n in range(24)]
    windows = [(end - timedelta(minutes=2 + n % 3), end) for n, end in enumerate(ends)]
    length = timedelta(minutes=3)
    assert missed(windows, NOW - DAY, NOW, HOUR, length, by_count=True) == []
    outage = [*windows[:5], *windows[10:]]
    made_up = missed(outage, NOW - DAY, NOW, HOUR, length, by_count=True)
    assert made_up[0][0] <= ends[10] < made_up[-1][1] == windows[4][0]
