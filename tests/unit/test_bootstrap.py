"""The paired bootstrap: reproducible, oriented, silent where it cannot say, right as often as it says."""

import json
import math
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from tidemill.stages.bootstrap import interval, of_folds, paired_difference
from tidemill.stages.metrics import METRICS

Array = npt.NDArray[Any]


def scored(rng: np.random.Generator, rows: int, *, share: float = 0.3, lift: float = 0.0) -> tuple[Array, ...]:
    """Truth, and two models' probabilities with half of their noise in common; `lift` is the first one's."""
    truth = (rng.random(rows) < share).astype(np.int64)
    common = rng.normal(size=rows)

    def model(signal: float) -> Array:
        logit = signal * (truth - 0.5) + 0.7 * common + 0.7 * rng.normal(size=rows)
        positive = 1 / (1 + np.exp(-logit))
        return np.column_stack([1 - positive, positive])

    return truth, model(1.2 + lift), model(1.2)


def test_a_better_candidate_has_a_lower_bound_above_zero() -> None:
    rows = scored(np.random.default_rng(1), 3000, lift=0.8)
    result = paired_difference(METRICS["roc_auc"], *rows, seed=1, confidence=0.975, resamples=500)
    assert 0 < result.lower < result.difference == pytest.approx(result.candidate - result.champion)
    assert (result.rows, result.resamples, result.undefined) == (3000, 500, 0)


@pytest.mark.parametrize("name", ["log_loss", "brier", "roc_auc", "accuracy"])
def test_a_positive_difference_means_better_whatever_the_metric(name: str) -> None:
    rows = scored(np.random.default_rng(2), 2000, lift=1.0)
    assert paired_difference(METRICS[name], *rows, seed=1, confidence=0.95, resamples=50).difference > 0


def test_the_same_prediction_twice_ties_exactly() -> None:
    truth, prediction, _ = scored(np.random.default_rng(3), 300)
    result = paired_difference(
        METRICS["roc_auc"], truth, prediction, prediction, seed=1, confidence=0.975, resamples=50
    )
    assert (result.difference, result.lower, result.standard_error) == (0.0, 0.0, 0.0)


def test_the_seed_decides_the_result() -> None:
    rows = scored(np.random.default_rng(4), 300)
    first, again, other = (
        paired_difference(METRICS["brier"], *rows, seed=seed, confidence=0.95, resamples=50) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.lower != other.lower


def test_the_standard_error_of_a_mean_is_the_textbook_one() -> None:
    rng = np.random.default_rng(5)
    truth, a, b = np.zeros(500), rng.exponential(size=500), rng.exponential(size=500)
    result = paired_difference(METRICS["mae"], truth, a, b, seed=1, confidence=0.95, resamples=2000)
    assert result.standard_error == pytest.approx(np.std(b - a) / math.sqrt(500), rel=0.05)


def test_pairing_tells_apart_what_separate_intervals_cannot() -> None:
    rows = scored(np.random.default_rng(6), 1000, lift=0.3)
    paired = paired_difference(METRICS["roc_auc"], *rows, seed=1, confidence=0.975, resamples=300)
    alone = [interval(METRICS["roc_auc"], rows[0], p, seed=1, resamples=300) for p in rows[1:]]
    assert paired.standard_error < 0.9 * math.hypot(*(i.standard_error for i in alone))


def test_few_rows_of_a_class_make_the_bound_unknown_and_not_wrong() -> None:
    truth = np.zeros(100, dtype=np.int64)
    truth[0], truth[1] = 1, 2
    prediction = np.full((100, 3), 1 / 3)
    result = paired_difference(METRICS["roc_auc"], truth, prediction, prediction, seed=1, confidence=0.975)
    assert result.undefined > 100
    assert math.isnan(result.lower)
    assert not result.lower >= -1.0
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["lower"] is None


def test_a_rare_class_is_in_every_replicate_and_counted() -> None:
    truth, candidate, champion = scored(np.random.default_rng(8), 100, share=0.02)
    assert 1 <= truth.sum() <= 4
    result = paired_difference(METRICS["roc_auc"], truth, candidate, champion, seed=1, confidence=0.95, resamples=300)
    assert result.undefined == 0
    assert result.rarest == truth.sum()
    assert math.isfinite(result.lower)


def test_recipes_are_compared_by_the_corrected_t_test() -> None:
    own, other = [0.80, 0.78, 0.83, 0.79, 0.81, 0.80], [0.78, 0.77, 0.80, 0.79, 0.78, 0.79]
    result = of_folds(METRICS["roc_auc"], own, other, folds=3, rows=90, confidence=0.975)
    gaps = np.subtract(own, other)
    error = math.sqrt((1 / 6 + 2 / 2) * gaps.var(ddof=1))
    assert result.difference == pytest.approx(gaps.mean())
    assert result.standard_error == pytest.approx(error)
    assert result.lower == pytest.approx(gaps.mean() - stats.t.ppf(0.975, 5) * error)


def test_a_loss_that_falls_is_a_gain_in_folds_too_and_folds_without_a_value_are_left_out() -> None:
    result = of_folds(METRICS["rmse"], [1.0, 1.1, math.nan], [2.0, 2.2, 2.0], folds=3, rows=9, confidence=0.9)
    assert result.difference == pytest.approx(1.05)
    assert result.undefined == 1
    assert math.isnan(of_folds(METRICS["rmse"], [math.nan], [1.0], folds=3, rows=9, confidence=0.9).lower)


def test_no_rows_give_no_value_instead_of_an_error() -> None:
    none = np.empty((0, 2))
    result = paired_difference(METRICS["roc_auc"], [], none, none, seed=1, confidence=0.95)
    assert math.isnan(result.difference)
    assert math.isnan(result.lower)
    assert math.isnan(interval(METRICS["roc_auc"], [], none, seed=1).low)


def test_many_rows_are_paid_for_with_fewer_resamples() -> None:
    truth = np.zeros(400_000)
    result = interval(METRICS["mae"], truth, np.arange(400_000.0), seed=1, resamples=501)
    assert result.resamples == 500


def test_an_interval_holds_the_value_within_the_metrics_range() -> None:
    truth, prediction, _ = scored(np.random.default_rng(9), 200, lift=5.0)
    result = interval(METRICS["roc_auc"], truth, prediction, seed=1, resamples=300)
    assert result.low < result.value < result.high <= 1.0


def test_memory_stays_at_a_few_replicates() -> None:
    truth, candidate, champion = scored(np.random.default_rng(10), 20_000)
    tracemalloc.start()
    paired_difference(METRICS["roc_auc"], truth, candidate, champion, seed=1, confidence=0.95, resamples=50)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 * truth.nbytes  # all fifty replicates of weights alone would be fifty


@pytest.mark.parametrize(
    ("name", "rows", "share"),
    [("roc_auc", 300, 0.3), ("average_precision", 600, 0.08), ("log_loss", 200, 0.3)],
)
def test_equal_models_pass_no_more_often_than_the_confidence_allows(name: str, rows: int, share: float) -> None:
    trials, confidence = 400, 0.95
    passed = sum(
        paired_difference(
            METRICS[name],
            *scored(np.random.default_rng(trial), rows, share=share),
            seed=trial,
            confidence=confidence,
            resamples=150,
        ).lower
        > 0
        for trial in range(trials)
    )
    # 5 % of 400 is 20, standard deviation 4.4: beyond 33 the bound would be broken.
    assert 7 <= passed <= 33
