"""Reports: what they say first, and that no data can become anything but text."""

import math
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from tidemill.profile import NumericProfile, profile
from tidemill.reports import charts, drift, evaluation, prepare
from tidemill.reports.columns import common_bins, heights_in
from tidemill.reports.page import finite, moment, name, number, percent, size, tag, text
from tidemill.stages import evaluate
from tidemill.stages.drift import Compared, detect
from tidemill.stages.feed import feed_problems
from tidemill.stages.gate import Check
from tidemill.stages.metrics import metric
from tidemill.stages.performance import measure
from tidemill.stages.window import count

Document = dict[str, Any]
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</title></style></svg><iframe src=//evil.example>",
    "javascript:alert(1)&lt;b&gt;",
    "nul\x00 bidi\u202e half\ud800 \ufffe",
    "中文 🌊 naïve",
    "n" * 300,
    "",
]
ELEMENTS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "div", "p", "span"),
    *("h1", "h2", "h3", "ul", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "figure", "code"),
    *("svg", "g", "path", "circle", "rect", "text", "details", "summary", "b"),
}


class Reader(HTMLParser):
    """Fails on an element or attribute that no report writes, on one left open and on a picture without a title."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.titles_due = 0
        self.feed(html)
        self.close()
        assert not self.open
        assert not self.titles_due

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ELEMENTS
        assert not [key for key, _ in attrs if key.startswith("on") or key in ("src", "href", "srcset", "action")]
        assert not self.titles_due or tag == "title"
        self.titles_due = int(tag == "svg")
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and "svg" not in self.open[:-1]:
            self.words.append(data)

    @property
    def shown(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(html: str) -> str:
    html.encode("utf-8")
    return Reader(html).shown


def account(**changes: Any) -> Document:
    told = {
        "source": "flights.csv", "description": "CSV, ';', UTF-8", "bytes": 2_934_567,
        "rows_read": 10_000, "accepted": 9_812, "quarantined": 120, "duplicates": 68,
        "reasons": [reason("dep", "is not a number", 120)], "more_reasons": 0, "findings": [], "columns": [],
        "previous": None,
    }  # fmt: skip
    return {**told, **changes}


def reason(column: str, words: str, rows: int, value: str = "soon", line: int | None = 38) -> Document:
    return {"column": column, "reason": words, "rows": rows, "row": 37, "line": line, "value": value}


def finding(weight: str, says: str, done: str = "accepted", kind: str = "range", column: str | None = None) -> Document:
    return {"weight": weight, "kind": kind, "column": column, "says": says, "done": done}


def reported(
    told: Document | None = None,
    now: Document | None = None,
    before: Document | None = None,
    quarantine: list[Document] | None = None,
) -> str:
    return prepare.render(told or account(), now, quarantine=quarantine or [], previous=before)


def profiled(**values: Any) -> Document:
    """Numbers are numeric, dates datetime, words categorical."""
    kinds = {"f": "numeric", "M": "datetime", "O": "categorical"}
    return profile(values, {key: kinds[column.dtype.kind] for key, column in values.items()}).to_json()


def words(*levels: str | None) -> Any:
    return np.array(levels, dtype=object)


def columns(names: list[str], rows: int = 400, shift: float = 0.0) -> tuple[Document, dict[str, str]]:
    """Numeric and categorical columns in turn, the latter with hostile levels."""
    rng = np.random.default_rng(5)
    kinds = {key: "categorical" if i % 2 else "numeric" for i, key in enumerate(names)}
    levels = np.array(HOSTILE, dtype=object)
    values = {
        key: rng.normal(shift, 1, rows) if kind == "numeric" else levels[rng.integers(0, len(levels), rows)]
        for key, kind in kinds.items()
    }
    return values, kinds


def judged(task: str = "binary", *, promote: bool = True, champion: int | None = None, word: str = "plain") -> Document:
    rng = np.random.default_rng(3)
    classes = {"binary": ("no", word), "multiclass": tuple(f"{word}{i}" for i in range(20)), "regression": ()}[task]
    measured = metric({"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[task], task)
    truth = rng.integers(0, len(classes), 120).astype(float) if classes else rng.normal(size=120)
    answers = rng.dirichlet(np.ones(len(classes)), 120) if classes else truth + rng.normal(size=120)
    threshold = 0.4 if task == "binary" else None
    described = evaluate.describe(measured, task, truth, answers, threshold)
    checks = [Check("beats_dummy", True, 0.2, 0.0, "it beats a model without features")]
    if not promote:
        checks.append(Check("overfit_gap", False, 0.5, 0.25, f"{word}: half of what it learned is lost"))
    trial = {"params": {"depth": 3, "kind": word}, "scores": [0.7, 0.8, None]}
    facts = {
        "candidate": "forest", "metric": measured.name, "params": trial["params"], "cross_validated": 0.75,
        "scores": trial["scores"], "dummy": 0.5, "training": None, "trials": [trial], "complete": False, "rows": 480,
        "parity": {"rows": 120, "largest": 0.0, "beyond": 0}, "digests": {"model.onnx": "ab" * 32},
        "libraries": {"numpy": "2.3.0"}, "threshold": threshold, "threshold_by": threshold and "f1",
        "calibration": (classes and {"method": "sigmoid", "log_loss": 0.5, "log_loss_calibrated": 0.4}) or None,
        "search": {"planned": 10, "tried": 4, "rows": [4_000, 16_000], "stopped": "time"}, "seed": 2013,
        "history": champion and {"chosen": 1, "errors": 1.0, "options": [
            {"level": 0, "rows": 480, "score": 0.4, "settings": 1, "gain": None, "error": None},
            {"level": 1, "rows": 120, "score": 0.7, "settings": 2, "gain": 0.3, "error": 0.04},
        ]},
        "repeated": None, "code": "cd" * 32, "timings": {"search": 12.5, "fit": 1.25, "export": 0.5},
    }  # fmt: skip
    difference = {
        "candidate": 0.8, "champion": 0.7, "difference": 0.0123, "lower": None, "confidence": 0.975, "rows": 120,
        "resamples": 50,
    }  # fmt: skip
    part = {"name": f"{word} is missing", "rows": 110}
    return {
        "model": word, "run": "r-0123456789ab", "version": 4, "task": task, "target": word,
        "metric": {"name": measured.name, "label": measured.label, "higher_is_better": measured.higher_is_better},
        "promote": promote,
        "reasons": [c.sentence for c in checks if not c.passed] or ["it passed every absolute check"],
        "checks": [c.to_json() for c in checks],
        "candidate": {**facts, **described},
        "comparison": champion and {
            "champion": champion, "attempt": 2, "difference": difference, "held_out_by_both": 700,
            "candidate": described, "champion_described": described,
            "slices": [{**part, "candidate": 0.6, "champion": 0.7, "lost": 0.4, "surely_lost": -0.1}],
        },
        "slices": [{**part, "value": 0.61}],
        "candidates": [
            {"candidate": "linear", "score": -0.5, "failed": ""}, {"candidate": "forest", "score": -0.25, "failed": ""},
            {"candidate": "boosting", "score": None, "failed": f"Timeout: {word}"},
        ],
        "rows": {"all": 600, "training": 480, "held_out": 120}, "partitions": ["0123456789abcdef"],
        "importance": {word: 0.2, "other": -0.01}, "curves": evaluate.curves(task, truth, answers, classes, threshold),
    }  # fmt: skip


def window(end: str, **changes: Any) -> Document:
    """A past one, as a check's report has it."""
    known = {
        "start": "2013-07-03T00:00:00+00:00", "end": end, "version": 3, "action": "note", "verdict": "drift",
        "metric": "rmse", "value": 0.6, "low": 0.5, "high": 0.7, "predictions": 200, "labelled": 150,
        "estimate": {"status": "estimated_fine", "value": 0.55, "low": 0.5, "high": 0.6}, "error": -0.05,
    }  # fmt: skip
    return {**known, **changes}


