"""From an uploaded file, or labelled captures, to a data set that models can be trained on."""

from functools import cache
from typing import Any

from tidemill.aws.lines import Event, environment, now
from tidemill.aws.stores import Stores
from tidemill.aws.telemetry import instrumented
from tidemill.contracts import Claimed
from tidemill.flows.prepare import prepare


@cache
def stores() -> Stores:
    return Stores.of("prepare", environment())


@instrumented
def handler(event: Event, _context: Any) -> dict[str, Any]:
    return prepare(Claimed.from_event(event), stores(), now()).to_event()
