"""`tidemill monitor`: one model's checks now, by the state machine that makes them all."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import median_low
from typing import Any, NoReturn
from uuid import uuid4

from tidemill import errors
from tidemill.aws.failures import translated
from tidemill.aws.paths import check_prefix
from tidemill.aws.registry import window_of
from tidemill.contracts import describe_error, retrain_run
from tidemill.errors import InvalidRequest, NotFound, StoreUnavailable, TidemillError
from tidemill.spec import Monitor
from tidemill.stages.schedule import missed
from tidemill_cli.cloud import Target
from tidemill_cli.console import Console, Result, Table
from tidemill_cli.runs import Waiting, wait
from tidemill_cli.session import Session


def monitor(
    session: Session, model: str, window: str | None, waiting: Waiting, *, wait_retrain: bool = False
) -> Result:
    target, console = session.target, session.console
    target.champion(model)
    request = {"models": [model], **({"window": read_window(window)} if window is not None else {})}
    checked = _check(target, request, console, waiting)
    document = _document(target, model, checked)
    retrain = document["run"]
    rows = [(name, value) for name, value in document.items() if name not in ("model", "report", "label_problems")]
    table = Table((), [*rows, ("report", f"tidemill report {model} --check {checked['check']}")], model)
    problems = [f"problems with labels: {problem}" for problem in document["label_problems"]]
    text: list[str | Table] = [table, *problems]
    if not (retrain and wait_retrain):
        return Result(document, text)
    console.say(f"{checked['reason']}: retraining")
    ended = wait(target, model, retrain, console, waiting).result(target)
    return Result({**document, "retrain": ended.document}, [*text, *ended.text], ended.exit_code, ended.problem)


def backfill(session: Session, model: str, most: int, waiting: Waiting) -> Result:
    """What an outage left out of the last `most` windows, since the champion serves: of no other do predictions count.
    One after the other, since whether drift persists is asked of the checks before."""
    target, now = session.target, datetime.now(UTC)
    since, monitor = datetime.fromisoformat(target.champion(model).since), target.watched_by(model)[0].monitor
    length = _length(monitor, target, model, since)
    begin = max(since, now - min(most, (now - since) // length + 1) * length)
    items = target.registry.checks(model, since=begin.isoformat())
    checks = []
    by_count = isinstance(monitor.window, int)
    for start, end in missed([*map(window_of, items)], begin, now, monitor.every, length, by_count=by_count):
        window = {"start": start.isoformat(), "end": end.isoformat()}
        found = _check(target, {"models": [model], "window": window, "backfill": True}, session.console, waiting)
        checks.append({**_document(target, model, found), "window": window})
    document = {"model": model, "checks": checks}
    if not checks:
        return Result(
            document, [f"nothing to make up for: no outage left a gap between the checks since {begin:%Y-%m-%d %H:%M}Z"]
        )
    rows = [
        (one["window"]["start"][:16], one["window"]["end"][:16], one["verdict"], one["action"], one["reason"])
        for one in checks
    ]
    return Result(document, [Table(("start", "end", "verdict", "action", "reason"), rows, model)])


def _length(monitor: Monitor, target: Target, model: str, since: datetime) -> timedelta:
    """Of windows by count, what they had in the middle: how many predictions a gap has nobody has counted."""
    if isinstance(monitor.window, timedelta):
        return monitor.window
    windows = [window_of(item) for item in target.registry.checks(model, since=since.isoformat())]
    return median_low(end - start for start, end in windows) if windows else monitor.every


def _document(target: Target, model: str, checked: Mapping[str, Any]) -> dict[str, Any]:
    """`run` is the retrain's, where one was started."""
    prefix = check_prefix(model, checked["check"])
    return {
        "model": model,
        "check": checked["check"],
        "action": checked["action"],
        "verdict": checked["verdict"],
        "reason": checked["reason"],
        "label_problems": target.holding(prefix).get_json(f"{prefix}report.json")["labels"]["problems"],
        "report": target.uri(checked["report"]),
        "run": retrain_run(model, checked["check"]) if checked["action"] == "retrain" else None,
    }


def read_window(text: str) -> dict[str, str]:
    """`START/END` in ISO 8601; a time without a zone is taken as UTC."""
    start, slash, end = text.partition("/")
    if not slash:
        raise InvalidRequest(f"window {text!r} is not START/END, such as 2013-07-01/2013-07-08T12:00:00Z")
    moments = [_moment(part) for part in (start, end)]
    if moments[0] >= moments[1]:
        raise InvalidRequest(f"window {text!r} does not end after it starts")
    return {"start": moments[0].isoformat(), "end": moments[1].isoformat()}


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidRequest(f"{text!r} is not a time such as 2013-07-04 or 2013-07-04T18:30:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _check(target: Target, request: Mapping[str, Any], console: Console, waiting: Waiting) -> dict[str, Any]:
    with console.progress("checking drift and performance"), translated("starting the check"):
        machine = target.outputs["MonitoringArn"]
        # With a name, a call that botocore sends again starts nothing twice.
        arn = target.states.start_execution(stateMachineArn=machine, name=str(uuid4()), input=json.dumps(request))[
            "executionArn"
        ]
        execution = replace(waiting, every=min(waiting.every, 0.5)).until(
            lambda seen: seen["status"] != "RUNNING", lambda: target.states.describe_execution(executionArn=arn)
        )
        if execution["status"] == "RUNNING":
            raise StoreUnavailable(f"the check is still under way after {waiting.seconds:g} s: {arn}")
    if execution["status"] != "SUCCEEDED":
        _fail({"Error": execution.get("error", execution["status"]), "Cause": execution.get("cause", "")})
    checks = json.loads(execution["output"])["checks"]
    if not checks:
        raise NotFound(f"model {request['models'][0]!r} has no champion to check")
    checked: dict[str, Any] = checks[0]
    if "action" not in checked:
        _fail(checked["error"])
    return checked


def _fail(error: Mapping[str, str]) -> NoReturn:
    """What the check raised, as if it had been raised here."""
    kind = getattr(errors, error["Error"], None)
    said = describe_error(error)
    raise kind(said.removeprefix(f"{error['Error']}: ")) if kind else TidemillError(said)
