from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import NormalDist
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt
import pytest

from tidemill.flows.performance import Version
from tidemill.schema import Schema
from tidemill.spec import parse_spec
from tidemill.stages.bootstrap import interval
from tidemill.stages.estimate import learn
from tidemill.stages.labels import Joined
from tidemill.stages.metrics import METRICS
from tidemill.stages.performance import (
    Measured,
    Performance,
    Together,
    confidence_of_a_look,
    deciding,
    measure,
    spread,
)

AUC, ACCURACY, RMSE = METRICS["roc_auc"], METRICS["accuracy"], METRICS["rmse"]
Array = npt.NDArray[np.float64]


def answers(rows: int, quality: float, seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, rows).astype(float)
    positive = 1 / (1 + np.exp(-(quality * (truth - 0.5) + rng.normal(size=rows))))
    return truth, np.column_stack([1 - positive, positive])


BASELINE = interval(AUC, *answers(2_000, 1.5, 0), seed=1).to_json()


def now(rows: int, quality: float, seed: int = 1, needed: int = 100) -> Performance:
    truth, prediction = answers(rows, quality, seed)
    return measure(AUC, truth, prediction, predictions=2 * rows, needed=needed, baseline=BASELINE, dummy=0.5)


def test_without_enough_labels_nothing_is_said_about_the_model() -> None:
    found = now(99, 0.0)
    assert (found.status, found.value, found.loss) == ("insufficient_labels", None, None)
    assert found.sentence == "99 of 198 predictions have labels, and 100 are needed to judge"


def test_a_model_as_good_as_its_evaluation_is_fine() -> None:
    found = now(500, 1.5)
    assert found.status == "fine"
    assert found.sentence.endswith("no drop that matters")
    assert found.low is not None
    assert found.high is not None
    assert found.value is not None
    assert found.low < found.value < found.high


def test_a_drop_is_told_with_what_of_the_learned_is_lost() -> None:
    found = now(500, 0.5)
    assert found.status == "dropped"
    assert found.loss is not None
    assert found.loss > 0.3
    assert found.sentence.endswith(f"{found.loss:.0%} of what it had learned is lost")


def test_a_model_that_got_better_has_not_dropped() -> None:
    assert now(500, 3.0).status == "fine"


def test_a_sure_but_small_drop_does_not_matter() -> None:
    sure = BASELINE | {"standard_error": 1e-6}
    truth, prediction = answers(60_000, 1.44, 3)
    found = measure(AUC, truth, prediction, predictions=1, needed=1, baseline=sure, dummy=0.5)
    assert found.loss is not None
    assert 0 < found.loss < 0.05
    assert found.status == "fine"


def test_false_drops_are_rare() -> None:
    dropped = sum(now(300, 1.5, seed).status == "dropped" for seed in range(100, 140))
    assert dropped <= 2


HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.mark.parametrize(
    ("every", "window", "confidence"),
    [(DAY, DAY, 0.995), (7 * DAY, DAY, 0.995), (HOUR, DAY, 1 - 0.005 / 24), (HOUR, 7 * DAY, 1 - 0.005 / 168)],
)
def test_the_error_is_spent_over_the_looks_that_a_window_gets(
    every: timedelta, window: timedelta, confidence: float
) -> None:
    assert confidence_of_a_look(every, window, 1) == pytest.approx(confidence, abs=1e-12)
    assert 1 - confidence_of_a_look(every, window, 2) == pytest.approx((1 - confidence) / 2, abs=1e-12)


def test_of_windows_that_slide_a_month_has_hardly_more_false_drops_than_of_windows_side_by_side() -> None:
    """What a look sees is the mean of a day's errors, hour by hour: 2,000 months of a model that is as good as ever."""
    hourly = np.random.default_rng(5).normal(size=(2_000, 24 * 31))
    sums = np.cumsum(np.pad(hourly, ((0, 0), (1, 0))), axis=1)
    looks = (sums[:, 24:] - sums[:, :-24]) / np.sqrt(24)

    def months_with_a_drop(seen: Array, confidence: float) -> float:
        return float((seen > NormalDist().inv_cdf(confidence)).any(axis=1).mean())

    side_by_side = months_with_a_drop(looks[:, ::24], 0.995)
    three_days = (sums[:, 72:] - sums[:, :-72]) / np.sqrt(72)
    both = np.hstack([looks, three_days])
    assert months_with_a_drop(both, 0.995) > 3 * side_by_side
    assert months_with_a_drop(both, confidence_of_a_look(HOUR, DAY, 2)) <= side_by_side


