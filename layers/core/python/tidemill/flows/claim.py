"""Claim: the start of every run, once however often the event is delivered."""

from datetime import datetime

from tidemill.aws.stores import Stores
from tidemill.contracts import Claimed, Start
from tidemill.flows.ignored import why_ignored


def claim(start: Start, stores: Stores, execution: str, now: datetime) -> Claimed:
    """A key that names no model that could exist is ignored, and somebody is told: no run could be its own."""
    if start.upload and why_ignored(start.upload, "an upload", stores.notices) is not None:
        return Claimed(start.model, start.run, "ignored", start.upload)
    registry = stores.registry
    source = start.upload.key if start.upload else start.order.source if start.order else ""
    new = registry.claim_run(start.model, start.run, now, execution=execution, source=source)
    # A redriven or repeated execution goes on with its own run.
    own = not new and registry.run(start.model, start.run).get("execution") == execution
    return Claimed(start.model, start.run, "claimed" if new or own else "duplicate", start.upload, start.order)
