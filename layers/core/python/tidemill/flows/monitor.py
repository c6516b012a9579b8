"""Monitor: one model's window of captured predictions, judged, reported and decided on."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from tidemill.aws.paths import check_prefix, version_prefix
from tidemill.aws.registry import Champion, Item, Registry, end_of
from tidemill.aws.stores import Stores
from tidemill.contracts import Checked, CheckRequest, Window
from tidemill.errors import InvalidRequest, NotFound
from tidemill.flows.captures import FARTHEST, Captures
from tidemill.flows.govern import govern
from tidemill.flows.labels import read_labels
from tidemill.flows.performance import Past, Version, Watched, look_back, marks, untold, watch
from tidemill.flows.specs import watched_by
from tidemill.flows.window import CapturedWindow, WindowReader
from tidemill.reports.drift import render
from tidemill.schema import Schema
from tidemill.spec import ModelSpec, parse_spec
from tidemill.stages.drift import DriftPolicy, DriftReport, detect, importance_of
from tidemill.stages.effects import extended
from tidemill.stages.feed import feed_problems, known, looks, silence, trusting
from tidemill.stages.labels import join
from tidemill.stages.measures import measures
from tidemill.stages.news import QUIET, news
from tidemill.stages.recency import alone
from tidemill.stages.reference import Reference
from tidemill.stages.refusals import refusals, refused_feed
from tidemill.stages.retrain import (
    MOST_CAUSES,
    Decision,
    Findings,
    Governor,
    backed_off,
    evidence,
    past_run,
    rejected_in_a_row,
    triage,
    unlearned,
    unproven,
)

Document = dict[str, Any]
_TOLD, _LONGEST = 3, 300
"""Problems of labels that are told beside their number, and the characters of one."""
_NEXT = {
    "quarantine": (
        "What to do: repair the feed, or upload data of the new form if it is meant to stay so. "
        "Nothing is learned from this window, and checks go on by themselves"
    ),
    "retrain": (
        "What to do: nothing, a retrain was started. A notice tells whether its version serves; "
        "`tidemill runs {model}` shows it meanwhile"
    ),
}
"""For whoever is told; the reason of another action says it itself."""


def monitor(request: CheckRequest, stores: Stores) -> Checked:
    """Only predictions of the present champion count: another version's answers say nothing about it."""
    now = _time(request.at)
    champion = stores.registry.champion(request.model)
    if champion is None:
        raise NotFound(f"model {request.model!r} has no champion to check")
    stored = _stored(request.model, champion, stores)
    spec, schema, importance = stored.spec, stored.schema, stored.evaluation["importance"]
    captures = Captures(stores.captures)
    reader = WindowReader(captures, request.model, champion.version, schema)
    (start, end), newest = _window(request.window, spec, champion, reader, now)
    usual = spec.monitor.window if isinstance(spec.monitor.window, timedelta) else end - start
    version = Version(request.model, champion.version, schema, spec, stored.evaluation, stored.table, usual)
    check = _check_id(request, champion, start, end)
    before = look_back(version, check, (start, end), reader, stores, now)
    window = reader.read(start, end, stored.reference, before.found.labels.by_id)
    refused = refusals(captures.read("refusals", request.model, start, end), champion.version, schema)
    policy = DriftPolicy(min_rows=spec.monitor.min_rows, false_alarms=spec.monitor.false_alarms)
    drift = detect(window.compared, policy, importance)
    enough = window.rows >= spec.monitor.min_rows
    unheard = refused_feed(refused, window.rows, spec.monitor.min_rows)
    found = feed_problems(stored.reference.features, window.features) if enough else []
    suspected = [*([unheard] if unheard else []), *trusting(found, spec.quality.trusted)]
    problems = known(suspected, before.harmless)
    broken = [problem for problem in problems if problem.broken]
    kept = None if request.by_hand else check
    watched = watch(version, kept, (start, end), window, before, stores, now, broken=bool(broken))
    reach = start - spec.monitor.patience[1] * max(end - start, spec.monitor.every)
    known_since = min(reach, end - max(QUIET, 2 * spec.monitor.every))
    recent = _past(request.model, champion, check, known_since, stores)
    past = [item for item in recent if end_of(item) >= reach]
    runs = stores.registry.runs(request.model)
    surprising = unproven(drift.effects, before.drifted)
    findings = Findings(
        problems=broken,
        performance=watched.status,
        performance_sentence=watched.sentence,
        drift=drift.verdict,
        drift_sentence=drift.sentence,
        new_labels=_new_labels(version, before, window, watched, (start, end), stores, now),
        new_uploads=unlearned(stores.registry.partitions(request.model), runs),
        weight=1.0 if drift.importance is None else drift.importance,
        unproven=importance_of(surprising, importance) if surprising else 0.0,
        in_vain=_labels_waited_for(request.model, spec, runs, stores.registry, now),
        labels_come=watched.labels_come,
    )
    windows = [(_time(item["start"]), end_of(item), evidence(item)) for item in past]
    decision = triage(findings, windows, (start, end), spec.monitor, spec.retrain)
    silent = _silence(window, newest, past, refused.rows, now)
    # Too few rows to say anything are no riddle where others were refused.
    silent = silent or ("" if enough or unheard else refused.sentence(window.rows))
    reasons = [silent, decision.reason, stored.instead]
    decision = replace(decision, reason="; ".join(reason for reason in reasons if reason))
    decision, governor = govern(
        request.model, check, decision, spec.retrain, stores.registry, now, by_hand=request.by_hand
    )

    shown = watched.shown
    report = {
        "model": request.model,
        "check": check,
        "version": champion.version,
        "window": asdict(Window(start.isoformat(), end.isoformat())),
        "by_hand": request.by_hand,
        "spec": stored.instead,
        "predictions": window.rows,
        "other_versions": {str(number): rows for number, rows in window.others.items()},
        "refusals": refused.to_json(),
        "action": decision.action,
        "reason": decision.reason,
        "finding": decision.finding,
        "governor": governor,
        "problems": [problem.to_json() for problem in problems],
        "performance": watched.performance.to_json(),
        "together": watched.together.to_json() if watched.together else None,
        "estimate": watched.estimate.to_json(),
        "labels": watched.account,
        "windows": shown,
        "marks": marks(request.model, min([start, *(_time(one["start"]) for one in shown)]), end, stores.registry),
        "drift": drift.to_json(),
        "effects": extended(_effects_before(before, champion, request.model, stores), end.isoformat(), drift.columns),
    }
    checked = _record(report, decision, drift, watched, looks(suspected), recent, stores, now, by_hand=request.by_hand)
    measured = {} if request.window else measures(window.rows, watched.performance, watched.estimate, drift)
    return replace(checked, measures=measured)


