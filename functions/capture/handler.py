"""What the endpoint answered, from its log to the capture bucket."""

from functools import cache
from typing import Any

from tidemill.aws.lines import Event, environment
from tidemill.aws.stores import Stores
from tidemill.aws.telemetry import count, instrumented
from tidemill.contracts import LogBatch
from tidemill.flows.capture import capture


@cache
def stores() -> Stores:
    return Stores.of("capture", environment())


@instrumented
def handler(event: Event, _context: Any) -> dict[str, Any]:
    # A damaged line does not say whose it was.
    return capture(LogBatch.from_event(event), stores(), lambda lost: count("CaptureLost", lost, model="unknown"))
