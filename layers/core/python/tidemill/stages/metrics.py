"""The metrics that gate, evaluation and monitor share.

Binding a metric to rows sorts them once; its value under any weights then takes O(n), as a bootstrap needs.
A weight of m means that the row is there m times, 0 that it is absent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.names import Task

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Bound = Callable[[npt.NDArray[Any] | None], float]
_Value = Callable[[FloatArray], float]

RARE_SHARE = 0.10  # fewer positives than this: the ROC curve flatters, precision tells


@dataclass(frozen=True, slots=True)
class Metric:
    """`label` finishes the sentence "the models were compared by their …"; `decides`: judges which class is answered,
    and not how probable it is said to be."""

    name: str
    tasks: tuple[Task, ...]
    higher_is_better: bool
    label: str
    binder: Callable[[Any, FloatArray], _Value]
    decides: bool = False

    def gain(self, value: float) -> float:
        """The value signed so that more is better, whatever the metric."""
        return value if self.higher_is_better else -value

    def bind(self, truth: npt.ArrayLike, prediction: npt.ArrayLike) -> Bound:
        """The value as a function of row weights (None: all ones).

        Classification: truth holds class indices (n,), prediction probabilities (n, k), column = class index.
        Regression: both are (n,). No rows, no weight, one class only, a prediction that is not finite: NaN.
        Raises ValueError where shapes or classes do not fit: a bug of the caller, not a property of the data.
        """
        predicted = np.asarray(prediction, dtype=np.float64)
        given = np.asarray(truth)
        if "regression" in self.tasks:
            actual: FloatArray | IntArray = given.astype(np.float64)
            fits = actual.ndim == 1 and predicted.shape == actual.shape
        else:
            actual = _class_indices(given)
            fits = predicted.ndim == 2 and predicted.shape[0] == actual.size
            if fits and actual.size and not 0 <= actual.min() <= actual.max() < predicted.shape[1]:
                raise ValueError(f"{self.name}: class {actual.max()}, but {predicted.shape[1]} columns")
        if not fits:
            raise ValueError(f"{self.name}: truth {given.shape} does not fit prediction {predicted.shape}")
        if not actual.size or not np.isfinite(predicted).all():
            return lambda _: float("nan")
        value = self.binder(actual, predicted)
        ones = np.ones(actual.size)

        def weighted(weights: npt.NDArray[Any] | None) -> float:
            w = ones if weights is None else np.asarray(weights, dtype=np.float64)
            return value(w) if w.any() else float("nan")

        return weighted


def metric(name: str, task: str) -> Metric:
    """Raises ValueError that names the metrics known for the task."""
    known = [m.name for m in METRICS.values() if task in m.tasks]
    if name not in known:
        raise ValueError(f"no metric {name!r} for task {task!r}: use one of {', '.join(known) or 'none'}")
    return METRICS[name]


def default_metric(task: str, positive_share: float | None = None) -> Metric:
    """`positive_share` matters to a binary task only; None means not rare."""
    if task == "binary" and positive_share is not None and positive_share < RARE_SHARE:
        return METRICS["average_precision"]
    return metric({"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}.get(task, ""), task)


def dummy_prediction(task: str, train_truth: npt.ArrayLike, n: int, classes: int) -> FloatArray:
    """What a model without features would say for n rows: class priors (n, classes), or the mean (n,)."""
    truth = np.asarray(train_truth)
    if not truth.size:
        raise ValueError("a dummy prediction needs at least one training row")
    if task == "regression":
        return np.full(n, truth.mean(dtype=np.float64))
    priors = np.bincount(_class_indices(truth), minlength=classes) / truth.size
    return np.tile(priors.astype(np.float64), (n, 1))


def as_judged(metric: Metric, prediction: FloatArray, threshold: float | None) -> FloatArray:
    """What the metric is to see: where it judges decisions, the class that is answered from the threshold on."""
    return decisions(prediction, threshold) if metric.decides and threshold is not None else prediction


def decisions(prediction: FloatArray, threshold: float) -> FloatArray:
    """Probabilities of two classes as 0 and 1."""
    second = (prediction[:, 1] >= threshold).astype(np.float64)
    return np.column_stack([1 - second, second])


def or_none(value: float) -> float | None:
    """As JSON has it: null for what is no number."""
    return value if math.isfinite(value) else None


def or_nan(value: float | None) -> float:
    """The inverse of `or_none`."""
    return math.nan if value is None else value


def _class_indices(truth: npt.NDArray[Any]) -> IntArray:
    indices = truth.astype(np.int64) if np.isfinite(truth).all() else None
    if truth.ndim != 1 or indices is None or (indices != truth).any():
        raise ValueError("truth must be one class index a row: whole numbers, none missing")
    return indices


def _ratio(top: float, bottom: float) -> float:
    return float(top / bottom) if bottom else float("nan")


def _dot(a: FloatArray, b: FloatArray) -> float:
    # Not `a @ b`: BLAS starts threads for long vectors, and beside a busy neighbour that took 12 ms, not 1.
    return float(np.einsum("i,i", a, b))


def _mean(values: FloatArray) -> _Value:
    return lambda w: _ratio(_dot(w, values), float(w.sum()))


def _roc_auc(truth: IntArray, probability: FloatArray) -> _Value:
    if probability.shape[1] == 2:
        return _ranked_auc(truth == 1, probability[:, 1])
    one_vs_rest = [_ranked_auc(truth == k, probability[:, k]) for k in range(probability.shape[1])]

    def value(w: FloatArray) -> float:
        # A class without rows has no curve: it is left out of the mean, as in balanced accuracy.
        areas = np.array([area(w) for area in one_vs_rest])
        return _ratio(float(np.nansum(areas)), float(np.isfinite(areas).sum()))

    return value


def _ranked_auc(positive: npt.NDArray[np.bool_], score: FloatArray) -> _Value:
    """Mann-Whitney: the share of (positive, negative) pairs in the right order, a tie counting half."""
    order, starts = _tie_groups(score)
    is_positive = positive[order].astype(np.float64)

    def value(w: FloatArray) -> float:
        row = w[order]
        row_positive = row * is_positive
        pos = np.add.reduceat(row_positive, starts)
        neg = np.add.reduceat(row - row_positive, starts)
        below = np.cumsum(neg) - neg
        return _ratio(_dot(pos, below + 0.5 * neg), float(pos.sum() * neg.sum()))

    return value


def _average_precision(truth: IntArray, probability: FloatArray) -> _Value:
    """Sum of precision x step in recall over the distinct thresholds, from the highest score down."""
    order, starts = _tie_groups(-probability[:, 1])
    is_positive = (truth[order] == 1).astype(np.float64)

    def value(w: FloatArray) -> float:
        row = w[order]
        pos = np.add.reduceat(row * is_positive, starts)
        flagged = np.cumsum(np.add.reduceat(row, starts))
        precision = np.divide(np.cumsum(pos), flagged, out=np.zeros_like(flagged), where=flagged > 0)
        return _ratio(_dot(pos, precision), float(pos.sum()))

    return value


def _tie_groups(score: FloatArray) -> tuple[IntArray, IntArray]:
    """The ascending order of the rows, and where each run of equal scores starts in it."""
    order = np.argsort(score, kind="stable")
    ranked = score[order]
    return order, np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])


def _log_loss(truth: IntArray, probability: FloatArray) -> _Value:
    # scikit-learn's clip: one certain mistake costs 36 and not infinity.
    eps = np.finfo(np.float64).eps
    return _mean(-np.log(np.clip(probability[np.arange(truth.size), truth], eps, 1 - eps)))


def _brier(truth: IntArray, probability: FloatArray) -> _Value:
    return _mean((probability[:, 1] - (truth == 1)) ** 2)


def _accuracy(truth: IntArray, probability: FloatArray) -> _Value:
    return _mean((_decision(probability) == truth).astype(np.float64))


def _decision(probability: FloatArray) -> IntArray:
    """The answer that is served: the most probable class, the first of equals (binary: above 0.5)."""
    decided: IntArray = np.argmax(probability, axis=1)
    return decided


def _confusion(truth: IntArray, probability: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Weighted counts (k, k): row = truth, column = decision."""
    k = probability.shape[1]
    cell = truth * k + _decision(probability)
    return lambda w: np.bincount(cell, weights=w, minlength=k * k).astype(np.float64).reshape(k, k)


