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


def test_after_an_outage_the_missed_windows_are_disjoint_and_the_oldest_is_first() -> None:
    windows = missed(NOW - 3 * DAY, DAY, NOW, most=7)
    assert windows == [(NOW - 3 * DAY, NOW - 2 * DAY), (NOW - 2 * DAY, NOW - DAY), (NOW - DAY, NOW)]


def test_the_oldest_missed_window_reaches_back_over_the_last_check() -> None:
    assert missed(NOW - 25 * HOUR, DAY, NOW, most=7)[0] == (NOW - 2 * DAY, NOW - DAY)


def test_of_more_windows_than_asked_for_the_newest_are_made_up_for() -> None:
    assert missed(NOW - 90 * DAY, DAY, NOW, most=2) == [(NOW - 2 * DAY, NOW - DAY), (NOW - DAY, NOW)]


def test_nothing_is_missed_right_after_a_check() -> None:
    assert missed(NOW, DAY, NOW, most=7) == []


def test_windows_that_overlap_are_taken_once() -> None:
    hours = [(NOW - DAY - h * HOUR, NOW - h * HOUR) for h in range(80)]
    assert disjoint(hours, NOW - DAY) == [24, 48, 72]
    assert disjoint([], NOW) == []


@pytest.mark.parametrize("window", [HOUR, DAY])
def test_windows_that_the_clock_made_overlap_by_seconds_are_all_taken(window: timedelta) -> None:
    """Each check came a minute earlier after the one before than it should."""
    ends = [NOW - i * (window - MINUTE) for i in range(1, 6)]
    assert disjoint([(end - window, end) for end in ends], NOW - window) == [0, 1, 2, 3, 4]