def refused(names: list[str], rows: int = 50) -> Document:
    problems = [
        {"field": key, "problem": "absent", "sentence": f"{key} is absent", "requests": 2, "rows": rows}
        for key in names
    ]
    return {"requests": 2, "rows": rows, "problems": problems, "more": 0, "others": {}}


def checked(action: str = "quiet", names: list[str] | None = None, **changes: Any) -> Document:
    known, kinds = columns(names or ["wind", "carrier"])
    now, _ = columns(names or ["wind", "carrier"], 200, shift=1.0)
    reference = profile(known, kinds)
    seen = count(reference, now)
    found = detect(Compared(reference, seen))
    measured = metric("rmse", "regression")
    actual = np.random.default_rng(1).normal(size=200)
    performance = measure(
        measured, actual, actual + 0.5, predictions=200, needed=100,
        baseline={"value": 0.4, "standard_error": 0.02}, dummy=1.0,
    )  # fmt: skip
    return {
        "model": "flights", "check": "c-0123456789ab", "version": 4,
        "window": {"start": "2013-07-04T00:00:00+00:00", "end": "2013-07-05T00:00:00+00:00"}, "predictions": 200,
        "action": action, "reason": found.sentence, "finding": "", "governor": "",
        "problems": [problem.to_json() for problem in feed_problems(reference, seen)],
        "performance": performance.to_json(), "drift": found.to_json(),
        "refusals": refused(names or ["wind"]), "windows": [window("2013-07-04T00:00:00+00:00")],
        **changes,
    }  # fmt: skip


