"""Reports: what they say first, and that no data can become anything but text."""

import math
from dataclasses import asdict
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from tidemill.profile import profile
from tidemill.reports import charts, drift, evaluation, prepare
from tidemill.reports.page import finite, moment, name, number, percent, tag, text
from tidemill.stages import evaluate
from tidemill.stages.drift import detect
from tidemill.stages.feed import feed_problems
from tidemill.stages.gate import Check
from tidemill.stages.metrics import metric
from tidemill.stages.performance import measure

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
    *("svg", "path", "circle", "rect", "text", "details", "summary"),
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
    told = {"source": "flights.csv", "rows_read": 10_000, "accepted": 9_812, "quarantined": 120, "duplicates": 68}
    return {**told, "reasons": {"column 'dep' is not a number": 120}, "warnings": [], **changes}


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
    described = evaluate.describe(measured, task, truth, answers)
    checks = [Check("beats_dummy", True, 0.2, 0.0, "it beats a model without features")]
    if not promote:
        checks.append(Check("overfit_gap", False, 0.5, 0.25, f"{word}: half of what it learned is lost"))
    trial = {"params": {"depth": 3, "kind": word}, "scores": [0.7, 0.8, None]}
    facts = {
        "candidate": "forest", "metric": measured.name, "params": trial["params"], "cross_validated": 0.75,
        "scores": trial["scores"], "dummy": 0.5, "training": None, "trials": [trial], "complete": False, "rows": 480,
        "parity": {"rows": 120, "largest": 0.0, "beyond": 0}, "digests": {"model.onnx": "ab" * 32},
        "libraries": {"numpy": "2.3.0"},
    }  # fmt: skip
    difference = {"difference": 0.0123, "lower": None, "confidence": 0.975, "rows": 120}
    return {
        "model": word, "run": "r-0123456789ab", "version": 4, "task": task, "target": word,
        "metric": {"name": measured.name, "label": measured.label, "higher_is_better": measured.higher_is_better},
        "promote": promote,
        "reasons": [c.sentence for c in checks if not c.passed] or ["it passed every absolute check"],
        "checks": [c.to_json() for c in checks],
        "candidate": {**facts, **described},
        "comparison": champion and {
            "champion": champion, "attempt": 2, "difference": difference,
            "candidate": described, "champion_described": described,
        },
        "candidates": [
            {"candidate": "linear", "score": -0.5, "failed": ""}, {"candidate": "forest", "score": -0.25, "failed": ""},
            {"candidate": "boosting", "score": None, "failed": f"Timeout: {word}"},
        ],
        "rows": {"all": 600, "training": 480, "held_out": 120}, "partitions": ["0123456789abcdef"],
        "importance": {word: 0.2, "other": -0.01}, "curves": evaluate.curves(task, truth, answers, classes),
    }  # fmt: skip


def checked(action: str = "quiet", names: list[str] | None = None, **changes: Any) -> Document:
    known, kinds = columns(names or ["wind", "carrier"])
    now, _ = columns(names or ["wind", "carrier"], 200, shift=1.0)
    reference = profile(known, kinds)
    found = detect(reference, now)
    measured = metric("rmse", "regression")
    actual = np.random.default_rng(1).normal(size=200)
    performance = measure(
        measured, actual, actual + 0.5, predictions=200, needed=100,
        baseline={"value": 0.4, "standard_error": 0.02}, dummy=1.0,
    )  # fmt: skip
    return {
        "model": "flights", "check": "c-0123456789ab", "version": 4,
        "window": {"start": "2013-07-04T00:00:00+00:00", "end": "2013-07-05T00:00:00+00:00"}, "predictions": 200,
        "action": action, "reason": found.sentence, "governor": "",
        "problems": [asdict(problem) for problem in feed_problems(reference, now)],
        "performance": performance.to_json(), "drift": found.to_json(),
        "history": [{"end": "2013-07-04T00:00:00+00:00", "action": "note", "verdict": "drift", "value": None}],
        **changes,
    }  # fmt: skip


def test_data_report_begins_with_what_was_accepted() -> None:
    shown = read(prepare.render(account(), None, quarantine=[]))
    assert "9,812 of 10,000 rows accepted; 120 quarantined, 68 duplicates." in shown
    assert "Every row is accounted for: 9,812 + 120 + 68 = 10,000 rows read." in shown


def test_account_that_does_not_add_up_says_so() -> None:
    shown = read(prepare.render(account(accepted=9_000), None, quarantine=[]))
    assert "does not add up: 9,000 + 120 + 68 = 9,188, but 10,000 rows were read" in shown


