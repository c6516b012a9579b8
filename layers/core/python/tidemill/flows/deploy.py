"""Deploy: move the champion, if it is still the one that the gate compared against."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tidemill.aws.paths import version_prefix
from tidemill.aws.registry import Registry
from tidemill.aws.stores import Stores
from tidemill.contracts import Judged
from tidemill.errors import InvalidRequest, ModelIncompatible, NotFound


def deploy(event: Mapping[str, Any], stores: Stores, now: datetime) -> dict[str, Any]:
    """Raises `ChampionMoved` when another run was faster, `ModelIncompatible` when the version is not whole."""
    judged = Judged.from_event(event["judged"])
    model, run = event["model"], event["run"]
    try:
        stores.models.get(f"{version_prefix(model, judged.version)}manifest.json")
    except NotFound:
        raise ModelIncompatible(f"version {judged.version} of {model} has no manifest: it was never whole") from None
    stores.registry.promote(
        model,
        judged.version,
        expected=judged.champion,
        run=run,
        who="pipeline",
        why="; ".join(judged.reasons),
        now=now,
    )
    return {"version": judged.version, "previous": judged.champion}


def rollback(registry: Registry, model: str, to: int | None, who: str, now: datetime) -> tuple[int, int]:
    """Make an earlier champion serve again; without `to`, the one before the present. Returns (from, to).

    Raises `NotFound` when there is no such version or none before, `InvalidRequest` when it may not serve: a
    version that the gate rejected is no champion by another door.
    """
    current = registry.champion(model)
    if current is None:
        raise NotFound(f"model {model!r} has no champion to roll back from")
    target = to if to is not None else _previous(registry, model, current.version)
    registry.version(model, target)
    if target == current.version:
        raise InvalidRequest(f"version {target} of {model!r} serves already")
    if target not in _champions(registry, model):
        raise InvalidRequest(f"version {target} of {model!r} never served: the gate rejected it")
    registry.promote(
        model,
        target,
        expected=current.version,
        run=f"rollback-{now:%Y%m%dT%H%M%S%f}",
        who=who,
        why=f"rolled back from version {current.version}",
        now=now,
    )
    return current.version, target


def _champions(registry: Registry, model: str) -> set[int]:
    return {int(event["version"]) for event in registry.events(model) if event.get("what") == "promoted"}


def _previous(registry: Registry, model: str, version: int) -> int:
    before = [
        int(event["previous"])
        for event in registry.events(model)
        if event.get("what") == "promoted" and event.get("version") == version and event.get("previous")
    ]
    if not before:
        raise NotFound(f"model {model!r} had no champion before version {version}")
    return before[-1]
