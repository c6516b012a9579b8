"""The pipeline's last state: what came of the run."""

from functools import cache
from typing import Any

from tidemill.aws.lines import Event, environment, now
from tidemill.aws.stores import Stores
from tidemill.aws.telemetry import count, instrumented
from tidemill.contracts import Outcome
from tidemill.flows.notify import notify


@cache
def stores() -> Stores:
    return Stores.of("notify", environment())


@instrumented
def handler(event: Event, _context: Any) -> dict[str, Any]:
    outcome = notify(Outcome.from_event(event), stores(), now())
    count("Runs", 1, model=outcome.model, status=outcome.status)
    return outcome.to_event()
