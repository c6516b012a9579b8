"""The time of broken feeds."""

from datetime import UTC, datetime, timedelta

import pytest

from tidemill.stages.quarantine import Quarantine

NOON, HOUR = datetime(2030, 1, 31, 12, tzinfo=UTC), timedelta(hours=1)
TWICE = Quarantine.of([(NOON + 5 * HOUR, NOON + 6 * HOUR), (NOON, NOON + 2 * HOUR), (NOON + HOUR, NOON + 3 * HOUR)])


@pytest.mark.parametrize(
    ("hours", "inside"), [(-1, False), (0, True), (1.5, True), (2.999, True), (3, False), (5, True), (6, False)]
)
def test_windows_that_overlap_are_one_span_whose_end_is_outside(hours: float, inside: bool) -> None:
    assert TWICE.has((NOON + hours * HOUR).isoformat()) is inside


@pytest.mark.parametrize(("start", "end", "meets"), [(-2, 0, False), (-2, 0.1, True), (3, 5, False), (2, 4, True)])
def test_a_window_is_met_where_it_shares_time(start: float, end: float, meets: bool) -> None:
    assert TWICE.meets(NOON + start * HOUR, NOON + end * HOUR) is meets


def test_without_a_broken_feed_nothing_is_in_quarantine() -> None:
    assert not Quarantine().has(NOON.isoformat())
    assert not Quarantine.of([]).meets(NOON, NOON + HOUR)