def version(monitor: str) -> Version:
    schema = Schema((), "binary", ("no", "yes"))
    evaluation: dict[str, Any] = {
        "metric": {"name": "roc_auc"},
        "candidate": {"interval": BASELINE, "dummy": 0.5, "threshold": 0.5},
    }
    table = learn(AUC, "binary", *answers(2_000, 1.5, 0), 0.5)
    spec = parse_spec(f'target = "y"\n[monitor]\n{monitor}')
    return Version("m", 1, schema, spec, evaluation, table, cast("timedelta", spec.monitor.window))


def test_a_drop_that_one_look_would_call_is_not_called_where_there_are_many() -> None:
    truth, said = answers(500, 1.1, 1)
    joined = Joined(truth, said, 500)
    assert version('every = "1 day"').measure(joined, 0.0).status == "dropped"
    assert version('every = "1 hour"').measure(joined, 0.0).status == "fine"


def test_an_estimated_drop_is_asked_as_surely_as_a_measured_one() -> None:
    """Answers that are less and less sure, until one look would call it."""
    said = answers(1_000, 1.5, 3)[1]
    daily, hourly = version('every = "1 day"'), version('every = "1 hour"')
    found = []
    for less in np.linspace(1, 0.9, 6):
        odds = less * np.log(said[:, 1] / said[:, 0])
        unsure = np.column_stack([1 / (1 + np.exp(odds)), 1 / (1 + np.exp(-odds))])
        found.append((daily.estimate(unsure).status, hourly.estimate(unsure).status))
    assert ("estimated_drop", "estimated_fine") in found
    assert ("estimated_fine", "estimated_drop") not in found


def test_an_error_that_grew_is_a_drop() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=1_000)
    baseline = interval(RMSE, truth, truth + rng.normal(0, 0.5, 1_000), seed=1).to_json()
    for noise, status in ((0.5, "fine"), (0.9, "dropped")):
        prediction = truth + rng.normal(0, noise, 1_000)
        found = measure(RMSE, truth, prediction, predictions=1_000, needed=10, baseline=baseline, dummy=1.0)
        assert found.status == status


def test_a_perfect_model_that_stays_perfect_is_fine() -> None:
    truth = np.arange(200.0) % 2
    perfect = np.eye(2)[truth.astype(int)]
    baseline = interval(ACCURACY, truth, perfect, seed=1).to_json()
    found = measure(ACCURACY, truth, perfect, predictions=200, needed=100, baseline=baseline, dummy=0.5)
    assert (found.status, found.loss) == ("fine", 0)
    wrong = measure(ACCURACY, truth, perfect[:, ::-1], predictions=200, needed=100, baseline=baseline, dummy=0.5)
    assert wrong.status == "dropped"


@pytest.mark.parametrize("baseline", [{"value": None, "standard_error": None}, {"value": 0.4, "standard_error": 0.1}])
def test_what_cannot_be_compared_is_unsaid(baseline: dict[str, float | None]) -> None:
    truth, prediction = answers(200, 1.0, 0)
    found = measure(AUC, truth, prediction, predictions=200, needed=10, baseline=baseline, dummy=0.5)
    assert found.status == "insufficient_labels"
    assert "cannot be computed on the 200 labelled rows" in found.sentence


def test_labels_of_one_class_only_say_nothing() -> None:
    _, prediction = answers(200, 1.0, 0)
    found = measure(AUC, np.ones(200), prediction, predictions=200, needed=10, baseline=BASELINE, dummy=0.5)
    assert found.status == "insufficient_labels"


