"""Quarantine: the time of windows whose feed a check found broken, from which nothing is learned."""

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime

from tidemill.stages.schedule import Windows, union


@dataclass(frozen=True)
class Quarantine:
    """Spans [start, end), the oldest first, none of which touches another."""

    spans: Windows = ()

    @classmethod
    def of(cls, windows: Windows) -> "Quarantine":
        return cls(union(windows))

    def has(self, time: str) -> bool:
        """Whether an ISO 8601 time lies in it."""
        if not self.spans:
            return False
        moment = datetime.fromisoformat(time)
        place = bisect_right(self.spans, moment, key=lambda span: span[0]) - 1
        return place >= 0 and moment < self.spans[place][1]

    def meets(self, start: datetime, end: datetime) -> bool:
        """Whether it has a part of [start, end)."""
        return any(start < until and since < end for since, until in self.spans)