def test_data_report_begins_with_what_was_accepted() -> None:
    shown = read(reported())
    assert "CSV, ';', UTF-8 · 2.93 MB · 10,000 rows Accepted 9,812 of 10,000 rows are accepted." in shown
    assert "Every row is accounted for: 9,812 accepted + 120 quarantined + 68 duplicates = 10,000 read." in shown


def test_account_that_does_not_add_up_says_so_and_is_not_drawn() -> None:
    shown = read(reported(account(accepted=9_000)))
    assert "does not add up: 9,000 accepted + 120 quarantined + 68 duplicates, but 10,000 rows were read" in shown
    assert "accounted for" not in shown


def test_parts_of_the_flow_are_as_thick_as_their_shares() -> None:
    drawn = str(charts.flow((100, "rows read"), [(75, "a", "pass"), (25, "b", "fail"), (0, "c", "warn")], "flow"))
    ends = [tuple(map(float, ends)) for ends in re.findall(r"M296 ([\d.]+)h4V([\d.]+)h-4z", drawn)]
    assert [low - high for high, low in ends] == pytest.approx([99, 33])


def test_refused_upload_shows_everything_that_must_be_mended_and_that_nothing_was_accepted() -> None:
    removed = finding("fail", "column 'wind' is missing", "put it back", "removed", "wind")
    refused = account(
        accepted=0, invalid=["flights.csv: too many rows", "column 'wind' is missing: put it back"], findings=[removed]
    )
    shown = read(reported(refused, profiled(dep=np.arange(5.0))))
    assert "Refused Nothing of this upload was accepted, and nothing else has changed: mend 2 things" in shown
    assert "flights.csv: too many rows. Column 'wind' is missing. Put it back." in shown
    assert shown.count("Column 'wind' is missing") == 1
    assert "0 accepted + 9,812 usable but refused + 120 quarantined + 68 duplicates = 10,000 read" in shown
    assert "5 rows of this upload that could be used" in shown


def test_file_that_is_no_table_has_a_report_that_says_so() -> None:
    bare = {key: account()[key] for key in ("source", "bytes")} | dict.fromkeys(
        ("rows_read", "accepted", "quarantined", "duplicates"), 0
    )
    lists: Document = {"reasons": [], "findings": [], "columns": [], "previous": None}
    shown = read(reported({**bare, **lists, "invalid": ["flights.csv is a PNG image: upload CSV"]}))
    assert "mend one thing and upload it again. Flights.csv" not in shown
    assert "mend one thing and upload it again. flights.csv is a PNG image: upload CSV." in shown


