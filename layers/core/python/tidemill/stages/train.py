"""Train: search one candidate by cross-validation on the training side, fit it, export it, prove the export."""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, StratifiedKFold, TimeSeriesSplit
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from tidemill.encoding import Matrix, categorical_positions, encoded_names
from tidemill.schema import Schema
from tidemill.spec import ModelSpec
from tidemill.stages.estimators import MANY_CATEGORIES, Columns, Params, build, settings
from tidemill.stages.export import parity, predict, to_onnx
from tidemill.stages.metrics import Metric, default_metric, dummy_prediction, metric
from tidemill.stages.parity import Parity

SEED = 20_13
SEARCH_ROWS = 20_000
"""The search compares settings on at most so many rows; the chosen ones are then cross-validated on all."""
_FOLDS, _FOLDS_OF_LITTLE = 3, 5
_LITTLE = 2_000
_PARITY_ROWS = 20_000
_WORTH_THREADS = 50_000
"""Below so many rows, boosting's threads spend more time waiting for each other than working."""


@dataclass(frozen=True)
class TrainingSide:
    """The rows a candidate may see. target: class codes or values; moments: order in time, or None."""

    schema: Schema
    matrix: Matrix
    target: npt.NDArray[np.float64]
    moments: npt.NDArray[np.int64] | None


@dataclass(frozen=True)
class Trial:
    """One point of the search: fold scores in the metric's own unit."""

    params: Params
    scores: tuple[float, ...]


@dataclass(frozen=True)
class Trained:
    """A fitted and exported candidate. `scores`: cross-validation of the chosen settings on all training rows
    (on the search rows where time ran out, which `complete` tells)."""

    candidate: str
    metric: str
    params: Params
    scores: tuple[float, ...]
    dummy_score: float
    training_score: float
    trials: tuple[Trial, ...]
    complete: bool
    parity: Parity
    onnx: bytes
    joblib: bytes


def choose_metric(spec: ModelSpec, schema: Schema, target: npt.NDArray[np.float64]) -> Metric:
    """The spec's metric, or the task's default; raises ValueError for one that the task does not know."""
    if spec.train.metric:
        return metric(spec.train.metric, schema.task)
    share = float(np.mean(target == 1)) if schema.task == "binary" else None
    return default_metric(schema.task, share)


def train(
    candidate: str, side: TrainingSide, spec: ModelSpec, unseen: Matrix, seconds_left: Callable[[], float]
) -> Trained:
    """Search, fit and export within the time: the best so far is fitted when `seconds_left` runs low.

    `unseen` are held-out rows, used only to prove that the exported graph answers as the pipeline does.
    """
    with threadpool_limits(None if len(side.target) > _WORTH_THREADS else 1):
        return _train(candidate, side, spec, unseen, seconds_left)


def _train(
    candidate: str, side: TrainingSide, spec: ModelSpec, unseen: Matrix, seconds_left: Callable[[], float]
) -> Trained:
    measure = choose_metric(spec, side.schema, side.target)
    columns = _columns(side.schema)
    searched = _sample(side, SEARCH_ROWS)

    def make(params: Params) -> Pipeline:
        return build(candidate, side.schema.task, columns, params, SEED)

    trials: list[Trial] = []
    complete, started = True, seconds_left()
    for params in settings(candidate, spec.train.trials, SEED):
        trials.append(Trial(params, _cross_validate(make(params), searched, measure)))
        per_trial = (started - seconds_left()) / len(trials)
        # A fit on all rows, its cross-validation and the export still have to fit into what is left.
        still_needed = 2 * per_trial * max(1.0, len(side.target) / len(searched.target))
        if seconds_left() < still_needed + per_trial:
            complete = len(trials) == spec.train.trials
            break
    best = max(trials, key=lambda trial: _mean_gain(measure, trial.scores))
    scores = best.scores if len(searched.target) == len(side.target) else ()
    if not scores and seconds_left() > 0:
        scores = _cross_validate(make(best.params), side, measure)
    pipeline = _fit(make(best.params), side.matrix, side.target)
    graph = to_onnx(pipeline, side.matrix.shape[1], classifier=side.schema.task != "regression")
    return Trained(
        candidate=candidate,
        metric=measure.name,
        params=best.params,
        scores=scores or best.scores,
        dummy_score=_dummy_score(side, measure),
        training_score=measure.bind(side.target, predict(pipeline, side.matrix))(None),
        trials=tuple(trials),
        complete=complete and bool(scores),
        parity=parity(pipeline, graph, unseen[:_PARITY_ROWS]),
        onnx=graph,
        joblib=_dump(pipeline),
    )


