"""The parts of a check's report that say how good the version was: over time, without labels, and by which labels."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tidemill.reports import charts
from tidemill.reports.page import (
    NOTHING,
    Markup,
    Tone,
    badge,
    count,
    facts,
    finite,
    items,
    join,
    moment,
    number,
    percent,
    section,
    sentence,
    table,
    tag,
    unit,
)

Document = Mapping[str, Any]
TONES: Mapping[str, Tone] = {"quiet": "pass", "note": "calm", "quarantine": "fail", "retrain": "warn"}
"""Of what a check decided."""
_COUNTED = {
    "conflicting": "ids came with more than one label: the newest counts",
    "unknown": "labels of this window are no class of the model, or no number: left out",
    "unmatched": "labels are of no prediction that this check read",
    "unusable": "records have no id, label or time: left out",
    "future": "labels are from the future: they count from their time on",
    "again": "predictions were asked for again: the newest answer of an id counts",
}


def coverage(window: Document) -> str:
    labelled, predictions = finite(window.get("labelled")), finite(window.get("predictions"))
    return f"{percent(labelled / predictions)} of predictions" if labelled is not None and predictions else ""


def without_labels(report: Document) -> Markup | None:
    estimate, judged = report.get("estimate"), report["performance"]
    if not estimate:
        return None
    if finite(estimate["value"]) is None:
        return section("Estimate without labels", note=sentence(f"none is made: {estimate['sentence']}"))
    rows = [("Estimated", estimate["value"], estimate["low"], estimate["high"])]
    pairs = [
        ("Same estimate, held-out rows", number(estimate["held_out"])),
        ("Learned from", join([count(estimate["learned_from"]), unit("held-out rows")])),
        ("Answers outside of them", percent(estimate["outside"])),
        ("Lost of what was learned", percent(estimate["loss"])),
    ]
    if finite(judged["value"]) is not None:
        rows.append(("Measured", judged["value"], judged["low"], judged["high"]))
        pairs.append(("Estimate − measured", _signed(estimate["value"] - judged["value"])))
    note = join(
        [
            sentence(estimate["sentence"]),
            " It holds while an answer is as often right as it was on held-out rows: a change of what the rows mean "
            "for the target cannot be seen without labels.",
        ]
    )
    return section("Estimate without labels", facts(pairs), charts.intervals(rows), note=note)


def over_time(report: Document) -> Markup | None:
    """This window and the past ones, each once, whatever the versions."""
    past = list(report.get("windows") or ())
    if not past:
        return None
    windows = [_now(report), *past]
    name = report["performance"]["metric"]
    same = [window for window in windows if window["metric"] in (name, None)]
    drawn = charts.over_time(
        [_point(window, window) for window in same],
        [_point(window, window["estimate"] or {}) for window in same],
        _marks(report),
        report["performance"]["baseline"],
        f"{name} by window",
        name,
    )
    decisions = [TONES.get(window["action"], "calm") for window in reversed(windows)]
    key = join(
        [
            tag("span", class_="key calm"), "measured ", tag("span", class_="key past"), "estimated without labels, "
            "each with its 95 % limits. Windows are measured again while their labels come. The squares are what was "
            "decided, the oldest first. ",
            _record(windows),
        ]
    )  # fmt: skip
    rows = [
        (
            moment(window["end"]),
            number(window["version"]),
            join([badge(TONES.get(window["action"], "calm"), window["action"]), unit(_of_drift(window))]),
            _interval(window),
            join([count(window["labelled"]), unit(coverage(window))]),
            _interval(window["estimate"] or {}),
            _signed(window["error"]),
        )
        for window in windows
    ]
    heads = ("Window's end, UTC", "Version", "Decision", name, "Labels", "Estimate", "Error")
    strip = charts.strip(decisions, "Decisions, oldest first")
    return section("Windows over time", strip, drawn, table(heads, rows, "lrlrrrr", most=10), note=key)


def labels(report: Document) -> Markup | None:
    """Only where something about them must be known."""
    account = report.get("labels") or {}
    said = [f"{count(account[key])} {words}." for key, words in _COUNTED.items() if account.get(key)]
    others = report.get("other_versions") or {}
    said += [
        f"{count(rows)} predictions of the window are of version {of}: not counted here." for of, rows in others.items()
    ]
    files = account.get("files") or ()
    rows = [
        (file["name"], count(file["rows"]), count(file["used"]), items(file["problems"]) if file["problems"] else None)
        for file in files
    ]
    if not said and not rows:
        return None
    drawn = table(("File", "Rows", "Used", "What is wrong"), rows, "lrrl", most=10) if rows else None
    return section("Labels", items(said) if said else None, drawn)


def _now(report: Document) -> Document:
    judged, estimate = report["performance"], report.get("estimate")
    value, estimated = judged["value"], (estimate or {}).get("value")
    error = None if finite(value) is None or finite(estimated) is None else estimated - value
    drift = report.get("drift") or {"verdict": ""}
    decided = {"version": report["version"], "action": report["action"], "verdict": drift["verdict"]}
    return {**report["window"], **judged, **decided, "estimate": estimate, "error": error}


def _of_drift(window: Document) -> str:
    verdict = str(window["verdict"])
    return "too few rows" if verdict == "insufficient_data" else verdict.replace("_", " ")


def _point(window: Document, numbers: Document) -> tuple[Any, ...]:
    return _seconds(window["end"]), *(numbers.get(name) for name in ("value", "low", "high"))


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


def _marks(report: Document) -> list[tuple[float, str]]:
    """When another version began to serve, and when a retrain began; the one that this check starts has no run yet."""
    found = [(_seconds(mark["at"]), mark["what"]) for mark in report.get("marks") or ()]
    return [*found, (_seconds(report["window"]["end"]), "retrain")] if report["action"] == "retrain" else found


def _record(windows: Sequence[Document]) -> str:
    """How good estimates were, where it is known."""
    errors = [window["error"] for window in windows if finite(window["error"]) is not None]
    if not errors:
        return ""
    mean = sum(map(abs, errors)) / len(errors)
    within = sum(
        window["estimate"]["low"] <= window["value"] <= window["estimate"]["high"]
        for window in windows
        if finite(window["error"]) is not None
    )
    return (
        f"Windows with both: {count(len(errors))}; measured within the estimate's limits: {count(within)}; mean error: "
        f"{number(mean)}."
    )


def _interval(numbers: Document) -> Markup | str:
    value, low, high = (numbers.get(name) for name in ("value", "low", "high"))
    if finite(value) is None:
        return NOTHING
    return join([number(value), None if finite(low) is None else unit(f"{number(low)} to {number(high)}")])


def _signed(value: Any) -> str:
    known = finite(value)
    return number(value) if known is None or known <= 0 else f"+{number(value)}"