def test_findings_come_in_order_of_weight_each_with_what_was_done() -> None:
    found = [
        finding("note", "columns moved", "nothing changes"),
        finding("fail", "type broken", "correct it"),
        finding("warn", "unit suspected", "accepted; see whether it is right"),
    ]
    shown = read(reported(account(findings=found)))
    assert "Findings: 1 problem, 1 warning, 1 note" in shown
    assert (
        "Type broken. Correct it. Warning: range Unit suspected. Accepted; see whether it is right. Note: range Columns"
        in shown
    )


def test_verdict_names_the_one_warning_or_the_heaviest() -> None:
    one, other = finding("warn", "'a' is odd"), finding("warn", "'b' is odd")
    assert "Accepted with warnings 9,812 of 10,000 rows are accepted. 'a' is odd." in read(
        reported(account(findings=[one]))
    )
    assert "2 warnings to look at: the heaviest is that 'a' is odd." in read(reported(account(findings=[one, other])))
    assert "Accepted with warnings" not in read(reported(account(findings=[finding("note", "c is odd")])))


def test_each_column_has_its_missing_share_and_values() -> None:
    now = profiled(wind=np.array([1.0, 2.0, np.nan, 3.0]), carrier=words("UA", "UA", "AA", None))
    shown = read(reported(now=now))
    assert "wind numeric 1 3 25% missing 1 to 3 · median 2" in shown
    assert "carrier categorical UA 66.7% AA 33.3% 25% missing" in shown
    assert "before" not in shown


def test_columns_say_what_changed_since_the_previous_upload() -> None:
    before = profiled(wind=np.arange(100.0), carrier=words(*["UA"] * 50, *["AA"] * 50), dep=np.arange(100.0))
    now = profiled(wind=np.arange(100.0) + 40, carrier=words(*["UA"] * 80, *[None] * 20), dep=np.arange(100.0))
    shown = read(reported(now=now, before=before))
    assert "median 49 → 89" in shown
    assert "UA 50% → 100% 0% → 20% missing" in shown
    assert "much as before none missing 0 to 99" in shown


def test_columns_that_changed_most_come_first_after_the_target_and_those_with_warnings() -> None:
    same = np.arange(100.0)
    before = profiled(same=same, far=same, near=same, odd=same, late=same, gone=same)
    now = profiled(same=same, far=same + 80, near=same + 20, odd=same, late=same, new=same)
    told = account(
        columns=[{"name": "late", "kind": "numeric", "role": "target", "note": ""}],
        findings=[finding("warn", "column 'odd' is odd", column="odd")],
    )
    shown = read(reported(told, now, before))
    order = [
        "late numeric",
        "odd numeric",
        "gone numeric",
        "new numeric",
        "far numeric",
        "near numeric",
        "same numeric",
    ]
    assert sorted(order, key=shown.index) == order
    assert "New in this upload: new . No longer in it: gone ." in shown


def test_column_without_a_value_has_no_distribution() -> None:
    now = profiled(
        wind=np.array([np.nan, np.nan]), when=np.array(["NaT"] * 2, dtype="datetime64[us]"), carrier=words(None, None)
    )
    assert read(reported(now=now)).count("no value 100% missing") == 3
    before = profiled(wind=np.array([1.0, 2.0]), when=np.array(["2013-07-04"], dtype="datetime64[us]"))
    shown = read(reported(now=now, before=before))
    assert "1 2 had values before 0% → 100% missing" in shown
    assert "4 Jul 2013, 00:00 4 Jul 2013, 00:00 had values before 0% → 100% missing" in shown


def test_upload_without_a_row_is_drawn() -> None:
    empty = profiled(wind=np.array([]), carrier=words())
    assert "no rows" in read(reported(account(rows_read=0, accepted=0, quarantined=0, duplicates=0), empty, empty))


