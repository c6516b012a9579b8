"""ListModels: one check request a model that is due, or for the models that the caller named."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tidemill.aws.registry import Champion, Registry, end_of
from tidemill.aws.stores import Stores
from tidemill.errors import TidemillError
from tidemill.flows.specs import read_spec
from tidemill.spec import Monitor
from tidemill.stages.schedule import due


def list_models(event: Mapping[str, Any], stores: Stores, now: datetime) -> dict[str, Any]:
    """Models without a champion are left out: there is nothing to watch yet. Who is named is checked, due or not."""
    asked = {name: event[name] for name in ("window", "backfill") if event.get(name)}
    registry = stores.registry
    champions = ((name, registry.champion(name)) for name in event.get("models") or registry.models())
    chosen = [name for name, one in champions if one and (event.get("models") or _is_due(name, one, stores, now))]
    return {"requests": [{"model": name, "at": now.isoformat(), **asked} for name in chosen]}


def _is_due(model: str, champion: Champion, stores: Stores, now: datetime) -> bool:
    last = last_check(model, stores.registry)
    return last is None or due(last, _every(model, champion, stores), now)


def _every(model: str, champion: Champion, stores: Stores) -> timedelta:
    """By the present spec; by that of the champion where there is none, or none that can be read."""
    try:
        return read_spec(model, stores.data)[1].monitor.every
    except TidemillError:
        version = stores.registry.version(model, champion.version)
        return timedelta(seconds=version.get("check_every", Monitor().every.total_seconds()))


def last_check(model: str, registry: Registry) -> datetime | None:
    """The end of the newest window that was checked."""
    return next((end_of(check) for check in registry.checks(model, 1)), None)
