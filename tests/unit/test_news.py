"""What people are told of findings that stay, come back, or come every night."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from tidemill.stages.news import Heard, news

NOW = datetime(2030, 1, 31, tzinfo=UTC)


def told(found: Callable[[int], list[str]], hours: int, early: timedelta = timedelta(0)) -> list[int]:
    """The hours in which something is told, of a check an hour; each comes `early` by a little more than the last."""
    past: list[Heard] = []
    heard_in = []
    for hour in range(hours):
        fresh, heard = news(found(hour), past, NOW + timedelta(hours=hour) - hour * early)
        heard_in += [hour] if fresh else []
        past = [heard, *past][:24]
    return heard_in


def test_what_stays_is_told_once_however_long() -> None:
    assert told(lambda _: ["wind"], 200) == [0]


def test_what_comes_and_goes_is_told_once_a_day() -> None:
    assert told(lambda hour: ["wind"] if hour % 2 == 0 else [], 96) == [0, 24, 48, 72]


def test_what_comes_every_night_is_told_every_night_although_the_clock_is_early() -> None:
    early = timedelta(seconds=1)
    assert told(lambda hour: ["wind"] if hour % 24 == 2 else [], 96, early) == [2, 26, 50, 74]


def test_what_is_back_after_a_day_is_told_at_once() -> None:
    assert told(lambda hour: ["wind"] if hour < 5 or hour >= 30 else [], 100) == [0, 30]


def test_what_is_back_within_the_day_and_stays_is_told_when_it_is_over() -> None:
    assert told(lambda hour: ["wind"] if hour != 3 else [], 100) == [0, 23]


def test_another_problem_beside_one_that_is_known_is_told_at_once() -> None:
    assert told(lambda hour: ["wind", "distance"] if hour >= 4 else ["wind"], 100) == [0, 4]


def test_a_notice_of_one_problem_tells_those_that_wait_as_well() -> None:
    def found(hour: int) -> list[str]:
        return [*(["wind"] if hour != 3 else []), *(["distance"] if hour >= 6 else [])]

    assert told(found, 100) == [0, 6]


def test_nothing_is_no_news() -> None:
    assert news([], [{"wind": NOW.isoformat()}], NOW) == (False, {})