@pytest.mark.parametrize(
    ("now", "before"),
    [
        (np.random.default_rng(2).lognormal(size=5_000), np.random.default_rng(3).lognormal(1.0, 0.5, 300)),
        (np.array([0.0] * 49_900 + list(range(1, 200))), np.arange(50.0)),
        (np.array([*np.linspace(0, 1, 500), 1e300, -1e300]), np.ones(9)),
        (np.arange(5.0), np.arange(3.0, 7.0)),
        (np.ones(3), np.ones(2)),
        (np.round(np.arange(37) * 1.15078, 2), np.round(np.arange(3) * 1.15078, 2)),
    ],
    ids=["skewed", "one heavy value", "two extremes", "few values", "one value", "steps that are not whole"],
)
def test_both_uploads_lie_on_the_same_bins_which_hold_every_row(now: Any, before: Any) -> None:
    columns = [profile({"x": values}, {"x": "numeric"}).columns["x"] for values in (now, before)]
    both = [column for column in columns if isinstance(column, NumericProfile)]
    edges = common_bins(both)
    assert edges is not None
    assert all(sum(heights_in(column, edges)) == pytest.approx(1.0) for column in both)
    assert all(edges[0] <= column.quantile(0.01) and column.quantile(0.99) <= edges[-1] for column in both)


def test_values_an_even_step_apart_fill_their_bins_evenly() -> None:
    column = profile({"x": np.tile(np.arange(0.0, 370, 10), 9)}, {"x": "numeric"}).columns["x"]
    assert isinstance(column, NumericProfile)
    edges = common_bins([column])
    assert edges is not None
    assert heights_in(column, edges)[:-1] == pytest.approx([2 / 37] * 18)


def test_range_that_no_float_can_tell_is_not_drawn() -> None:
    shown = read(reported(now=profiled(x=np.tile([1e308, -1e308], 50))))
    assert "too wide a range to draw" in shown


def test_overlaid_distributions_share_their_scale() -> None:
    drawn = str(charts.histograms([0.5, 0.5], [1.0, 0.0], "x"))
    assert '<path d="M0 64V2.0H150.0V64.0H300.0V64" class="past">' in drawn
    assert '<path d="M0 64V33.0H150.0V33.0H300.0V64" class="curve thin now">' in drawn


def test_ranges_of_dates_lie_on_one_axis() -> None:
    drawn = str(charts.spans((50.0, 100.0), (0.0, 50.0), "x"))
    assert "M150.0 12H300.0v14H150.0z" in drawn
    assert "M0.0 36H150.0v14H0.0z" in drawn


def test_levels_beyond_the_largest_are_one_line() -> None:
    levels = words(*(f"level {i}" for i in range(20) for _ in range(20 - i)))
    assert "15 others 57.1%" in read(reported(now=profiled(x=levels)))


def test_reasons_are_ranked_with_their_first_example() -> None:
    reasons = [reason("", "has 7 fields where the header has 19", 3, "a,b", None), reason("dep", "is not a date", 50)]
    shown = read(reported(account(reasons=reasons, more_reasons=4)))
    assert "dep is not a date 50 line 38 soon" in shown
    assert "the whole row has 7 fields where the header has 19 3 row 37 a,b" in shown
    assert shown.index("is not a date") < shown.index("has 7 fields")
    assert "4 rarer reasons not shown" in shown


def test_quarantined_values_are_shown_by_line_with_their_reason() -> None:
    found = [
        {"row": 21, "line": 25, "column": "", "value": "", "reason": "is cut off"},
        {"row": 17, "line": 19, "column": "dep", "value": "soon", "reason": "is not a date"},
    ]
    assert "19 dep soon is not a date 25 the whole row empty is cut off" in read(reported(quarantine=found))
    unlined = [{**entry, "line": None} for entry in found]
    assert "Row Column Value Reason 17 dep soon is not a date" in read(reported(quarantine=unlined))


def test_columns_that_are_not_learned_from_say_why() -> None:
    left_out = [
        {"name": "flight", "kind": "categorical", "role": "id", "note": ""},
        {"name": "gate", "kind": "categorical", "role": "unused", "note": "no value in any row"},
        {"name": "dep", "kind": "numeric", "role": "feature", "note": ""},
    ]
    shown = read(reported(account(columns=left_out)))
    assert "2 columns not learned from" in shown
    assert (
        "flight id names the row; a model that learned it would learn nothing. gate unused no value in any row."
        in shown
    )


