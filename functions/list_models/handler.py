"""Which models the monitoring machine checks."""

from functools import cache
from typing import Any

from tidemill.aws.lines import Event, environment, now
from tidemill.aws.stores import Stores
from tidemill.aws.telemetry import instrumented
from tidemill.flows.list_models import list_models


@cache
def stores() -> Stores:
    return Stores.of("list_models", environment())


@instrumented
def handler(event: Event, _context: Any) -> dict[str, Any]:
    return list_models(event, stores(), now())
