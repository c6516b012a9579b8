"""The metrics against scikit-learn, with ties, weights and classes that are missing."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as oracle

from tidemill.stages.metrics import METRICS, default_metric, dummy_prediction, metric

ROWS = 400
Array = npt.NDArray[Any]

BINARY = {
    "roc_auc": lambda y, p, w: oracle.roc_auc_score(y, p[:, 1], sample_weight=w),
    "average_precision": lambda y, p, w: oracle.average_precision_score(y, p[:, 1], sample_weight=w),
    "log_loss": lambda y, p, w: oracle.log_loss(y, p, sample_weight=w, labels=[0, 1]),
    "brier": lambda y, p, w: oracle.brier_score_loss(y, p[:, 1], sample_weight=w),
    "accuracy": lambda y, p, w: oracle.accuracy_score(y, p.argmax(axis=1), sample_weight=w),
    "f1": lambda y, p, w: oracle.f1_score(y, p.argmax(axis=1), sample_weight=w),
}
MULTICLASS = {
    "log_loss": lambda y, p, w: oracle.log_loss(y, p, sample_weight=w, labels=[0, 1, 2]),
    "accuracy": BINARY["accuracy"],
    "balanced_accuracy": lambda y, p, w: oracle.balanced_accuracy_score(y, p.argmax(axis=1), sample_weight=w),
    "f1_macro": lambda y, p, w: oracle.f1_score(y, p.argmax(axis=1), sample_weight=w, average="macro"),
    # scikit-learn takes no weights in the multiclass form, but its definition is this mean of binary areas.
    "roc_auc": lambda y, p, w: np.mean([oracle.roc_auc_score(y == k, p[:, k], sample_weight=w) for k in range(3)]),
}
REGRESSION = {
    "rmse": lambda y, p, w: oracle.root_mean_squared_error(y, p, sample_weight=w),
    "mae": lambda y, p, w: oracle.mean_absolute_error(y, p, sample_weight=w),
    "r2": lambda y, p, w: oracle.r2_score(y, p, sample_weight=w),
}
TASKS = {"binary": BINARY, "multiclass": MULTICLASS, "regression": REGRESSION}
CASES = [(task, name) for task, oracles in TASKS.items() for name in oracles]


def rows_of(task: str, seed: int, *, ties: bool) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    if task == "regression":
        target = rng.normal(size=ROWS)
        return target, target + rng.standard_t(3, size=ROWS)
    classes = 2 if task == "binary" else 3
    truth = rng.integers(0, classes, ROWS)
    scores = rng.random((ROWS, classes)) + 0.4 * np.eye(classes)[truth]
    if ties:  # whole tenths, and sums that stay exact
        scores = np.ceil(scores * 4)
    return truth, scores / scores.sum(axis=1, keepdims=True)


def test_every_metric_has_an_oracle() -> None:
    assert {(task, m.name) for m in METRICS.values() for task in m.tasks} == set(CASES)


@pytest.mark.parametrize("ties", [False, True], ids=["distinct scores", "heavy ties"])
@pytest.mark.parametrize(("task", "name"), CASES)
def test_a_value_equals_scikit_learn_under_any_weights(task: str, name: str, ties: bool) -> None:
    for seed in range(5):
        truth, prediction = rows_of(task, seed, ties=ties)
        value = metric(name, task).bind(truth, prediction)
        random = np.random.default_rng(seed).random(ROWS) * 3
        for weights in (None, random):
            assert value(weights) == pytest.approx(TASKS[task][name](truth, prediction, weights), abs=1e-12)


@pytest.mark.parametrize(("task", "name"), CASES)
def test_whole_weights_mean_rows_that_are_repeated_or_absent(task: str, name: str) -> None:
    truth, prediction = rows_of(task, 7, ties=True)
    weights = np.random.default_rng(8).integers(0, 3, ROWS)
    value = metric(name, task).bind(truth, prediction)(weights)
    repeated = metric(name, task).bind(np.repeat(truth, weights), np.repeat(prediction, weights, axis=0))
    assert value == pytest.approx(repeated(None), abs=1e-12)
    expected = TASKS[task][name](np.repeat(truth, weights), np.repeat(prediction, weights, axis=0), None)
    assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("task", "name"), CASES)
def test_no_rows_no_weight_and_predictions_that_are_not_numbers_have_no_value(task: str, name: str) -> None:
    truth, prediction = rows_of(task, 3, ties=False)
    chosen = metric(name, task)
    broken = prediction.copy()
    broken[5] = np.nan
    assert math.isnan(chosen.bind(truth[:0], prediction[:0])(None))
    assert math.isnan(chosen.bind(truth, prediction)(np.zeros(ROWS)))
    assert math.isnan(chosen.bind(truth, broken)(None))


@pytest.mark.parametrize(
    ("task", "name"), [("binary", "roc_auc"), ("binary", "average_precision"), ("multiclass", "roc_auc")]
)
def test_ranking_rows_of_one_class_has_no_value(task: str, name: str) -> None:
    truth, prediction = rows_of(task, 3, ties=False)
    assert math.isnan(metric(name, task).bind(np.zeros_like(truth), prediction)(None))
    assert math.isnan(metric(name, task).bind(truth, prediction)(truth == 0))


def test_f1_without_a_positive_anywhere_has_no_value() -> None:
    assert math.isnan(metric("f1", "binary").bind([0, 0], [[0.9, 0.1], [0.8, 0.2]])(None))


def test_r2_of_a_constant_truth_has_no_value() -> None:
    assert math.isnan(metric("r2", "regression").bind([2.0, 2.0], [1.0, 3.0])(None))


def test_a_class_without_rows_is_left_out_of_the_mean_over_classes() -> None:
    truth, prediction = rows_of("multiclass", 3, ties=False)
    for name in ("roc_auc", "balanced_accuracy"):
        whole = metric(name, "multiclass").bind(truth, prediction)(truth != 2)
        assert 0 < whole < 1
    kept = truth != 2
    areas = [oracle.roc_auc_score(truth[kept] == k, prediction[kept, k]) for k in (0, 1)]
    value = metric("roc_auc", "multiclass").bind(truth, prediction)(kept)
    assert value == pytest.approx(np.mean(areas), abs=1e-12)


def test_a_certain_mistake_costs_a_finite_log_loss() -> None:
    assert metric("log_loss", "binary").bind([1], [[1.0, 0.0]])(None) == pytest.approx(36.04, abs=0.01)


def test_a_probability_of_one_half_is_decided_negative() -> None:
    assert metric("accuracy", "binary").bind([0], [[0.5, 0.5]])(None) == 1.0


def test_more_gain_is_better_for_every_metric() -> None:
    for task, name in CASES:
        truth, prediction = rows_of(task, 1, ties=False)
        good = truth if task == "regression" else np.eye(prediction.shape[1])[truth] * 0.9 + 0.05
        chosen = metric(name, task)
        assert chosen.gain(chosen.bind(truth, good)(None)) > chosen.gain(chosen.bind(truth, prediction)(None))


def test_an_unknown_metric_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'auc' for task 'binary': use one of roc_auc, average_precision"):
        metric("auc", "binary")
    with pytest.raises(ValueError, match="use one of rmse, mae, r2"):
        metric("roc_auc", "regression")


@pytest.mark.parametrize(
    ("name", "task", "truth", "prediction"),
    [
        ("roc_auc", "binary", [0, 1, 1], [[0.5, 0.5]]),
        ("roc_auc", "binary", [0, 1], [0.1, 0.9]),
        ("accuracy", "multiclass", [0, 3], [[0.2, 0.3, 0.5]] * 2),
        ("accuracy", "multiclass", [0, -1], [[0.2, 0.3, 0.5]] * 2),
        ("accuracy", "binary", [0, math.nan], [[0.2, 0.8]] * 2),
        ("rmse", "regression", [0.0, 1.0], [[0.0], [1.0]]),
    ],
)
def test_rows_that_do_not_fit_together_are_refused(
    name: str, task: str, truth: list[float], prediction: list[Any]
) -> None:
    with pytest.raises(ValueError, match=r"fit|class"):
        metric(name, task).bind(truth, prediction)


@pytest.mark.parametrize(
    ("task", "share", "name"),
    [
        ("binary", 0.3, "roc_auc"),
        ("binary", None, "roc_auc"),
        ("binary", 0.0999, "average_precision"),
        ("multiclass", None, "log_loss"),
        ("regression", None, "rmse"),
    ],
)
def test_the_default_metric_follows_task_and_rarity(task: str, share: float | None, name: str) -> None:
    assert default_metric(task, share).name == name


def test_a_dummy_says_the_priors_of_the_training_rows() -> None:
    dummy = dummy_prediction("multiclass", np.array([0, 0, 1, 0]), 2, 3)
    assert dummy.tolist() == [[0.75, 0.25, 0.0]] * 2
    assert dummy_prediction("regression", np.array([1.0, 4.0]), 3, 0).tolist() == [2.5] * 3