def _balanced_accuracy(truth: IntArray, probability: FloatArray) -> _Value:
    confusion = _confusion(truth, probability)

    def value(w: FloatArray) -> float:
        counts = confusion(w)
        rows = counts.sum(axis=1)
        return float(np.mean(counts.diagonal()[rows > 0] / rows[rows > 0]))

    return value


def _f1(truth: IntArray, probability: FloatArray) -> _Value:
    confusion = _confusion(truth, probability)
    return lambda w: float(_f1_scores(confusion(w))[1])


def _f1_macro(truth: IntArray, probability: FloatArray) -> _Value:
    confusion = _confusion(truth, probability)
    return lambda w: float(np.nanmean(_f1_scores(confusion(w))))


def _f1_scores(counts: FloatArray) -> FloatArray:
    """Per class 2 tp / (2 tp + fp + fn); NaN for a class that is neither in the truth nor decided."""
    involved = counts.sum(axis=0) + counts.sum(axis=1)
    scores = np.full(len(counts), np.nan)
    np.divide(2 * counts.diagonal(), involved, out=scores, where=involved > 0)
    return scores


def _rmse(truth: FloatArray, prediction: FloatArray) -> _Value:
    mean_square = _mean((prediction - truth) ** 2)
    return lambda w: float(np.sqrt(mean_square(w)))


def _mae(truth: FloatArray, prediction: FloatArray) -> _Value:
    return _mean(np.abs(prediction - truth))


def _r2(truth: FloatArray, prediction: FloatArray) -> _Value:
    square = (prediction - truth) ** 2

    def value(w: FloatArray) -> float:
        spread = (truth - _ratio(_dot(w, truth), float(w.sum()))) ** 2
        return 1.0 - _ratio(_dot(w, square), _dot(w, spread))

    return value


_ALL = (
    Metric("roc_auc", ("binary", "multiclass"), True, "area under the ROC curve", _roc_auc),
    Metric("average_precision", ("binary",), True, "average precision", _average_precision),
    Metric("log_loss", ("binary", "multiclass"), False, "log loss", _log_loss),
    Metric("brier", ("binary",), False, "Brier score", _brier),
    Metric("accuracy", ("binary", "multiclass"), True, "share of right answers", _accuracy, decides=True),
    Metric("f1", ("binary",), True, "F1 score", _f1, decides=True),
    Metric(
        "balanced_accuracy", ("multiclass",), True, "mean recall over the classes", _balanced_accuracy, decides=True
    ),
    Metric("f1_macro", ("multiclass",), True, "mean F1 score over the classes", _f1_macro, decides=True),
    Metric("rmse", ("regression",), False, "root mean squared error", _rmse),
    Metric("mae", ("regression",), False, "mean absolute error", _mae),
    Metric("r2", ("regression",), True, "share of variance explained (R²)", _r2),
)
METRICS: Mapping[str, Metric] = MappingProxyType({m.name: m for m in _ALL})
