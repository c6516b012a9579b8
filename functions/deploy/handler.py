"""Move the champion."""

from functools import cache
from typing import Any

from tidemill.aws.lines import Event, environment, now
from tidemill.aws.stores import Stores
from tidemill.aws.telemetry import instrumented
from tidemill.flows.deploy import deploy


@cache
def stores() -> Stores:
    return Stores.of("deploy", environment())


@instrumented
def handler(event: Event, _context: Any) -> dict[str, Any]:
    return deploy(event, stores(), now())
