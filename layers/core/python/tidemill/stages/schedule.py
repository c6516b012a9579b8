"""When a model is checked, and which windows a silence has left out."""

from collections.abc import Sequence
from datetime import datetime, timedelta

_SLACK = timedelta(minutes=5)
"""What the clock may be early by, of two checks that lie far apart: a tenth of `every`, at most this."""


def due(last: datetime, every: timedelta, now: datetime) -> bool:
    """The clock ticks a second early or late: what is due in that time is due now, and not a tick later."""
    return now - last >= every - min(every / 10, _SLACK)


def missed(last: datetime, window: timedelta, now: datetime, most: int) -> Sequence[tuple[datetime, datetime]]:
    """Disjoint windows back from now to the end of the last one that was checked, the oldest first; of more than
    `most`, the newest."""
    count = min(-((last - now) // window), most)
    return [(now - (i + 1) * window, now - i * window) for i in reversed(range(count))]