def test_two_thousand_columns_and_findings_are_capped_and_the_page_says_so() -> None:
    values, kinds = columns([f"c{i}" for i in range(2_000)], rows=30)
    described = profile(values, kinds).to_json()
    found = [finding("note", f"column 'c{i}' is odd", column=f"c{i}") for i in range(2_000)]
    html = reported(account(findings=found), described, described)
    assert "1,800 more, which changed less, are not drawn." in read(html)
    assert "1,700 more are in account.json." in read(html)
    assert len(html) < 1_000_000


def test_promoted_version_names_the_one_that_it_replaces() -> None:
    shown = read(evaluation.render(judged(champion=3)))
    assert "Version 4 passed every check and replaces version 3." in shown
    assert "Against version 3" in shown
    assert "120 the newest of 700 that neither was trained on" in shown


def test_what_old_rows_are_worth_is_shown_where_some_are_newer() -> None:
    shown = read(evaluation.render(judged(champion=3)))
    assert "all 480 0.4 the newest 120 0.7 +0.3 ± 0.04 chosen" in shown
    assert "Old rows" not in read(evaluation.render(judged()))


def test_first_version_has_no_comparison() -> None:
    shown = read(evaluation.render(judged()))
    assert "is the first to serve" in shown
    assert "Against" not in shown


def test_rejected_version_says_which_check_failed_and_who_keeps_serving() -> None:
    shown = read(evaluation.render(judged(promote=False, champion=3)))
    assert "Version 4 failed 1 of 2 checks: version 3 keeps serving. plain: half of what it learned is lost." in shown


def test_candidates_are_ranked_in_the_metric_s_own_unit_and_the_failed_one_says_why() -> None:
    shown = read(evaluation.render(judged("regression")))
    assert "forest 0.25 chosen linear 0.5 boosting – Timeout: plain" in shown


@pytest.mark.parametrize(
    ("task", "drawn"),
    [
        ("binary", ["ROC", "Precision and recall", "Calibration", "Confusion"]),
        ("multiclass", ["Most frequent mistakes"]),
        ("regression", ["Predicted against actual", "Residuals"]),
    ],
)
def test_every_task_has_its_curves(task: str, drawn: list[str]) -> None:
    shown = read(evaluation.render(judged(task)))
    assert all(title in shown for title in drawn)


@pytest.mark.parametrize(
    ("action", "says"),
    [
        ("quiet", "Nothing in this window calls for action."),
        ("note", "Something has changed"),
        ("quarantine", "Repair the feed"),
        ("retrain", "a retrain was started"),
    ],
)
def test_drift_report_begins_with_what_was_decided(action: str, says: str) -> None:
    assert says in read(drift.render(checked(action)))


def test_what_somebody_looked_at_is_not_said_to_be_kept_from_learning() -> None:
    says = "Repair the feed: nothing is learned from this window."
    assert says in read(drift.render(checked("quarantine")))
    assert says not in read(drift.render(checked("quarantine", by_hand=True)))


def test_retrain_that_the_governor_stopped_is_not_called_started() -> None:
    shown = read(drift.render(checked("note", governor="a run of this model is under way")))
    assert "A retrain is called for, and none was started." in shown


@pytest.mark.parametrize(
    ("finding", "says"),
    [
        ("nothing new", "A retrain is called for, and there is nothing new to learn from."),
        ("too little new", "A retrain is called for, and there is too little new to learn from."),
        ("harmless drift", "Something has changed; nothing needs to be done yet."),
    ],
)
def test_retrain_that_has_too_little_to_learn_from_is_called_for_in_the_headline(finding: str, says: str) -> None:
    assert f"Note {says}" in read(drift.render(checked("note", finding=finding)))


