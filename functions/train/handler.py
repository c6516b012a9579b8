"""One candidate, searched, fitted and exported."""

from functools import cache
from typing import Any

from tidemill.aws.lines import Event, environment
from tidemill.aws.stores import Stores
from tidemill.aws.telemetry import instrumented
from tidemill.contracts import TrainRequest
from tidemill.flows.train import run


@cache
def stores() -> Stores:
    return Stores.of("train", environment())


@instrumented
def handler(event: Event, context: Any) -> dict[str, Any]:
    def remaining() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    return run(TrainRequest.from_event(event), stores(), remaining).to_event()