def folds(side: TrainingSide) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """(fit, judge) row positions: forward in time where rows have a time, stratified by class otherwise."""
    count = _FOLDS if len(side.target) > _LITTLE else _FOLDS_OF_LITTLE
    if side.moments is not None:
        order = np.argsort(side.moments, kind="stable")
        for fit, judge in TimeSeriesSplit(n_splits=count).split(order):
            yield order[fit], order[judge]
        return
    smallest = np.unique(side.target, return_counts=True)[1].min()
    if side.schema.task == "regression" or smallest < 2:
        yield from KFold(count, shuffle=True, random_state=SEED).split(side.matrix)
        return
    splitter = StratifiedKFold(min(count, int(smallest)), shuffle=True, random_state=SEED)
    yield from splitter.split(side.matrix, side.target)


def mean_score(scores: Sequence[float]) -> float:
    """Mean over the folds that could be judged, in the metric's own unit; NaN when none could."""
    judged = [score for score in scores if score == score]
    return float(np.mean(judged)) if judged else float("nan")


def _mean_gain(measure: Metric, scores: Sequence[float]) -> float:
    gain = measure.gain(mean_score(scores))
    return gain if gain == gain else float("-inf")


def _columns(schema: Schema) -> Columns:
    codes = set(categorical_positions(schema))
    sizes = [len(column.vocabulary) for column in schema.features if column.kind == "categorical"]
    many = {place for place, size in zip(sorted(codes), sizes, strict=True) if size > MANY_CATEGORIES}
    width = len(encoded_names(schema))
    return Columns(
        numbers=tuple(place for place in range(width) if place not in codes),
        few_categories=tuple(sorted(codes - many)),
        many_categories=tuple(sorted(many)),
    )


def _sample(side: TrainingSide, rows: int) -> TrainingSide:
    """An even draw that keeps the order in time."""
    if len(side.target) <= rows:
        return side
    chosen = np.sort(np.random.default_rng(SEED).choice(len(side.target), rows, replace=False))
    moments = None if side.moments is None else side.moments[chosen]
    return TrainingSide(side.schema, side.matrix[chosen], side.target[chosen], moments)


def _cross_validate(pipeline: Pipeline, side: TrainingSide, measure: Metric) -> tuple[float, ...]:
    scores = []
    for fit, judge in folds(side):
        if side.schema.task != "regression" and len(np.unique(side.target[fit])) < len(side.schema.classes):
            scores.append(float("nan"))
            continue
        fitted = _fit(pipeline, side.matrix[fit], side.target[fit])
        scores.append(measure.bind(side.target[judge], predict(fitted, side.matrix[judge]))(None))
    return tuple(scores)


def _fit(pipeline: Pipeline, matrix: Matrix, target: npt.NDArray[np.float64]) -> Pipeline:
    labels = target if _is_regression(pipeline) else target.astype(np.int64)
    with warnings.catch_warnings():
        # A linear model that stops early is judged by its score like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted: Pipeline = pipeline.fit(matrix, labels)
    return fitted


def _is_regression(pipeline: Pipeline) -> bool:
    return not hasattr(pipeline, "predict_proba")


def _dummy_score(side: TrainingSide, measure: Metric) -> float:
    dummy = dummy_prediction(side.schema.task, side.target, len(side.target), len(side.schema.classes))
    return measure.bind(side.target, dummy)(None)


def _dump(pipeline: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer, compress=3)
    return buffer.getvalue()
