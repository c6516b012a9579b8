"""How good a version is, by the labels that came, and by its answers alone for as long as they have not; again for past
windows whose labels came late."""

import hashlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Any

import numpy as np

from tidemill.aws.paths import outcomes_key
from tidemill.aws.registry import Item, Registry, end_of, quarantined, window_of
from tidemill.aws.stores import Stores
from tidemill.flows.labels import Found, read_labels
from tidemill.flows.window import Array, CapturedWindow, WindowReader
from tidemill.schema import Schema
from tidemill.spec import ModelSpec
from tidemill.stages.estimate import Estimate, estimate, surprises
from tidemill.stages.feed import shown_harmless
from tidemill.stages.labels import Joined, join
from tidemill.stages.metrics import Metric, as_judged, metric
from tidemill.stages.outcomes import Outcomes
from tidemill.stages.performance import (
    Measured,
    Performance,
    Together,
    confidence_of_a_look,
    deciding,
    measure,
    spread,
)
from tidemill.stages.quarantine import Quarantine
from tidemill.stages.retrain import past_run, shown_fine
from tidemill.stages.schedule import disjoint

Document = dict[str, Any]
SPAN = 30
"""Windows that a check looks back, however long labels may take."""
_LONGEST_BACK = timedelta(days=365)
"""What they may be together: a window by count has what it takes of a seldom asked model."""
MOST_MEASURED, MOST_SHOWN = 30, 30
"""Past windows that one check measures again; that its report shows of the newest, and again of those with labels."""
KNOWN = 100
"""Problems of labels that the next check knows again."""
EARLY = timedelta(hours=1)
"""So long before its prediction a label may have come: by another clock, or of a row that was asked for again."""
SOON = timedelta(days=7)
"""Labels that come sooner are waited for, where drift or an estimate would be acted on."""
_ON_THE_WAY = timedelta(minutes=5)
"""A label has its time before whoever lists the bucket can see it."""


@dataclass(frozen=True)
class Version:
    """What a check knows of the version that it judges; `table` is what estimates are made from, `window` how long its
    windows are, those by count as long as this one."""

    model: str
    number: int
    schema: Schema
    spec: ModelSpec
    evaluation: Document
    table: Document | None
    window: timedelta

    @property
    def metric(self) -> Metric:
        return metric(self.evaluation["metric"]["name"], self.schema.task)

    @property
    def threshold(self) -> float | None:
        threshold: float | None = self.evaluation["candidate"].get("threshold")
        return threshold

    @property
    def confidence(self) -> float:
        monitor = self.spec.monitor
        return confidence_of_a_look(monitor.every, self.window, min(monitor.patience[1], 2))

    @property
    def needed(self) -> int:
        """Labelled rows to judge by."""
        return max(self.spec.monitor.min_rows, self.spec.retrain.min_new_labels)

    def measure(self, joined: Joined, between: float) -> Performance:
        return measure(
            self.metric,
            joined.truth,
            as_judged(self.metric, joined.answers, self.threshold),
            predictions=joined.predictions,
            needed=self.needed,
            baseline=self.evaluation["candidate"]["interval"],
            dummy=self.evaluation["candidate"]["dummy"],
            confidence=self.confidence,
            between=between,
        )

    def estimate(self, answers: Array) -> Estimate:
        return estimate(
            self.table,
            self.metric,
            answers,
            threshold=self.threshold,
            dummy=self.evaluation["candidate"]["dummy"],
            needed=self.spec.monitor.min_rows,
            confidence=self.confidence,
        )