@dataclass(frozen=True)
class _Stored:
    """What is stored of a version: the spec by which it is watched, and `instead` why that is not the present one; what
    it was promised to be worth, what its rows were like, and the `table` that estimates without labels are made from.
    """

    spec: ModelSpec
    instead: str
    schema: Schema
    evaluation: Document
    reference: Reference
    table: Document | None


def _stored(model: str, champion: Champion, stores: Stores) -> _Stored:
    prefix = version_prefix(model, champion.version)
    manifest = stores.models.get_json(f"{prefix}manifest.json")
    spec, instead = watched_by(model, parse_spec(manifest["spec"]), stores.data)

    def made(name: str) -> Document | None:
        """What a version of before there was such a file lacks; monitor may not ask whether it is there."""
        found: Document | None = stores.models.get_json(f"{prefix}{name}") if name in manifest["digests"] else None
        return found

    features = stores.models.get_json(f"{prefix}profile.json")
    return _Stored(
        spec,
        instead,
        Schema.from_json(manifest["schema"]),
        stores.models.get_json(f"{prefix}evaluation.json"),
        Reference.from_json(features, made("reference.json")).without(spec.capture.drop),
        made("estimate.json"),
    )


def _past(model: str, champion: Champion, check: str, since: datetime, stores: Stores) -> list[Item]:
    """Earlier checks of this champion, the newest first; a repeated check is not its own past."""
    items = stores.registry.checks(model, since=since.isoformat())
    return [item for item in items if item["version"] == champion.version and item["check"] != check]


