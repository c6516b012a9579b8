"""The pipeline's first state: is this event new?"""

from functools import cache
from typing import Any

from tidemill.aws.lines import Event, environment, now
from tidemill.aws.stores import Stores
from tidemill.aws.telemetry import instrumented
from tidemill.contracts import Start
from tidemill.flows.claim import claim


@cache
def stores() -> Stores:
    return Stores.of("claim", environment())


@instrumented
def handler(event: Event, _context: Any) -> dict[str, Any]:
    start = Start.from_event(event["event"])
    return claim(start, stores(), event["execution"], now()).to_event()