@dataclass(frozen=True)
class Watched:
    """`performance` is the window's own, `together` that of the newest ones with labels as one; `status` and `sentence`
    are what the check is to act on, `late` the labelled rows of a past window if it decides. `labels_come`: they judged
    a window, of whatever version, that ended no longer ago than labels may take, and than a week, or windows together
    that are all as recent. `windows` are all
    past ones that were looked back on, of all versions, the newest first, each with what is known of it by now."""

    performance: Performance
    together: Together | None
    estimate: Estimate
    status: str
    sentence: str
    late: int
    labels_come: bool
    account: Document
    windows: list[Document]
    measured: str

    @property
    def shown(self) -> list[Document]:
        """Of hundreds of windows of an hour, whose labels may be days behind."""
        older = [window for window in self.windows[MOST_SHOWN:] if window["labelled"]]
        return [*self.windows[:MOST_SHOWN], *older[:MOST_SHOWN]]

    def facts(self) -> Document:
        """For the check's record."""
        return {
            "judged": self.performance.to_json(),
            "estimate": self.estimate.to_json(),
            "measured": self.measured,
            "together": self.together.performance.status if self.together else None,
            "label_digests": [_digest(one) for one in self.account["problems"][:KNOWN]],
        }


@dataclass(frozen=True)
class Past:
    """What is known without the window: `checks` of past ones, the newest first, each measured again where its labels
    came late, and what these `differ` by; those of them that labels may still be `late` for; all labels that came since
    shortly before any of these began, and which of them are of these windows (`complete` where all were read); the time
    of broken feeds; what looked broken and is `harmless`, see `shown_harmless`; what `drifted`, see `shown_fine`."""

    checks: list[Item]
    differ: float
    late: list[Item]
    found: Found
    matched: frozenset[str]
    complete: bool
    quarantine: Quarantine
    harmless: Mapping[str, float]
    drifted: Mapping[str, float]


def untold(problems: Sequence[str], before: Item) -> list[str]:
    """Those that the check `before` did not have; where it had more than it kept, of as many, of the newest files."""
    known = before.get("label_digests", ())
    return [one for one in (problems[:KNOWN] if len(known) == KNOWN else problems) if _digest(one) not in known]


def look_back(
    version: Version, check: str, span: tuple[datetime, datetime], reader: WindowReader, stores: Stores, now: datetime
) -> Past:
    """For the window of this `span`, whose `check` may be a repeated one and is not its own past. `reader` reads past
    windows again, for labels that came late."""
    model, monitor, start = version.model, version.spec.monitor, span[0]
    reach = start - max(min(SPAN * version.window, _LONGEST_BACK), monitor.labels_within)
    known = [item for item in stores.registry.checks(model, since=reach.isoformat()) if item["check"] != check]
    checks = _apart(known, span)
    differ = spread([one.performance for one in map(_measured, _of(version, checks)) if not one.broken])
    late = [item for item in _of(version, checks) if end_of(item) >= now - monitor.labels_within]
    found = read_labels(model, version.schema, min([start, *map(_start, late)]) - EARLY, now, stores.captures)
    due = _due(late, found.labels.arrived)
    again, matched = _again(version, due, found, differ, reader, stores, now)

    def by_now(items: Sequence[Item]) -> list[Item]:
        return [again.get(str(item["sk"]), item) for item in items]

    known = by_now(known)
    return Past(
        by_now(checks),
        differ,
        by_now(late),
        found,
        frozenset(matched),
        len(due) == len(late),
        Quarantine.of(quarantined(known)),
        shown_harmless(_of(version, known)),
        shown_fine(_of(version, known)),
    )


