"""The report of one version: may it serve, why, and what its exported graph answers on held-out rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tidemill.reports import charts
from tidemill.reports.page import (
    Markup,
    badge,
    count,
    facts,
    finite,
    join,
    name,
    number,
    page,
    paragraphs,
    percent,
    section,
    sentence,
    settings,
    table,
    tag,
    unit,
    verdict,
)
from tidemill.stages.metrics import METRICS

_MOST_FEATURES, _MOST_TRIALS, _MOST_SLICES = 25, 12, 10
_THRESHOLDS = {
    None: "the most probable class is answered",
    "half": "the more probable class is answered",
    "f1": "of the best F1 score in cross-validation",
    "spec": "as the spec says",
}


def render(evaluation: Mapping[str, Any]) -> str:
    sections = [
        _summary(evaluation),
        _checks(evaluation["checks"]),
        _comparison(evaluation),
        _curves(evaluation),
        _slices(evaluation),
        _importance(evaluation["importance"], evaluation["metric"]["name"]),
        _metrics(evaluation),
        _candidates(evaluation),
        _history(evaluation),
        _trials(evaluation),
        _facts(evaluation),
    ]
    sub = join(["Predicts ", name(evaluation["target"]), f" ({evaluation['task']}), run {evaluation['run']}"])
    title = f"{evaluation['model']}, version {evaluation['version']}"
    footer = "Drawn from evaluation.json of this version, which holds every number on this page."
    return page("Model report", title, sub, _verdict(evaluation), sections, footer)


def _verdict(evaluation: Mapping[str, Any]) -> Markup:
    version, champion, checks = evaluation["version"], _champion(evaluation), evaluation["checks"]
    why = paragraphs([sentence(reason) for reason in evaluation["reasons"]])
    if evaluation["promote"]:
        place = f"replaces version {champion}" if champion else "is the first to serve"
        says = f"Version {version} passed every check and {place}."
        return verdict("pass", "Promoted", says, why)
    failed = sum(not check["passed"] for check in checks)
    stays = f"version {champion} keeps serving" if champion else "nothing serves yet"
    says = f"Version {version} failed {failed} of {len(checks)} checks: {stays}."
    return verdict("fail", "Rejected", says, why)


def _champion(evaluation: Mapping[str, Any]) -> int | None:
    comparison = evaluation.get("comparison")
    return comparison["champion"] if comparison else None


def _summary(evaluation: Mapping[str, Any]) -> Markup:
    candidate, metric = evaluation["candidate"], evaluation["metric"]
    held_out = candidate["interval"]
    limits = f"{number(held_out['low'])} to {number(held_out['high'])}"
    better = "higher is better" if metric["higher_is_better"] else "lower is better"
    return section(
        sentence(metric["label"])[:-1],
        facts(
            [
                ("Held-out rows", join([number(held_out["value"]), unit(limits)])),
                ("Cross-validation", join([number(candidate["cross_validated"]), unit("on training rows")])),
                ("Training rows", join([number(candidate["training"]), unit("judges nothing")])),
                ("Without features", join([number(candidate["dummy"]), unit("what a guess earns")])),
            ]
        ),
        note=f"{metric['name']}, {better}. The winning candidate is {candidate['candidate']}.",
    )


def _checks(checks: Sequence[Mapping[str, Any]]) -> Markup:
    rows = [
        (
            _result(check),
            _words(check["name"]),
            number(check["value"]),
            number(check["threshold"]),
            sentence(check["sentence"]),
        )
        for check in checks
    ]
    return section("Checks", table(("Result", "Check", "Value", "Threshold", "Finding"), rows, "llrr"))


def _result(check: Mapping[str, Any]) -> Markup:
    if not check["passed"]:
        return badge("fail", "fail")
    return badge("warn", "warn") if check["warns"] else badge("pass", "pass")


def _comparison(evaluation: Mapping[str, Any]) -> Markup | None:
    comparison = evaluation.get("comparison")
    if not comparison:
        return None
    difference, champion = comparison["difference"], comparison["champion"]
    own, other = f"Version {evaluation['version']}", f"Version {champion}, champion"
    pairs = [
        ("Difference", join([_signed(difference["difference"]), unit("positive is better")])),
        ("Lower bound", join([_signed(difference["lower"]), unit(f"at {difference['confidence']:.2%}")])),
        ("Attempt", join([number(comparison["attempt"]), unit("on these rows")])),
    ]
    if evaluation["candidate"]["repeated"]:
        pairs.insert(0, (own, join([number(difference["candidate"]), unit("its recipe, on all rows")])))
        pairs.insert(1, (other, join([number(difference["champion"]), unit("its recipe, on the rows it knew")])))
        note = (
            "Too few rows are held out to judge by: both recipes were fitted on the same "
            f"{count(difference['resamples'])} folds of {count(difference['rows'])} rows, and scored on what a fold "
            "leaves out."
        )
        return section(f"Against version {champion}", facts(pairs), note=note)
    both = [(own, comparison["candidate"]), (other, comparison["champion_described"])]
    rows = [(label, *(described["interval"][key] for key in ("value", "low", "high"))) for label, described in both]
    every = comparison["held_out_by_both"]
    which = "that neither was trained on"
    if difference["rows"] < every:
        which = f"the newest of {count(every)} {which}"
    pairs.insert(2, ("Rows", join([count(difference["rows"]), unit(which)])))
    return section(
        f"Against version {champion}",
        charts.intervals(rows),
        facts(pairs),
        note="On the same rows, so that what is hard about a row is hard for both: the difference is surer than the "
        "two intervals suggest.",
    )


def _curves(evaluation: Mapping[str, Any]) -> Markup | None:
    curves, threshold = evaluation["curves"], evaluation["candidate"]["threshold"]
    drawn: list[Markup | None] = []
    if "roc" in curves:
        drawn += [
            charts.curve(curves["roc"], "ROC", "false positive rate", "true positive rate", diagonal=True),
            charts.curve(curves["precision_recall"], "Precision and recall", "recall", "precision"),
            charts.curve(curves["calibration"], "Calibration", "predicted", "observed share", diagonal=True, dots=True),
        ]
    if "confusion" in curves:
        drawn.append(charts.confusion(curves["classes"], curves["confusion"]))
    if "scatter" in curves:
        residuals = curves["residuals"]
        drawn += [
            charts.scatter(curves["scatter"], "Predicted against actual", "actual", "predicted"),
            charts.histogram(residuals["edges"], residuals["counts"], "Residuals", "predicted − actual"),
        ]
    said: list[object] = ["What it answers on held-out rows. Target: ", name(evaluation["target"]), "."]
    if threshold is not None:
        said += [" It answers ", name(curves["classes"][1]), f" from a probability of {number(threshold)} on."]
    note = join(said)
    return section("Answers", tag("div", *drawn, class_="charts"), note=note) if drawn else None


def _slices(evaluation: Mapping[str, Any]) -> Markup | None:
    """Where it is worst: against the champion, or for want of one by itself."""
    comparison, metric = evaluation.get("comparison"), evaluation["metric"]["name"]
    heads: tuple[str, ...]
    rows: list[tuple[object, ...]]
    if comparison and comparison["slices"]:
        keys = {"candidate": number, "champion": number, "lost": percent, "surely_lost": percent}
        rows = [
            (one["name"], count(one["rows"]), *(show(one[key]) for key, show in keys.items()))
            for one in comparison["slices"]
        ]
        heads = ("Where", "Rows", f"{metric}, this version", f"Version {comparison['champion']}", "Lost", "At least")
        note = (
            "Parts of the rows that both were judged on, its greatest losses first: lost is the share of what the "
            "champion earns over a model without features; at least is the favourable end of its interval, corrected "
            "for all parts. Below zero, it gained."
        )
    else:
        rows = [(one["name"], count(one["rows"]), number(one["value"])) for one in evaluation["slices"]]
        heads = ("Where", "Rows", metric)
        note = "Parts of the held-out rows, its worst ones first."
    if not rows:
        return None
    shown = table(heads, rows, "l" + "r" * (len(heads) - 1), most=_MOST_SLICES)
    return section("Parts of the rows", shown, note=note)


def _importance(importance: Mapping[str, float], metric: str) -> Markup | None:
    if not importance:
        return None
    shown = [(key, float(loss), number(loss)) for key, loss in list(importance.items())[:_MOST_FEATURES]]
    left = len(importance) - len(shown)
    return section(
        "What it relies on",
        charts.ranking(shown, ("Feature", f"Loss of {metric}")),
        tag("p", f"{count(left)} features that matter less are not shown.", class_="note") if left else None,
        note="What the metric loses on held-out rows when one feature's values are shuffled. Features that say the "
        "same share their importance.",
    )


def _metrics(evaluation: Mapping[str, Any]) -> Markup:
    own, comparison = evaluation["candidate"]["metrics"], evaluation.get("comparison")
    columns: list[tuple[str, Mapping[str, Any]]] = [("Held-out rows", own)]
    if comparison:
        columns = [
            ("This version", comparison["candidate"]["metrics"]),
            (f"Version {comparison['champion']}", comparison["champion_described"]["metrics"]),
        ]
    rows = [(_metric(key), *(number(values.get(key)) for _, values in columns)) for key in own]
    heads = ("Metric", *(head for head, _ in columns))
    return section("All metrics", table(heads, rows, "l" + "r" * len(columns), narrow=True))


def _candidates(evaluation: Mapping[str, Any]) -> Markup:
    sign = 1 if evaluation["metric"]["higher_is_better"] else -1
    ranked = sorted(evaluation["candidates"], key=lambda entry: -(_or(entry["score"], float("-inf"))))
    rows = []
    for entry in ranked:
        score = finite(entry["score"])
        chosen = entry["candidate"] == evaluation["candidate"]["candidate"]
        rows.append(
            (
                entry["candidate"],
                number(None if score is None else sign * score),
                badge("pass", "chosen") if chosen else entry.get("failed") or "",
            )
        )
    heads = ("Candidate", "Cross-validated " + evaluation["metric"]["name"], "")
    by = "the newest training rows" if evaluation["candidate"].get("history") else "training rows only"
    return section("Candidates", table(heads, rows, "lr", narrow=True), note=f"Compared on {by}.")


def _history(evaluation: Mapping[str, Any]) -> Markup | None:
    """Whether old rows still help."""
    candidate = evaluation["candidate"]
    history = candidate.get("history")
    if not history or len(history["options"]) == 1:
        return None
    rows = [
        (
            f"the newest {count(option['rows'])}" if option["level"] else f"all {count(option['rows'])}",
            number(option["score"]),
            _gain(option) if option["level"] else "",
            badge("pass", "chosen") if option["level"] == history["chosen"] else "",
        )
        for option in history["options"]
    ]
    heads = ("Training rows", evaluation["metric"]["name"], "Gained over all rows", "")
    note = (
        f"{candidate['candidate'].capitalize()} taught with more and with less of the past, in cross-validation by the "
        f"newest rows; of short pasts the best of all settings. The old rows are left out only where that gains more "
        f"than {history['errors']:g} standard error, which is what stands behind ±."
    )
    return section("Old rows and new ones", table(heads, rows, "lrrl", narrow=True), note=note)


def _gain(option: Mapping[str, Any]) -> Markup:
    return join([_signed(option["gain"]), unit(f"± {number(option['error'])}")])


def _trials(evaluation: Mapping[str, Any]) -> Markup | None:
    candidate, sign = evaluation["candidate"], 1 if evaluation["metric"]["higher_is_better"] else -1
    trials = [(trial["params"], trial["scores"], _mean(trial["scores"])) for trial in candidate["trials"]]
    if not trials:
        return None
    ranked = sorted(trials, key=lambda trial: -sign * _or(trial[2], -sign * float("inf")))
    known = [score for _, scores, _ in trials for score in map(finite, scores) if score is not None]
    low, high = min(known, default=0.0), max(known, default=1.0)
    rows = [
        (
            join([settings(params), unit("chosen") if _same(params, candidate["params"]) else None]),
            charts.fold_dots(scores, low, high, ", ".join(map(number, scores))),
            number(mean),
        )
        for params, scores, mean in ranked
    ]
    short = "" if candidate["complete"] else " Time ran out before all planned settings were tried."
    note = f"Each dot is one fold, from {number(low)} to {number(high)}.{short}"
    heads = (f"Settings of {candidate['candidate']}", "Folds", "Mean")
    return section("Search", table(heads, rows, "llr", most=_MOST_TRIALS), note=note)


def _same(params: Mapping[str, Any], chosen: Mapping[str, Any]) -> bool:
    """But for the trees that boosting grew, which depend on the rows that it learned from."""
    return all(params[key] == chosen.get(key) for key in params if key != "max_iter")


def _facts(evaluation: Mapping[str, Any]) -> Markup:
    candidate, rows, held_out = evaluation["candidate"], evaluation["rows"], evaluation["candidate"]["interval"]
    numbers = [(label, count(rows[key])) for key, label in
               (("all", "Rows"), ("training", "For training"), ("held_out", "Held out"))]  # fmt: skip
    calibration, search = candidate["calibration"], candidate["search"]
    pairs = [
        ("Settings", settings(candidate["params"])),
        ("Threshold", join([number(candidate["threshold"]), unit(_THRESHOLDS[candidate["threshold_by"]])])),
        ("Calibration", _calibrated(calibration)),
        ("Search", f"{search['tried']} of {search['planned']} settings, on up to {count(max(search['rows']))} rows"),
        ("Seconds", ", ".join(f"{key} {number(value)}" for key, value in candidate["timings"].items())),
        ("Seed", str(candidate["seed"])),
        ("Code", tag("code", candidate["code"])),
        ("Interval", f"bootstrap, {count(held_out['resamples'])} resamples at {held_out['confidence']:.0%}, "
                     f"seed {held_out['seed']}"),
        ("Partitions", _codes(evaluation["partitions"])),
        ("Libraries", ", ".join(f"{key} {value}" for key, value in candidate["libraries"].items())),
        *((f"SHA-256 of {key}", tag("code", value)) for key, value in candidate["digests"].items()),
    ]  # fmt: skip
    return section(
        "Facts",
        facts([*numbers, ("Partitions", count(len(evaluation["partitions"])))]),
        table(("Made with", ""), pairs),
    )


def _calibrated(calibration: Mapping[str, Any] | None) -> str:
    if calibration is None:
        return "not for a regression"
    before, after = number(calibration["log_loss"]), number(calibration["log_loss_calibrated"])
    if calibration["method"] == "none":
        return f"none: it would not have lowered the log loss of {before} (to {after})"
    return f"{calibration['method']}: log loss {before} → {after} in cross-validation"


def _codes(values: Iterable[str], most: int = 30) -> Markup:
    listed = list(values)
    more = f" and {count(len(listed) - most)} more" if len(listed) > most else None
    return join([join((tag("code", value) for value in listed[:most]), ", "), more])


def _words(identifier: str) -> str:
    return identifier.replace("_", " ")


def _metric(key: str) -> object:
    known = METRICS.get(key)
    if known is None:
        return key
    better = "higher" if known.higher_is_better else "lower"
    return join([sentence(known.label)[:-1], unit(f"{key}, {better} is better")])


def _signed(value: float | None) -> str:
    known = finite(value)
    return ("+" if known and known > 0 else "") + number(known)


def _mean(scores: Iterable[Any]) -> float | None:
    known = [score for score in map(finite, scores) if score is not None]
    return sum(known) / len(known) if known else None


def _or(value: Any, otherwise: float) -> float:
    known = finite(value)
    return otherwise if known is None else known
