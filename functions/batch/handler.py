"""A file of rows, answered: S3's event in, the summary out."""

from functools import cache
from typing import Any

from tidemill.aws.lines import Event, environment, now
from tidemill.aws.stores import Stores
from tidemill.aws.telemetry import count, instrumented
from tidemill.contracts import Upload
from tidemill.flows.batch import batch


@cache
def stores() -> Stores:
    return Stores.of("batch", environment())


@instrumented
def handler(event: Event, context: Any) -> dict[str, Any]:
    def remaining() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    upload = Upload.from_event(event)
    summary = batch(upload, stores(), now(), remaining)
    count("Batches", 1, model=upload.model, status=summary["status"])
    return summary
