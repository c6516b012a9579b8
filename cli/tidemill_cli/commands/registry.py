"""`tidemill models`, `runs`, `history`, `rollback`, `endpoint`: what the registry knows, and the one change to it."""

from datetime import UTC, datetime
from typing import Any

from tidemill.flows.deploy import rollback as roll_back
from tidemill_cli.cloud import Target
from tidemill_cli.console import Result, Table
from tidemill_cli.runs import Run, plain
from tidemill_cli.session import Session


def models(session: Session) -> Result:
    listed = [_model(session.target, name) for name in session.target.registry.models()]
    rows = [
        (
            entry["model"],
            entry["version"],
            _short(entry["since"]),
            entry["last_run"] and entry["last_run"]["status"],
            entry["last_run"] and _short(entry["last_run"]["started"]),
            entry["last_check"] and f"{entry['last_check']['verdict']} → {entry['last_check']['action']}",
        )
        for entry in listed
    ]
    table = Table(("model", "champion", "since", "last run", "started", "last check"), rows)
    nothing = "no model yet: begin with `tidemill init MODEL FILE --target COLUMN`"
    return Result({"models": listed}, [table if rows else nothing])


def runs(session: Session, model: str) -> Result:
    target = session.target
    found = [Run.of(model, item) for item in target.registry.runs(target.known(model))]
    document = {
        "model": model,
        "runs": [
            {**run.document(target), "started": run.started, "finished": run.finished, "source": run.source}
            for run in found
        ],
    }
    rows = [
        (
            run.run,
            run.status,
            run.version,
            _short(run.started),
            _took(run),
            run.source,
            "; ".join(run.reasons),
        )
        for run in found
    ]
    table = Table(("run", "status", "version", "started", "took", "source", "reasons"), rows)
    return Result(document, [table if rows else f"{model} has had no run yet"])


def history(session: Session, model: str) -> Result:
    target = session.target
    events = [plain(item) for item in target.registry.events(target.known(model))]
    rows = [
        (
            _short(event.get("at")),
            event.get("what"),
            event.get("version"),
            event.get("previous"),
            event.get("who"),
            event.get("why"),
        )
        for event in events
    ]
    table = Table(("at", "what", "version", "previous", "who", "why"), rows)
    return Result({"model": model, "events": events}, [table if rows else f"nothing has happened to {model} yet"])


def rollback(session: Session, model: str, to: int | None) -> Result:
    """To the version that serves already: nothing happens, and the history says nothing."""
    target = session.target
    current = target.registry.champion(target.known(model))
    if current and current.version == to:
        document = {"model": model, "version": to, "previous": to}
        return Result(document, [f"version {to} of {model} serves already"])
    previous, version = roll_back(target.registry, model, to, target.who(), datetime.now(UTC))
    document = {"model": model, "version": version, "previous": previous}
    return Result(document, [f"version {version} of {model} serves again, instead of version {previous}"])


def endpoint(session: Session) -> Result:
    return Result({"url": session.target.url}, [session.target.url])


def _model(target: Target, name: str) -> dict[str, Any]:
    champion = target.registry.champion(name)
    found = target.registry.runs(name)
    checks = target.registry.checks(name, 1)
    last = Run.of(name, found[0]) if found else None
    return {
        "model": name,
        "version": champion.version if champion else None,
        "since": champion.since if champion else None,
        "runs": len(found),
        "last_run": {"run": last.run, "status": last.status, "started": last.started} if last else None,
        "last_check": {key: checks[0].get(key) for key in ("check", "verdict", "action", "reason")} if checks else None,
    }


def _short(moment: str | None) -> str | None:
    """To the second, and in UTC as it is stored."""
    return moment and f"{moment[:19].replace('T', ' ')}Z"


def _took(run: Run) -> str | None:
    if not run.started or not run.finished:
        return None
    seconds = (datetime.fromisoformat(run.finished) - datetime.fromisoformat(run.started)).total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