def watch(
    version: Version,
    check: str | None,
    span: tuple[datetime, datetime],
    window: CapturedWindow,
    past: Past,
    stores: Stores,
    now: datetime,
    *,
    broken: bool,
) -> Watched:
    """What became of labelled rows is kept by `check`, if any. Rows of a `broken` feed are not judged together with
    others."""
    found, checks = past.found, past.checks
    joined = _with_unlabelled(
        join(window.labelled, found.labels.by_id, version.schema), window.rows - len(window.labelled.ids)
    )
    performance = version.measure(joined, past.differ)
    if check:
        _keep(version, check, joined, stores)
    together = None
    if not broken and (len(joined.truth) or any(map(_tells, past.late))):
        together = _together(version, (*span, joined), checks, past.differ, stores)
    decides = deciding(performance, [_measured(item) for item in past.late])
    late_drop = decides is not performance
    recent = now - min(version.spec.monitor.labels_within, SOON)
    judged_together = bool(together and together.performance.value is not None and together.start >= recent)
    # Of a window with too few labels of its own, those of others tell as well.
    speaks = judged_together and decides.status == "insufficient_labels" and bool(len(joined.truth))
    if together and decides.status != "dropped" and (together.dropped or speaks):
        decides = replace(together.performance, sentence=together.sentence)
    guess = version.estimate(window.answers)
    unjudged = decides.status == "insufficient_labels" and guess.status == "estimated_drop"
    come = any(item.get("value") is not None for item in checks if end_of(item) >= recent) or judged_together
    # An estimate stands in for labels: where they come, they decide.
    news = unjudged and not come and surprises(version.metric, guess, _fine(_of(version, checks)))
    heard: Performance | Estimate = guess if news else decides
    return Watched(
        performance=performance,
        together=together,
        estimate=guess,
        status=heard.status,
        sentence=heard.sentence,
        late=decides.labelled if late_drop else 0,
        labels_come=come,
        account=_account(found, joined, past.matched | joined.matched if past.complete else None),
        windows=[_remembered(item) for item in checks],
        measured=now.isoformat(),
    )


def marks(model: str, start: datetime, end: datetime, registry: Registry) -> list[Document]:
    """Every version that began to serve and every retrain that began in this time, whatever window it lies in."""
    found = [
        (str(item["at"]), f"version {item['version']}")
        for item in registry.events(model, since=start.isoformat())
        if item["what"] == "promoted"
    ]
    found += [(run.started.isoformat(), "retrain") for run in map(past_run, registry.runs(model)) if run.retrain]
    return [{"at": at, "what": what} for at, what in sorted(found) if start <= datetime.fromisoformat(at) <= end]


def _of(version: Version, checks: Sequence[Item]) -> list[Item]:
    return [item for item in checks if item["version"] == version.number]


def _fine(checks: Sequence[Item]) -> list[float]:
    """What was estimated of windows that labels then showed fine."""
    guesses = [(item.get("estimate") or {}).get("value") for item in checks if item.get("performance") == "fine"]
    return [float(guess) for guess in guesses if guess is not None]


def _apart(checks: Sequence[Item], span: tuple[datetime, datetime]) -> list[Item]:
    """Of all versions, windows that are disjoint from this one and from each other."""
    return [checks[place] for place in disjoint([window_of(item) for item in checks], span)]


def _due(late: Sequence[Item], arrived: str) -> list[Item]:
    """Whose labels came is known only once a window is read, so they take turns: first what was measured longest ago,
    and of the same moment the oldest, which labels are the likeliest to have reached."""
    stale = [item for item in reversed(late) if _stale(item, arrived)]
    return sorted(stale, key=lambda item: str(item.get("measured") or ""))[:MOST_MEASURED]


def _again(
    version: Version,
    due: Sequence[Item],
    found: Found,
    differ: float,
    reader: WindowReader,
    stores: Stores,
    now: datetime,
) -> tuple[dict[str, Item], set[str]]:
    """The checks by their keys, each measured anew, and the ids whose labels were found in them."""
    known: dict[str, Item] = {}
    matched: set[str] = set()
    for item in due:
        labelled, unlabelled = reader.read_labelled(*window_of(item), found.labels.by_id)
        joined = join(labelled, found.labels.by_id, version.schema)
        matched |= joined.matched
        again = version.measure(_with_unlabelled(joined, unlabelled), differ)
        facts = {
            "judged": again.to_json(),
            "performance": again.status,
            "value": again.value,
            "measured": now.isoformat(),
        }
        _keep(version, str(item["check"]), joined, stores)
        if stores.registry.measure_check(item, **facts):
            known[str(item["sk"])] = {**item, **facts}
    return known, matched


def _keep(version: Version, check: str, joined: Joined, stores: Stores) -> None:
    if len(joined.truth):
        stores.captures.put(outcomes_key(version.model, check), Outcomes.of(joined).packed())


