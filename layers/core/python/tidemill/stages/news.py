"""News: which of a check's findings people are told, so that none is missed and none becomes noise."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

QUIET = timedelta(hours=23)
"""What was told is not told again sooner: a day but for an hour, so that what comes every night is told every night."""

Heard = Mapping[str, str]
"""What a check found, each with when people were told of it while it lasted, in ISO 8601; "" where they were not."""


def news(found: Sequence[str], past: Sequence[Heard], now: datetime) -> tuple[bool, dict[str, str]]:
    """Whether anything is to be told, and what is then known of each finding.

    A finding is told when it comes, and once while it lasts. One that comes and goes is told once in `QUIET`: what is
    back sooner waits until then, and is told if it is still there. `past`: earlier checks, the newest first, at least
    those of the last day.
    """
    before = past[0] if past else {}
    waiting = [
        one
        for one in found
        if not before.get(one)
        and not any(now - datetime.fromisoformat(check[one]) < QUIET for check in past if check.get(one))
    ]
    # A notice has all that was found, so that what waits is told with it.
    told = now.isoformat() if waiting else ""
    return bool(waiting), {one: before.get(one) or told for one in found}
