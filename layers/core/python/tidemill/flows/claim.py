"""Claim: the start of every run, once however often the event is delivered."""

from datetime import datetime

from tidemill.aws.stores import Stores
from tidemill.contracts import Claimed, Start, Upload
from tidemill.errors import InvalidUpload


def claim(start: Start, stores: Stores, execution: str, now: datetime) -> Claimed:
    """A key that names no model that could exist is ignored, and somebody is told: no run could be its own."""
    if start.upload and _is_ignored(start.upload, stores):
        return Claimed(start.model, start.run, "ignored", start.upload)
    registry = stores.registry
    source = start.upload.key if start.upload else start.order.source if start.order else ""
    new = registry.claim_run(start.model, start.run, now, execution=execution, source=source)
    # A redriven or repeated execution goes on with its own run.
    own = not new and registry.run(start.model, start.run).get("execution") == execution
    return Claimed(start.model, start.run, "claimed" if new or own else "duplicate", start.upload, start.order)


def _is_ignored(upload: Upload, stores: Stores) -> bool:
    if upload.is_folder:
        return True
    try:
        upload.check()
    except InvalidUpload as error:
        stores.notices.publish("Tidemill: an upload was ignored", str(error))
        return True
    return False