def test_window_without_rows_says_that_nothing_is_known() -> None:
    unjudged = {**checked()["performance"], "status": "insufficient_labels", "value": None, "low": None, "loss": None}
    shown = read(drift.render(checked(drift=None, performance=unjudged, reason="no predictions", windows=[])))
    assert "too little data in this window to say anything" in shown
    assert "Columns" not in shown


def test_each_past_window_is_in_one_table_with_its_decision_and_its_performance() -> None:
    unlabelled = {"value": None, "low": None, "high": None, "labelled": 0, "error": None}
    past = [
        window("2013-07-04T00:00:00+00:00"),
        window("2013-07-03T00:00:00+00:00", action="quarantine", verdict="insufficient_data", **unlabelled),
    ]
    shown = read(drift.render(checked(windows=past)))
    assert "4 Jul 2013, 00:00 3 note drift 0.6 0.5 to 0.7 150 75% of predictions 0.55 0.5 to 0.6 −0.05" in shown
    assert "3 Jul 2013, 00:00 3 quarantine too few rows – 0" in shown
    assert shown.count("4 Jul 2013, 00:00 3") == 1


def test_how_good_estimates_were_is_told_where_both_are_known() -> None:
    past = [
        window("2013-07-04T00:00:00+00:00"),
        window("2013-07-03T00:00:00+00:00", value=0.7, error=-0.15),
        window("2013-07-02T00:00:00+00:00", value=None, error=None),
    ]
    shown = read(drift.render(checked(windows=past)))
    assert "Windows with both: 2; measured within the estimate's limits: 1; mean error: 0.1." in shown


def test_every_version_and_retrain_in_the_time_shown_is_marked() -> None:
    marks = [
        {"at": "2013-07-04T03:00:00+00:00", "what": "retrain"},
        {"at": "2013-07-04T09:00:00+00:00", "what": "version 4"},
    ]
    drawn = drift.render(checked("retrain", marks=marks))
    assert re.findall(r">(retrain|version \d)</text>", drawn) == ["retrain", "version 4", "retrain"]
    assert "</text>" in drift.render(checked())
    assert not re.findall(r">(retrain|version \d)</text>", drift.render(checked()))


def test_rows_that_were_refused_are_told_by_field_and_problem() -> None:
    shown = read(drift.render(checked(refusals={**refused(["wind"]), "more": 3, "others": {"3": 7}})))
    assert "50 of 250 rows (20%), in 2 requests." in shown
    assert "up to 3 problems more are not listed" in shown
    assert "7 rows were refused by version 3: not counted here." in shown
    assert "wind is absent. 2 50" in shown


def test_a_window_without_refusals_says_nothing_of_them() -> None:
    nothing = {"requests": 0, "rows": 0, "problems": [], "more": 0, "others": {}}
    assert "Refused" not in read(drift.render(checked(refusals=nothing)))


def test_drifted_columns_come_first_with_effect_and_p() -> None:
    shown = read(drift.render(checked(names=["a", "carrier", "wind"])))
    assert shown.index("wind numeric drifted") < shown.index("carrier categorical")
    assert "K-S distance 0.4" in shown


def test_each_column_has_the_course_of_its_effect_against_its_threshold() -> None:
    past = {"wind": {"ks": [0.01, None, 0.03, 0.4]}, "carrier": {"levels": [None, None, None, 0.01]}}
    effects = {"ends": ["1", "2", "3", "4"], "columns": {"feature": past}}
    html = drift.render(checked(effects=effects))
    assert html.count("K-S distance in 3 windows") == 1
    assert "total variation in" not in html
    assert "The line is the effect in 4 windows, the dashed one its threshold." in read(html)
    assert "The line is the effect" not in read(drift.render(checked()))


