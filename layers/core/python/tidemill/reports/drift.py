"""The report of one check: what a window of predictions looked like, what was decided, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from tidemill.reports import charts, performance
from tidemill.reports.page import (
    Markup,
    Tone,
    badge,
    closed,
    count,
    facts,
    finite,
    join,
    moment,
    name,
    number,
    page,
    percent,
    section,
    sentence,
    table,
    tag,
    unit,
    verdict,
)

_MOST_COLUMNS = 60
_PARTS: Mapping[str, tuple[str, str]] = {
    "answer": ("Answers", "held-out rows"),
    "together": ("How the columns go together", "training rows"),
    "feature": ("Columns", "training rows"),
}
"""Title, and what the window is compared with."""
_WANTING = {"nothing new": "nothing", "too little new": "too little"}
"""What there is to learn from, by the findings of a check that would else retrain."""
_EFFECTS = {"ks": "K-S distance", "levels": "total variation", "missing": "change in missing"}


def render(report: Mapping[str, Any]) -> str:
    drift = report.get("drift")
    sections = [
        _problems(report["problems"]) if report.get("problems") else None,
        _refusals(report),
        _performance(report["performance"], report.get("together")),
        performance.without_labels(report),
        performance.over_time(report),
        performance.labels(report),
        *(_columns(drift, of, report.get("effects") or {}) for of in _PARTS if drift),
    ]
    window = f"{moment(report['window']['start'])} to {moment(report['window']['end'])} UTC"
    sub = f"{window}, {count(report['predictions'])} predictions, check {report['check']}"
    title = f"{report['model']}, version {report['version']}"
    footer = "Drawn from report.json of this check, which holds every number on this page."
    return page("Drift report", title, sub, _verdict(report), sections, footer)


def _verdict(report: Mapping[str, Any]) -> Markup:
    action, drift, judged = report["action"], report.get("drift"), report["performance"]
    tone = performance.TONES.get(action, "calm")
    unknown = not drift or drift["verdict"] == "insufficient_data"
    if action == "quiet" and unknown and judged["status"] == "insufficient_labels":
        tone, says = "calm", "There is too little data in this window to say anything."
    elif report.get("governor"):
        tone, says = "warn", "A retrain is called for, and none was started."
    elif wanting := _WANTING.get(report.get("finding", "")):
        tone, says = "warn", f"A retrain is called for, and there is {wanting} new to learn from."
    else:
        says = {
            "quiet": "Nothing in this window calls for action.",
            "note": "Something has changed; nothing needs to be done yet.",
            "quarantine": "Repair the feed."
            if report.get("by_hand")
            else "Repair the feed: nothing is learned from this window.",
            "retrain": "The world has moved: a retrain was started.",
        }.get(action, action)
    reason = str(report["reason"])
    # A metric keeps its own name's small letter.
    why = closed(reason) if reason.startswith(judged["metric"]) else sentence(reason)
    return verdict(tone, action.capitalize(), says, tag("p", why))


def _problems(problems: Sequence[Mapping[str, Any]]) -> Markup:
    """Those that break it first; the others are shown for what they are."""
    broken = [problem for problem in problems if problem["broken"]]
    odd = [problem for problem in problems if not problem["broken"]]
    rows = [
        (
            name(problem["column"]),
            badge("fail" if problem["broken"] else "calm", problem["kind"].replace("_", " ")),
            closed(problem["sentence"]),
        )
        for problem in [*broken, *odd]
    ]
    title, note = ("Broken feed", "No change of the world explains these.") if broken else ("Oddities of the feed", "")
    if broken and odd:
        note = f"No change of the world explains the first {count(len(broken))}."
    return section(title, table(("Column", "Problem", "Finding"), rows), note=note)


def _refusals(report: Mapping[str, Any]) -> Markup | None:
    refused = report.get("refusals") or {}
    said = []
    if refused.get("rows"):
        of = refused["rows"] + report["predictions"]
        share = f"{count(refused['rows'])} of {count(of)} rows ({percent(refused['rows'] / of)})"
        said.append(f"{share}, in {count(refused['requests'])} requests.")
        said.append("A request is refused whole, its good rows too; where none could be read it counts as one row.")
    if refused.get("more"):
        said.append(f"Of one request, up to {count(refused['more'])} problems more are not listed.")
    for version, rows in refused.get("others", {}).items():
        said.append(f"{count(rows)} rows were refused by version {version}: not counted here.")
    if not said:
        return None
    rows = [(closed(one["sentence"]), count(one["requests"]), count(one["rows"])) for one in refused["problems"]]
    drawn = table(("What was wrong", "Requests", "Rows"), rows, "lrr", most=_MOST_COLUMNS) if rows else None
    return section("Refused requests", drawn, note=" ".join(said))


def _performance(judged: Mapping[str, Any], together: Mapping[str, Any] | None) -> Markup:
    numbers = facts(
        [
            ("Predictions", count(judged["predictions"])),
            ("With a label", join([count(judged["labelled"]), unit(performance.coverage(judged))])),
            ("Needed to judge", count(judged["needed"])),
            ("Lost of what was learned", percent(judged["loss"])),
        ]
    )
    said, drawn, rows = closed(judged["sentence"]), None, [("This window", judged)]
    if together:
        rows.append((f"The {count(together['windows'])} newest with labels", together))
        span = f"{moment(together['start'])} to {moment(together['end'])} UTC"
        said = f"{said} Together, {span}: {closed(together['sentence'])}"
    known = [(label, one) for label, one in rows if finite(one["value"]) is not None]
    if known:
        baseline = known[0][1]["baseline"]
        drawn = join(
            [
                charts.intervals([(label, one["value"], one["low"], one["high"]) for label, one in known], baseline),
                tag("p", f"The dashed line is the evaluation's {number(baseline)}.", class_="note"),
            ]
        )
    return section(f"Performance: {judged['metric']}", numbers, drawn, note=said)


def _columns(drift: Mapping[str, Any], of: str, effects: Mapping[str, Any]) -> Markup | None:
    columns = [column for column in drift["columns"] if column["of"] == of]
    if not columns:
        return None
    title, before = _PARTS[of]
    order = {column: place for place, column in enumerate(drift["drifted"])}
    ranked = sorted(columns, key=lambda c: (order.get(c["name"], len(order)), _least(c)))
    past = effects.get("columns", {}).get(of, {})
    rows = [
        (
            _name_and_state(column),
            _picture(column, before),
            _tests(column, past.get(column["name"], {})),
            closed(column["sentence"]),
        )
        for column in ranked
    ]
    known = f"{count(drift['reference_rows'])} {before}" if of == "feature" else before
    key = join(
        [
            tag("span", class_="key past"), known,
            tag("span", class_="key calm"), f"{count(drift['rows'])} rows of the window. ", _said(drift, of),
            _course(len(effects.get("ends", ()))),
        ]
    )  # fmt: skip
    heads = ("Column", "Distributions", "Effect", "Finding")
    return section(title, table(heads, rows, most=max(_MOST_COLUMNS, len(order))), note=key)


def _said(drift: Mapping[str, Any], of: str) -> str:
    if of == "answer":
        return "What the model answers, tested as a column is."
    if of == "together":
        return "A row's error is what the principal components of the training rows miss of it."
    rule = (
        f"A column has drifted when its corrected p is at most {drift['policy']['false_alarms']:g} and its effect "
        "reaches the threshold, which the tick marks."
    )
    share = drift["importance"]
    if share is None:
        return rule
    held = f"{rule} What drifted holds {percent(share)} of what the model goes by"
    return f"{held}; answers, and how columns go together, count as all of it."


def _course(windows: int) -> str:
    return f" The line is the effect in {count(windows)} windows, the dashed one its threshold." if windows > 1 else ""


def _least(column: Mapping[str, Any]) -> float:
    return min((test["adjusted_p"] for test in column["tests"]), default=2.0)


def _name_and_state(column: Mapping[str, Any]) -> Markup:
    state = badge("warn", "drifted") if column["drifted"] else None
    return join([name(column["name"]), unit(column["kind"]), state])


def _picture(column: Mapping[str, Any], before: str) -> Markup | None:
    plot = column["histogram"]
    if not plot:
        return None
    return charts.overlaid(plot["reference"], plot["window"], f"{column['name'][:40]}: {before} and this window")


def _tests(column: Mapping[str, Any], past: Mapping[str, Any]) -> Markup:
    """Those that found drift, or the one nearest to it."""
    tests = sorted(column["tests"], key=lambda test: (not test["drifted"], test["adjusted_p"]))
    shown = [test for i, test in enumerate(tests) if test["drifted"] or not i]
    return join(tag("div", *_test(test, past.get(test["name"], ()))) for test in shown)


def _test(test: Mapping[str, Any], past: Sequence[float | None]) -> list[object]:
    """`past`: its effect in each window, this one the last."""
    label = _EFFECTS.get(test["name"], test["name"])
    p = "< 0.0001" if test["adjusted_p"] < 1e-4 else f"= {number(test['adjusted_p'])}"
    words = f"{label} {number(test['effect'])}, threshold {number(test['threshold'])}"
    tone: Tone = "warn" if test["drifted"] else "calm"
    known = sum(effect is not None for effect in past)
    course = charts.course(past, test["threshold"], f"{label} in {known} windows") if known > 1 else None
    said = unit(f"{label} {test['effect']:.2f}, p {p}")
    return [charts.meter(test["effect"], test["threshold"], tone, words), said, course]
