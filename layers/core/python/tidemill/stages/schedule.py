"""When a model is checked, which windows are apart from each other, and which an outage has left out."""

from collections.abc import Sequence
from datetime import datetime, timedelta

_SLACK = timedelta(minutes=5)
"""What the clock may be early by, of two checks that lie far apart: a tenth of `every`, at most this."""
OVERLAP = 0.02
"""Share of a window that another may have of it and be disjoint all the same: the clock ticks within a minute, which is
so much of an hour, and what two windows of a month have in common decides nothing."""

Windows = Sequence[tuple[datetime, datetime]]


def due(last: datetime, every: timedelta, now: datetime) -> bool:
    """The clock ticks a second early or late: what is due in that time is due now, and not a tick later."""
    return now - last >= every - min(every / 10, _SLACK)


def disjoint(windows: Windows, before: datetime) -> list[int]:
    """Places of windows that share no time with each other nor with what begins `before`, but for `OVERLAP`, the newest
    first; `windows` are in the order of their ends, the newest first."""
    chosen, earliest = [], before
    for place, (start, end) in enumerate(windows):
        if end - earliest <= OVERLAP * (end - start):
            chosen.append(place)
            earliest = start
    return chosen


def missed(last: datetime, window: timedelta, now: datetime, most: int) -> Sequence[tuple[datetime, datetime]]:
    """Disjoint windows back from now to the end of the last one that was checked, the oldest first; of more than
    `most`, the newest."""
    count = min(-((last - now) // window), most)
    return [(now - (i + 1) * window, now - i * window) for i in reversed(range(count))]