def test_the_course_of_an_effect_has_gaps_and_its_threshold_at_its_height() -> None:
    drawn = str(charts.course([0.0, None, 0.1, 0.2], 0.1, "course"))
    limit, line = re.findall(r'd="(M[^"]+)"', drawn)
    heights = [float(place.split()[1]) for place in re.split("[ML]", line)[1:]]
    assert line.count("M") == 2
    assert heights[1] == float(re.findall(r"M0 ([\d.]+)H", limit)[0])
    assert heights[0] > heights[1] > heights[2]


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_data_is_only_ever_text(word: str) -> None:
    values, kinds = columns([f"{word}1", f"{word}2"])
    described = profile(values, kinds).to_json()
    found = [{"row": 1, "line": 2, "column": word, "value": word * 50, "reason": word}]
    for invalid in ([], [word, f"{word}: {word}"]):
        told = account(
            source=word, description=word, reasons=[reason(word, word, 1, word)], invalid=invalid,
            findings=[finding(weight, word, word, word, f"{word}1") for weight in ("note", "warn", "fail")],
            columns=[{"name": word, "kind": word, "role": role, "note": word} for role in ("target", "id", "unused")],
        )  # fmt: skip
        read(reported(told, described, profile(columns([word])[0], columns([word])[1]).to_json(), found))
        read(reported(told, described, described, found))
    for task in ("binary", "multiclass", "regression"):
        read(evaluation.render(judged(task, promote=False, champion=3, word=word)))
    problem = {"column": word, "kind": word, "sentence": word, "broken": True}
    read(drift.render(checked(word, [f"{word}1", f"{word}2"], model=word, reason=word, problems=[problem])))


def test_page_forbids_itself_to_run_or_load_anything() -> None:
    html = drift.render(checked())
    assert """content="default-src 'none'; style-src 'unsafe-inline'">""" in html
    assert "http:" not in html
    assert "https:" not in html


def test_five_hundred_columns_with_long_names_stay_below_a_megabyte() -> None:
    names = [f"{'n' * 60}{i}" for i in range(500)]
    values, kinds = columns(names)
    described = profile(values, kinds).to_json()
    assert len(reported(now=described, before=described)) < 1_000_000
    assert len(drift.render(checked(names=names))) < 1_000_000


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_what_is_not_known_is_a_dash(nothing: float | None) -> None:
    assert number(nothing) == percent(nothing) == "–"
    assert finite(nothing) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"),
        (-0.0, "0"),
        (0.123456, "0.1235"),
        (-2.5, "−2.5"),
        (12345.6, "12,346"),
        (1.2e-7, "1.2e−07"),
        (3e12, "3e+12"),
    ],
)
def test_numbers_are_written_for_people(value: float, shown: str) -> None:
    assert number(value) == shown


def test_bytes_are_written_for_people() -> None:
    assert [size(n) for n in (88, 10_700, 2_934_567, 4e9, None)] == ["88 bytes", "10.7 kB", "2.93 MB", "4 GB", "–"]


def test_time_that_cannot_be_read_is_shown_as_it_is() -> None:
    assert moment("2013-07-04T18:30:00+00:00") == "4 Jul 2013, 18:30"
    assert moment("soon") == "soon"


def test_ticks_are_round_and_inside_the_range() -> None:
    assert charts.ticks(0.0, 1.0) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert charts.ticks(-130.0, 97.0) == [-100.0, -50.0, 0.0, 50.0]
    assert charts.ticks(2.0, 2.0) == charts.ticks(0.0, math.inf) == []


def test_markup_is_kept_and_text_is_escaped() -> None:
    assert tag("p", tag("b", "a < b"), title='"') == '<p title="&quot;"><b>a &lt; b</b></p>'
    assert text("x" * 9, 4) == "xxx…"
    assert 'title="' + "n" * 300 in name("n" * 300)


def test_what_only_looks_odd_is_not_called_a_broken_feed() -> None:
    odd = {"column": "wind", "kind": "missing", "sentence": "wind is missing", "harmless": True, "broken": False}
    html = drift.render(checked("note", problems=[odd]))
    assert "Oddities of the feed" in html
    assert "Broken feed" not in html
    both = drift.render(checked("quarantine", problems=[odd, {**odd, "column": "carrier", "broken": True}]))
    assert "No change of the world explains the first 1." in both
    assert both.index('<span class="badge fail">missing') < both.index('<span class="badge calm">missing')
