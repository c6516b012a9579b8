"""ListModels: one check request a model, or only for the models that the caller named."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tidemill.aws.registry import Registry


def list_models(event: Mapping[str, Any], registry: Registry, now: datetime) -> dict[str, Any]:
    """Models without a champion are left out: there is nothing to watch yet."""
    named = event.get("models") or registry.models()
    window = {"window": event["window"]} if event.get("window") else {}
    return {"requests": [{"model": name, "at": now.isoformat(), **window} for name in named if registry.champion(name)]}