def _tells(item: Item) -> bool:
    """Whether its window has labels, and its feed was not broken."""
    return bool((item.get("judged") or {}).get("labelled")) and item["action"] != "quarantine"


def _together(
    version: Version,
    own: tuple[datetime, datetime, Joined],
    checks: Sequence[Item],
    between: float,
    stores: Stores,
) -> Together | None:
    """This window and past ones since the version began to serve, the newest first, of those that have labels: as many
    as patience is shown with, or as it takes to have enough rows."""
    start, end, joined = own
    parts = [(start, end, joined.predictions / len(joined.truth), Outcomes.of(joined))] if len(joined.truth) else []
    for item in takewhile(lambda item: item["version"] == version.number, checks):
        enough = sum(len(outcomes.truth) for *_, outcomes in parts) >= version.needed
        if enough and len(parts) >= version.spec.monitor.patience[1]:
            break
        # Checks were made before their outcomes were kept, and reports end with their captures.
        kept = stores.captures.find(outcomes_key(version.model, str(item["check"]))) if _tells(item) else None
        if kept:
            judged = item["judged"]
            parts.append((*window_of(item), judged["predictions"] / judged["labelled"], Outcomes.unpacked(kept)))
    if len(parts) < 2:
        return None
    starts, ends, asked, outcomes = zip(*parts, strict=True)
    rows = np.array([len(each.truth) for each in outcomes])
    one = Joined(
        np.concatenate([each.truth for each in outcomes]),
        np.concatenate([each.answers for each in outcomes]),
        round(float(rows @ asked)),
    )
    # The standard deviation of the windows' mean, each weighed by its rows.
    shared = between * float(np.linalg.norm(rows) / rows.sum())
    return Together(len(parts), min(starts), max(ends), version.measure(one, shared))


def _digest(problem: str) -> str:
    return hashlib.sha256(problem.encode()).hexdigest()[:8]


def _with_unlabelled(joined: Joined, rows: int) -> Joined:
    """They are counted row by row: to know their ids apart would take memory for all of them."""
    return replace(joined, predictions=joined.predictions + rows)


def _stale(item: Item, arrived: str) -> bool:
    measured = item.get("measured")
    return bool(arrived) and (
        measured is None or datetime.fromisoformat(arrived) > datetime.fromisoformat(str(measured)) - _ON_THE_WAY
    )


def _measured(item: Item) -> Measured:
    judged = item.get("judged") or {}
    performance = Performance(**judged) if judged else Performance("insufficient_labels", "", 0, 0, 0, "")
    return Measured(*window_of(item), performance, broken=item["action"] == "quarantine")


def _account(found: Found, joined: Joined, matched: Set[str] | None) -> Document:
    """What became of the labels; `problems` are for whoever sends them. Which of them are of no prediction is known
    only where all windows that they could be of were read."""
    labels = found.labels
    problems = [f"{file.name}: {problem}" for file in found.files for problem in file.problems]
    return {
        "read": len(labels.by_id),
        "repeated": labels.repeated,
        "conflicting": labels.conflicting,
        "unusable": labels.unusable,
        "future": labels.future,
        "unknown": joined.unknown,
        "unmatched": None if matched is None else len(labels.by_id) - len(matched),
        "again": joined.again,
        "files": [file.to_json() for file in found.files],
        "problems": problems,
    }


def _remembered(item: Item) -> Document:
    """What a report shows of a past window, with the error of its estimate where it has been measured."""
    judged, guess = item.get("judged") or {}, item.get("estimate") or {}
    value, estimated = item.get("value"), guess.get("value")
    return {
        "start": str(item["start"]),
        "end": end_of(item).isoformat(),
        "version": item["version"],
        "action": item["action"],
        "verdict": item["verdict"],
        **{name: judged.get(name) for name in ("metric", "value", "low", "high", "predictions", "labelled")},
        "estimate": {name: guess.get(name) for name in ("status", "value", "low", "high")} if guess else None,
        "error": None if value is None or estimated is None else float(np.subtract(estimated, value)),
    }


def _start(item: Item) -> datetime:
    return datetime.fromisoformat(str(item["start"]))
