"""Monitor: one model's window of captured predictions, judged, reported and decided on."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from tidemill.aws.paths import check_prefix, version_prefix
from tidemill.aws.registry import Champion, Item
from tidemill.aws.stores import Stores
from tidemill.contracts import Checked, CheckRequest, Window
from tidemill.encoding import read_value
from tidemill.errors import InvalidRequest, NotFound
from tidemill.flows.captures import Captures
from tidemill.flows.govern import govern
from tidemill.profile import Profile
from tidemill.reports.drift import render
from tidemill.schema import Column, Columns, Schema
from tidemill.spec import ModelSpec, parse_spec
from tidemill.stages.captured import Record
from tidemill.stages.classes import class_name
from tidemill.stages.drift import DriftPolicy, DriftReport, detect
from tidemill.stages.feed import feed_problems
from tidemill.stages.metrics import as_judged, metric
from tidemill.stages.performance import Performance, measure
from tidemill.stages.retrain import Decision, Findings, evidence, triage, unlearned, weight

Document = dict[str, Any]
_HISTORY = 30


def monitor(request: CheckRequest, stores: Stores) -> Checked:
    """Only predictions of the present champion count: another version's answers say nothing about it."""
    now = _time(request.at)
    champion = stores.registry.champion(request.model)
    if champion is None:
        raise NotFound(f"model {request.model!r} has no champion to check")
    prefix = version_prefix(request.model, champion.version)
    manifest = stores.models.get_json(f"{prefix}manifest.json")
    evaluation = stores.models.get_json(f"{prefix}evaluation.json")
    reference = Profile.from_json(stores.models.get_json(f"{prefix}profile.json"))
    spec, schema = parse_spec(manifest["spec"]), Schema.from_json(manifest["schema"])
    start, end = _window(request.window, spec, now)

    captures = Captures(stores.captures)
    records = [
        record
        for record in captures.read("predictions", request.model, start, end)
        if record["version"] == champion.version
    ]
    labels = captures.labels(request.model, start, now)
    labelled = [record for record in records if record["id"] in labels]

    # What is never captured has not gone missing.
    dropped = set(spec.capture.drop)
    seen = [column for column in schema.features if column.name not in dropped]
    reference = replace(reference, columns={n: one for n, one in reference.columns.items() if n not in dropped})
    columns = typed_columns(records, seen)
    policy = DriftPolicy(min_rows=spec.monitor.min_rows, false_alarms=spec.monitor.false_alarms)
    drift = detect(reference, columns, policy, evaluation["importance"])
    problems = feed_problems(reference, columns) if len(records) >= spec.monitor.min_rows else []
    performance = _performance(labelled, labels, len(records), schema, evaluation, spec)
    check = _check_id(request.model, champion, start, end)
    past = _past(request.model, champion, check, start - spec.monitor.patience[1] * (end - start), stores)
    findings = Findings(
        problems=[problem.sentence for problem in problems if problem.broken],
        performance=performance.status,
        performance_sentence=performance.sentence,
        drift=drift.verdict,
        drift_sentence=drift.sentence,
        new_labels=_new_labels(request.model, labelled, start, now, stores) if len(seen) == len(schema.features) else 0,
        new_uploads=unlearned(stores.registry.partitions(request.model), stores.registry.runs(request.model)),
        weight=weight(drift.drifted, evaluation["importance"]),
    )
    windows = [(_time(item["start"]), _window_end(item), evidence(item)) for item in past]
    decision = triage(findings, windows, (start, end), spec.monitor, spec.retrain)
    decision, governor = govern(request.model, check, decision, spec.retrain, stores.registry, now)

    report = {
        "model": request.model,
        "check": check,
        "version": champion.version,
        "window": asdict(Window(start.isoformat(), end.isoformat())),
        "predictions": len(records),
        "action": decision.action,
        "reason": decision.reason,
        "governor": governor,
        "problems": [asdict(problem) for problem in problems],
        "performance": performance.to_json(),
        "drift": drift.to_json(),
        "history": [_remembered(item) for item in past[:_HISTORY]],
    }
    return _record(request.model, report, decision, drift, performance, past, stores)


def _past(model: str, champion: Champion, check: str, since: datetime, stores: Stores) -> list[Item]:
    """Earlier checks of this champion, as far back as persistence looks; a repeated check is not its own past."""
    items = stores.registry.checks(model, since=since.isoformat())
    return [item for item in items if item["version"] == champion.version and item["check"] != check]


def typed_columns(records: Sequence[Record], features: Sequence[Column]) -> Columns:
    """Captured rows as typed columns of a model's features; what cannot be read counts as missing."""
    return {column.name: _typed(column, [record["row"].get(column.name) for record in records]) for column in features}