def test_refused_upload_shows_everything_that_must_be_mended() -> None:
    refused = account(accepted=0, invalid=["column 'late' is missing", "flights.csv has no rows"])
    shown = read(prepare.render(refused, None, quarantine=[]))
    assert "Refused" in shown
    assert "Column 'late' is missing. flights.csv has no rows." in shown
    assert "accounted for" not in shown


def test_each_accepted_column_has_its_missing_share_and_values() -> None:
    values = {"wind": np.array([1.0, 2.0, np.nan, 3.0]), "carrier": np.array(["UA", "UA", "AA", None], dtype=object)}
    described = profile(values, {"wind": "numeric", "carrier": "categorical"}).to_json()
    shown = read(prepare.render(account(), described, quarantine=[]))
    assert "wind numeric 25%" in shown
    assert "1 to 3 mean 2" in shown
    assert "UA 66.7% · AA 33.3%" in shown


def test_column_without_a_value_has_no_distribution() -> None:
    values = {"wind": np.array([np.nan, np.nan]), "when": np.array(["NaT"], dtype="datetime64[us]")}
    described = profile(values, {"wind": "numeric", "when": "datetime"}).to_json()
    assert read(prepare.render(account(), described, quarantine=[])).count("no value") == 2


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(2).lognormal(size=5_000),
        np.array([0.0] * 49_900 + list(range(1, 200))),
        np.array([*np.linspace(0, 1, 500), 1e308, -1e308]),
        np.arange(5.0),
    ],
    ids=["skewed", "one heavy value", "two extremes", "few values"],
)
def test_distribution_of_a_number_holds_every_row(values: Any) -> None:
    column = profile({"x": values}, {"x": "numeric"}).to_json()["columns"]["x"]
    assert sum(prepare.even_bins(column)) == pytest.approx(len(values))


def test_quarantined_values_are_shown_with_row_and_reason() -> None:
    found = [{"row": 17, "column": "dep", "value": "soon", "reason": "is not a date"}]
    assert "17 dep soon is not a date" in read(prepare.render(account(), None, quarantine=found))


def test_promoted_version_names_the_one_that_it_replaces() -> None:
    shown = read(evaluation.render(judged(champion=3)))
    assert "Version 4 passed every check and replaces version 3." in shown
    assert "Against version 3" in shown


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


def test_retrain_that_the_governor_stopped_is_not_called_started() -> None:
    shown = read(drift.render(checked("note", governor="a run of this model is under way")))
    assert "A retrain is called for, and none was started." in shown


def test_window_without_rows_says_that_nothing_is_known() -> None:
    unjudged = {**checked()["performance"], "status": "insufficient_labels", "value": None, "low": None, "loss": None}
    shown = read(drift.render(checked(drift=None, performance=unjudged, reason="no predictions", history=[])))
    assert "too little data in this window to say anything" in shown
    assert "Columns" not in shown


def test_drifted_columns_come_first_with_effect_and_p() -> None:
    shown = read(drift.render(checked(names=["a", "carrier", "wind"])))
    assert shown.index("wind numeric drifted") < shown.index("carrier categorical")
    assert "K-S distance 0.4" in shown


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_data_is_only_ever_text(word: str) -> None:
    values, kinds = columns([f"{word}1", f"{word}2"])
    told = account(source=word, reasons={word: 1}, warnings=[word], invalid=[word])
    found = [{"row": 1, "column": word, "value": word * 50, "reason": word}]
    read(prepare.render(told, profile(values, kinds).to_json(), quarantine=found))
    for task in ("binary", "multiclass", "regression"):
        read(evaluation.render(judged(task, promote=False, champion=3, word=word)))
    problem = {"column": word, "kind": word, "sentence": word}
    read(drift.render(checked(word, [f"{word}1", f"{word}2"], model=word, reason=word, problems=[problem])))


def test_page_forbids_itself_to_run_or_load_anything() -> None:
    html = drift.render(checked())
    assert """content="default-src 'none'; style-src 'unsafe-inline'">""" in html
    assert "http:" not in html
    assert "https:" not in html


def test_five_hundred_columns_with_long_names_stay_below_a_megabyte() -> None:
    names = [f"{'n' * 60}{i}" for i in range(500)]
    values, kinds = columns(names)
    assert len(prepare.render(account(), profile(values, kinds).to_json(), quarantine=[])) < 1_000_000
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
