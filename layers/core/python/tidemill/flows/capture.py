"""Capture: what the endpoint wrote to its log, from the log's subscription into the capture bucket."""

from collections.abc import Callable
from typing import Any

from tidemill.aws.stores import Stores
from tidemill.contracts import LogBatch
from tidemill.flows.captures import Captures, by_minute
from tidemill.stages.captured import read_lines


def capture(batch: LogBatch, stores: Stores, lost: Callable[[int], None]) -> dict[str, Any]:
    """The same batch writes the same objects again. Raises `StoreUnavailable`, whereupon it is delivered again."""
    captured = read_lines(batch.lines)
    if captured.damaged:
        lost(captured.damaged)
    captures, objects = Captures(stores.captures), 0
    for (kind, model), records in captured.records.items():
        for minute in by_minute(records):
            captures.write(kind, model, batch.id, minute)
            objects += 1
    return {"lines": len(batch.lines), "objects": objects, "damaged": captured.damaged}