def _typed(column: Column, raw: Sequence[object]) -> Any:
    values = [_read(column, entry) for entry in raw]
    if column.kind == "categorical":
        typed = np.empty(len(values), dtype=object)
        typed[:] = values
        return typed
    if column.kind == "datetime":
        plain = [None if value is None else value.replace(tzinfo=None) for value in values]
        return np.array(plain, dtype="datetime64[us]")
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _read(column: Column, raw: object) -> Any:
    try:
        return read_value(column, raw)
    except ValueError:
        return None


def _window(window: Window | None, spec: ModelSpec, now: datetime) -> tuple[datetime, datetime]:
    if window is None:
        return now - spec.monitor.window, now
    start, end = _time(window.start), _time(window.end)
    if start.year < 1970 or end.year > 2999:
        raise InvalidRequest(f"the window {window.start}/{window.end} is not within the years 1970 to 2999")
    if start >= end:
        raise InvalidRequest(f"the window {window.start}/{window.end} ends before it starts")
    return start, end


def _performance(
    labelled: Sequence[Record],
    labels: dict[str, Any],
    predictions: int,
    schema: Schema,
    evaluation: Document,
    spec: ModelSpec,
) -> Performance:
    measured = metric(evaluation["metric"]["name"], schema.task)
    truth, prediction = _answers(labelled, labels, schema)
    return measure(
        measured,
        truth,
        as_judged(measured, prediction, evaluation["candidate"].get("threshold")),
        predictions=predictions,
        needed=max(spec.monitor.min_rows, spec.retrain.min_new_labels),
        baseline=evaluation["candidate"]["interval"],
        dummy=evaluation["candidate"]["dummy"],
    )


def _answers(labelled: Sequence[Record], labels: dict[str, Any], schema: Schema) -> tuple[Any, Any]:
    """Truth and prediction arrays as metrics take them; a label that the model has no class for is left out."""
    if schema.task == "regression":
        pairs = [(labels[record["id"]], record["prediction"]) for record in labelled]
        both = np.array(pairs, dtype=np.float64).reshape(-1, 2)
        return both[:, 0], both[:, 1]
    codes = {name: code for code, name in enumerate(schema.classes)}
    known = [
        (codes[name], [record["probabilities"][c] for c in schema.classes])
        for record in labelled
        if (name := class_name(labels[record["id"]], schema.target)) in codes
    ]
    truth = np.array([code for code, _ in known], dtype=np.float64)
    return truth, np.array([shares for _, shares in known], dtype=np.float64).reshape(-1, len(schema.classes))


def _new_labels(model: str, labelled: Sequence[Record], start: datetime, now: datetime, stores: Stores) -> int:
    """Of the window's labelled predictions, those whose labels came after the last retrain that took labels up."""
    taken = [
        _time(str(item["accepted"])) for item in stores.registry.partitions(model) if item.get("kind") == "captures"
    ]
    if not taken or taken[-1] <= start:
        return len(labelled)
    new = Captures(stores.captures).labels(model, taken[-1], now)
    return sum(record["id"] in new for record in labelled)


def _record(
    model: str,
    report: Document,
    decision: Decision,
    drift: DriftReport,
    performance: Performance,
    past: Sequence[Item],
    stores: Stores,
) -> Checked:
    check, prefix = report["check"], check_prefix(model, report["check"])
    stores.captures.put_json(f"{prefix}report.json", report)
    stores.captures.put_html(f"{prefix}report.html", render(report))
    stores.registry.put_check(
        model,
        report["window"]["end"],
        check,
        start=report["window"]["start"],
        version=report["version"],
        verdict=drift.verdict,
        action=decision.action,
        reason=decision.reason,
        finding=decision.finding,
        performance=performance.status,
        value=performance.value,
    )
    # The same finding again is no news: a feed that stays broken is told once.
    same = bool(past) and bool(decision.finding) and past[0].get("finding") == decision.finding
    tell = decision.tell and not same
    notice = f"{decision.reason}. Report: {prefix}report.html (tidemill report {model} --check {check})"
    return Checked(
        model,
        check,
        decision.action,
        drift.verdict,
        decision.reason,
        f"{prefix}report.html",
        notice if tell else "",
    )


def _remembered(item: Item) -> Document:
    return {
        "end": _window_end(item).isoformat(),
        "action": item["action"],
        "verdict": item["verdict"],
        "value": item.get("value"),
    }


def _window_end(item: Item) -> datetime:
    """The key of a check begins with its window's end, so that checks are listed in the order of time."""
    return _time(str(item["sk"]).split("#")[1])


def _check_id(model: str, champion: Champion, start: datetime, end: datetime) -> str:
    name = f"{model}/{champion.version}/{start.isoformat()}/{end.isoformat()}"
    return "c-" + hashlib.sha256(name.encode()).hexdigest()[:12]


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(f"{text!r} is not a time such as 2013-07-04T00:00:00Z") from None
    if moment.tzinfo is None:
        raise InvalidRequest(f"{text!r} has no time zone: write 2013-07-04T00:00:00Z")
    return moment.astimezone(UTC)
