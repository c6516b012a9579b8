"""One model's check: drift, performance, and what to do about them."""

from functools import cache
from typing import Any

from tidemill.aws.lines import Event, environment
from tidemill.aws.stores import Stores
from tidemill.aws.telemetry import count, instrumented, record
from tidemill.contracts import CheckRequest
from tidemill.flows.monitor import monitor


@cache
def stores() -> Stores:
    return Stores.of("monitor", environment())


@instrumented
def handler(event: Event, _context: Any) -> dict[str, Any]:
    checked = monitor(CheckRequest.from_event(event), stores())
    count("Checks", 1, model=checked.model, action=checked.action)
    record(checked.measures, model=checked.model)
    return checked.to_event()