def _effects_before(before: Past, champion: Champion, model: str, stores: Stores) -> Document | None:
    """As the report of the newest window before this one has them, which has those of its own before; None where there
    is no report, or not any more."""
    newest = next((item for item in before.checks if item["version"] == champion.version), None)
    report = newest and stores.captures.find_json(f"{check_prefix(model, newest['check'])}report.json")
    return report.get("effects") if report else None


def _window(
    window: Window | None, spec: ModelSpec, champion: Champion, reader: WindowReader, now: datetime
) -> tuple[tuple[datetime, datetime], datetime | None]:
    """And of one by count, when its newest prediction was made."""
    if window is None:
        back = spec.monitor.window
        if isinstance(back, timedelta):
            return (now - back, now), None
        since = min(max(_time(champion.since), now - FARTHEST), now - spec.monitor.every)
        reach = reader.reaching_back(back, since, now)
        return (reach.start, now), reach.newest
    start, end = _time(window.start), _time(window.end)
    if start.year < 1970:
        raise InvalidRequest(f"the window {window.start}/{window.end} begins before 1970")
    if start >= end:
        raise InvalidRequest(f"the window {window.start}/{window.end} does not end after it starts")
    if start >= now:
        raise InvalidRequest(f"the window {window.start}/{window.end} has not begun")
    return (start, min(end, now)), None


def _silence(window: CapturedWindow, newest: datetime | None, past: Sequence[Item], refused: int, now: datetime) -> str:
    """A window by count has as many rows as ever while there are none to come."""
    if newest and any(newest < end_of(item) <= now for item in past):
        return f"no prediction has come since {newest:%Y-%m-%d %H:%M}Z"
    return silence(window.rows, [int(item["predictions"]) for item in past if "predictions" in item], refused)


def _new_labels(
    version: Version,
    before: Past,
    window: CapturedWindow,
    watched: Watched,
    span: tuple[datetime, datetime],
    stores: Stores,
    now: datetime,
) -> int:
    """Of the labels that a retrain could learn from, those that came after the last one that took labels up, as far as
    checks have counted them: of this window, of past ones since then that are disjoint from it, and of the one that
    decides. Labels of no prediction may be any number, so what came is no measure, and from what was answered while the
    feed was broken no retrain learns."""
    if any(column.name in version.spec.capture.drop for column in version.schema.features):
        return 0
    taken = [
        _time(str(p["accepted"])) for p in stores.registry.partitions(version.model) if p.get("kind") == "captures"
    ]
    since = taken[-1] if taken else None
    start, quarantine = span[0], before.quarantine
    own = not watched.late
    usable, labelled = window.labelled, watched.performance.labelled
    if quarantine.meets(*span):
        usable = usable.chosen([not quarantine.has(time) for time in usable.times])
        labelled = len(join(usable, before.found.labels.by_id, version.schema).truth)
    earlier = sum(
        int(w["labelled"] or 0)
        for w in watched.windows
        if (since is None or _time(w["start"]) >= since) and not quarantine.meets(_time(w["start"]), _time(w["end"]))
    )
    if since is None or (own and since <= start):
        return labelled + earlier
    new = read_labels(version.model, version.schema, since, now, stores.captures).labels.by_id
    if since > start:
        labelled = len(join(usable, new, version.schema).truth)
    # The window that decides may be one from before, which this check may not have read.
    return max(labelled + earlier, min(watched.late, len(new)))


