"""Claim: the start of every run, once however often the event is delivered."""

from datetime import datetime

from tidemill.aws.registry import Registry
from tidemill.contracts import Claimed, Start
from tidemill.errors import InvalidSpec, InvalidUpload
from tidemill.names import model_name


def claim(start: Start, registry: Registry, execution: str, now: datetime) -> Claimed:
    """Raises `InvalidUpload` for a key that names no model that could exist."""
    if start.upload and start.upload.is_folder:
        return Claimed(start.model, start.run, "ignored", start.upload)
    try:
        model_name(start.model)
    except InvalidSpec as error:
        raise InvalidUpload(error.problems) from None
    source = start.upload.key if start.upload else start.order.source if start.order else ""
    new = registry.claim_run(start.model, start.run, now, execution=execution, source=source)
    # A redriven or repeated execution goes on with its own run.
    own = not new and registry.run(start.model, start.run).get("execution") == execution
    return Claimed(start.model, start.run, "claimed" if new or own else "duplicate", start.upload, start.order)