@pytest.mark.parametrize(("spread", "error"), [(2.0, 1.0), (0.5, 0.5)])
def test_a_window_of_another_spread_alone_is_no_drop(spread: float, error: float) -> None:
    """Twice the spread with twice the error, and half the spread with the error as it was."""
    rng = np.random.default_rng(3)

    def rows(spread: float, error: float) -> tuple[Array, Array]:
        prediction = rng.normal(0, spread, 5_000)
        return prediction + rng.normal(0, error, 5_000), prediction

    truth, prediction = rows(1.0, 0.5)
    evaluated = interval(RMSE, truth, prediction, seed=1).to_json()
    dummy = float(np.std(truth))
    same = {"predictions": 5_000, "needed": 100, "baseline": evaluated, "dummy": dummy}
    assert measure(RMSE, *rows(spread, error), **same).status == "fine"  # type: ignore[arg-type]
    assert measure(RMSE, *rows(1.0, 0.7), **same).status == "dropped"  # type: ignore[arg-type]


Status = Literal["insufficient_labels", "fine", "dropped"]
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def past(days: int, status: Status, *, broken: bool = False) -> Measured:
    found = replace(now(500, 1.5), status=status, sentence=f"it {status}")
    return Measured(NOON - (days + 1) * DAY, NOON - days * DAY, found, broken)


UNLABELLED = now(10, 1.5)


def test_of_a_window_with_enough_labels_its_own_performance_decides() -> None:
    assert deciding(now(500, 1.5), [past(1, "dropped")]) == now(500, 1.5)


def test_without_enough_labels_the_newest_window_that_has_them_decides_and_is_named() -> None:
    found = deciding(UNLABELLED, [past(1, "insufficient_labels"), past(2, "dropped"), past(3, "fine")])
    assert found.status == "dropped"
    window = "2026-11-22 12:00 to 2026-11-23 12:00 UTC"
    assert found.sentence == f"in the window of {window}, whose labels came late, it dropped"


def test_a_drop_that_a_later_window_does_not_have_is_over() -> None:
    assert deciding(UNLABELLED, [past(1, "fine"), past(2, "dropped")]) == UNLABELLED


def test_a_past_window_that_was_fine_says_nothing_of_this_one() -> None:
    assert deciding(UNLABELLED, [past(1, "fine")]) == UNLABELLED


def test_a_window_whose_feed_was_broken_decides_nothing() -> None:
    assert deciding(UNLABELLED, [past(1, "dropped", broken=True)]) == UNLABELLED


def test_windows_that_are_judged_together_are_named() -> None:
    found = Together(3, NOON - 4 * DAY, NOON, replace(now(1_500, 0.5), sentence="it dropped"))
    assert found.dropped
    window = "2026-11-21 12:00 to 2026-11-25 12:00 UTC"
    assert found.sentence == f"over the 3 newest windows with labels, {window}, it dropped"


def known(value: float, half: float = 0.05) -> Performance:
    return Performance("fine", "roc_auc", 100, 100, 50, "", value, value - half, value + half)


def test_windows_that_differ_by_more_than_chance_have_a_spread() -> None:
    values = np.random.default_rng(3).normal(0.7, 0.1, 30)
    assert spread([known(value) for value in values]) == pytest.approx(0.1, abs=0.03)
    assert spread([known(value, 0.5) for value in values]) == 0.0
    assert spread([known(value) for value in values[:4]]) == 0.0
    nothing = Performance("insufficient_labels", "roc_auc", 9, 0, 50, "")
    assert spread([nothing] * 30) == 0.0


def test_a_drop_that_stays_is_no_spread() -> None:
    rng = np.random.default_rng(3)
    before = [known(value, 0.04) for value in rng.normal(0.7, 0.03, 15)]
    natural = spread(before)
    for days in (1, 5, 10, 30):
        dropped = [known(value, 0.04) for value in rng.normal(0.55, 0.03, days)]
        assert spread([*before, *dropped]) < natural + 0.03


def test_a_drop_within_what_windows_differ_by_anyway_is_none() -> None:
    truth, said = answers(500, 1.1, 1)
    joined = Joined(truth, said, 500)
    daily = version('every = "1 day"')
    assert daily.measure(joined, 0.0).status == "dropped"
    found = daily.measure(joined, 0.2)
    assert (found.status, found.between) == ("fine", 0.2)
