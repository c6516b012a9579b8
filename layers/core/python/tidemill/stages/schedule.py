"""When a model is checked, which windows are apart from each other, and which an outage has left out."""

from collections.abc import Sequence
from datetime import datetime, timedelta

_SLACK = timedelta(minutes=5)
"""What the clock may be early by, of two checks that lie far apart: a tenth of `every`, at most this."""
OVERLAP = 0.02
"""Share of the shorter of two windows that both may have and be disjoint all the same: the clock ticks within a minute,
which is so much of an hour, and what two windows of a month have in common decides nothing."""

Windows = Sequence[tuple[datetime, datetime]]


def due(last: datetime, every: timedelta, now: datetime) -> bool:
    """The clock ticks a second early or late: what is due in that time is due now, and not a tick later."""
    return now - last >= every - min(every / 10, _SLACK)


def disjoint(windows: Windows, window: tuple[datetime, datetime]) -> list[int]:
    """Places of windows that share no time with each other nor with `window`, but for `OVERLAP`, the newest first;
    `windows` are in the order of their ends, the newest first."""
    chosen, (earliest, until) = [], window
    for place, (start, end) in enumerate(windows):
        if end - earliest <= OVERLAP * min(end - start, until - earliest):
            chosen.append(place)
            earliest, until = start, end
    return chosen


def union(windows: Windows) -> list[tuple[datetime, datetime]]:
    """The spans of time that they cover together, the oldest first."""
    spans: list[tuple[datetime, datetime]] = []
    for start, end in sorted(windows):
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((start, end))
    return spans


def missed(
    checked: Windows, begin: datetime, now: datetime, every: timedelta, window: timedelta, *, by_count: bool = False
) -> Windows:
    """Whole windows of that length for the gaps that an outage left in [begin, now) between those that were checked,
    the oldest first.

    What the schedule leaves by itself is none: the time until the next check is due, and that between windows which are
    shorter than `every`, which those `by_count` may be at any time. The oldest window of a gap reaches back over what
    was checked before it.
    """
    slack = OVERLAP * window
    between = every if by_count else max(timedelta(0), every - window)
    found: list[tuple[datetime, datetime]] = []
    reached = begin
    for start, end, usual in [*((*span, between) for span in union(checked)), (now, now, every)]:
        until = min(start, now)
        if until - reached > usual + slack:
            count = -((reached + slack - until) // window)
            found += [(until - (i + 1) * window, until - i * window) for i in reversed(range(count))]
        reached = max(reached, end)
    return found