def _labels_waited_for(model: str, spec: ModelSpec, runs: Sequence[Item], registry: Registry, now: datetime) -> int:
    """How many labels the next retrain waits for, by those that were rejected; 0 where it need not wait."""
    rejected = rejected_in_a_row(Governor(**registry.governor(model)), [past_run(run) for run in runs], now)
    if not rejected or not rejected[0].version:
        return 0
    judgement = registry.judgement(model, rejected[0].version)
    if judgement is None:
        return 0
    # Most of what judged may be of before what changed: it does not take as many again.
    judged = min(int(judgement["rows"]), alone(spec.holdout, timed=spec.time is not None))
    return backed_off(judged, len(rejected))


def _record(
    report: Document,
    decision: Decision,
    drift: DriftReport,
    watched: Watched,
    looked: Document,
    recent: Sequence[Item],
    stores: Stores,
    now: datetime,
    *,
    by_hand: bool,
) -> Checked:
    """What is kept of a window `by_hand` is its report, and people hear of it only if a retrain starts: who asked has
    the answer. `looked`: what looks broken, harmless or not."""
    model, check = report["model"], report["check"]
    prefix = check_prefix(model, check)
    about = [*decision.about, *(["the spec"] if report["spec"] else [])]
    fresh, heard = news(about, [item.get("heard", {}) for item in recent], now)
    stores.captures.put_json(f"{prefix}report.json", report)
    stores.captures.put_html(f"{prefix}report.html", render(report))
    if not by_hand:
        stores.registry.put_check(
            model,
            report["window"]["end"],
            check,
            start=report["window"]["start"],
            version=report["version"],
            predictions=report["predictions"],
            verdict=drift.verdict,
            action=decision.action,
            reason=decision.reason,
            finding=decision.finding,
            heard=heard,
            looks=dict(islice(looked.items(), MOST_CAUSES)),
            drifted=dict(islice(drift.effects.items(), MOST_CAUSES)),
            performance=watched.performance.status,
            value=watched.performance.value,
            **watched.facts(),
        )
        stores.registry.end_failing(model)
    heard_of = not by_hand or decision.action == "retrain"
    tell = heard_of and (fresh or (decision.tell and not decision.about))
    unread = _unread_labels(watched, recent) if heard_of else []
    said = "; ".join([*([decision.reason] if tell else []), *unread])
    remedy = f" {_NEXT[decision.action].format(model=model)}." if tell and decision.action in _NEXT else ""
    notice = f"{said}.{remedy} Report: {prefix}report.html (tidemill report {model} --check {check})"
    return Checked(
        model,
        check,
        decision.action,
        drift.verdict,
        decision.reason,
        f"{prefix}report.html",
        notice if tell or unread else "",
    )


def _unread_labels(watched: Watched, past: Sequence[Item]) -> list[str]:
    """What is wrong with files of labels, for a notice: of each problem once, while it lasts."""
    problems = untold(watched.account["problems"], past[0] if past else {})
    if not problems:
        return []
    more = f"; and {len(problems) - _TOLD:,} more" if len(problems) > _TOLD else ""
    return [f"problems with labels: {'; '.join(one[:_LONGEST] for one in problems[:_TOLD])}{more}"]


def _check_id(request: CheckRequest, champion: Champion, start: datetime, end: datetime) -> str:
    by_hand = "/by hand" if request.by_hand else ""
    name = f"{request.model}/{champion.version}/{start.isoformat()}/{end.isoformat()}{by_hand}"
    return "c-" + hashlib.sha256(name.encode()).hexdigest()[:12]


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(f"{text!r} is not a time such as 2013-07-04T00:00:00Z") from None
    if moment.tzinfo is None:
        raise InvalidRequest(f"{text!r} has no time zone: write 2013-07-04T00:00:00Z")
    return moment.astimezone(UTC)
