"""The best candidate against the champion, on rows that neither was trained on."""

from functools import cache
from typing import Any

from tidemill.aws.lines import Event, environment
from tidemill.aws.stores import Stores
from tidemill.aws.telemetry import instrumented
from tidemill.contracts import ValidateRequest
from tidemill.flows.validate import run


@cache
def stores() -> Stores:
    return Stores.of("validate", environment())


@instrumented
def handler(event: Event, _context: Any) -> dict[str, Any]:
    return run(ValidateRequest.from_event(event), stores()).to_event()
