"""A candidate with its parameters, and how it is fitted: classes weighed, targets on a log scale, trees for as long as
they help."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning

from tidemill.encoding import Matrix
from tidemill.errors import TrainingFailed
from tidemill.schema import Schema
from tidemill.spec import OWN
from tidemill.stages import own
from tidemill.stages.estimators import build
from tidemill.stages.export import predict
from tidemill.stages.finish import LogScale, SignedLog
from tidemill.stages.folds import SEED, TrainingSide
from tidemill.stages.spaces import STOPPED, Params

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Course:
    """`stages` has what is said of the rows watched after so many trees, and after more: again whenever it is called.
    A recipe without trees to find says it once, after 0. `trees` were grown."""

    stages: Callable[[], Iterator[tuple[int, Array]]]
    trees: int = 0


_PATIENCE = 3.0
"""Over the learning rate: so many trees may bring nothing before boosting stops."""
_STAGES = 50


@dataclass(frozen=True)
class Recipe:
    """`trees`: the least and the most that boosting may grow; None where the parameters say how many, if any."""

    candidate: str
    schema: Schema
    params: Params
    trees: tuple[int, int] | None = None
    estimator: str = ""
    """The module of an own estimator, where that is the candidate."""

    def build(self) -> Any:
        """Raises `TrainingFailed` where an own estimator cannot be made."""
        if self.candidate == OWN:
            return own.build(self.estimator, self.schema, self.schema.task)
        return build(self.candidate, self.schema, self.params, SEED)

    def at_most(self, trees: int) -> "Recipe":
        """With fewer trees to find, but for the least."""
        if self.trees is None:
            return self
        least, most = self.trees
        return replace(self, trees=(least, max(min(most, trees), least)))

    def grown(self, trees: int) -> "Recipe":
        return replace(self, params={**self.params, STOPPED: trees}, trees=None)


def fit(recipe: Recipe, side: TrainingSide) -> Any:
    """What answers, by `predict_proba` or by `predict`. Raises `TrainingFailed` where an own estimator does not fit."""
    scale, pipeline = _scale(recipe, side), recipe.build()
    weights = _weights(recipe, side, side, "model__sample_weight")
    with warnings.catch_warnings(), _in_words(recipe):
        # A linear model that stops early is judged by its score like any other.
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline.fit(_binnable(recipe, side.matrix), _labels(side, scale), **weights)
    return SignedLog(pipeline, scale) if scale else pipeline


def course(recipe: Recipe, side: TrainingSide, watched: TrainingSide) -> Course:
    """Fitted to `side`, boosting until the rows watched have gained nothing for a while."""
    if recipe.trees is None:
        model = fit(recipe, side)
        with _in_words(recipe):
            said = predict(model, watched.matrix)
        return Course(lambda: iter([(0, said)]))
    least, most = recipe.trees
    grown, scale = recipe.grown(most), _scale(recipe, side)
    pipeline = grown.build()
    prepare, boosting = pipeline["prepare"], pipeline["model"]
    # tol=0: the tolerance is in the loss's unit, so that targets of a millionth would stop at once.
    patience = max(math.ceil(_PATIENCE / recipe.params["learning_rate"]), least)
    boosting.set_params(early_stopping=True, n_iter_no_change=patience, tol=0)
    known = prepare.fit_transform(_binnable(recipe, side.matrix), _labels(side, scale))
    asked = prepare.transform(watched.matrix)
    boosting.fit(
        known,
        _labels(side, scale),
        X_val=asked,
        y_val=_labels(watched, scale),
        **_weights(recipe, side, side, "sample_weight"),
        **_weights(recipe, side, watched, "sample_weight_val"),
    )
    return Course(lambda: _stages(boosting, asked, scale, least, most), boosting.n_iter_)


@contextmanager
def _in_words(recipe: Recipe) -> Iterator[None]:
    """Of our own candidates every error is a mistake of ours."""
    try:
        yield
    except Exception as error:
        if recipe.candidate != OWN:
            raise
        raise TrainingFailed(
            f"own estimator {recipe.estimator!r} does not fit these rows ({type(error).__name__}: {error}): "
            "missing numbers are NaN, and categories are codes from 0 on, or negative"
        ) from error


def _stages(boosting: Any, asked: Matrix, scale: LogScale | None, least: int, most: int) -> Iterator[tuple[int, Array]]:
    classifies = hasattr(boosting, "staged_predict_proba")
    staged = boosting.staged_predict_proba(asked) if classifies else boosting.staged_predict(asked)
    every = math.ceil((most - least + 1) / _STAGES)
    for trees, said in enumerate(staged, start=1):
        if trees >= least and ((trees - least) % every == 0 or trees == boosting.n_iter_):
            yield trees, scale.values(said) if scale else said


def _binnable(recipe: Recipe, matrix: Matrix) -> Matrix:
    """Histogram boosting fails on a column that is missing in all its rows, as a new one is in the older rows
    (scikit-learn 1.9); one that is 0 in all of them it never asks."""
    if recipe.candidate != "boosting":
        return matrix
    # fmin is NaN only where all are, and takes no mask of the matrix's size.
    missing = np.isnan(np.fmin.reduce(matrix, axis=0))
    return np.where(missing, np.float32(0), matrix) if missing.any() else matrix


def _scale(recipe: Recipe, side: TrainingSide) -> LogScale | None:
    return LogScale.of(side.target) if recipe.params.get("log_target") else None


def _labels(side: TrainingSide, scale: LogScale | None) -> npt.NDArray[Any]:
    if side.schema.task != "regression":
        return side.target.astype(np.int64)
    return scale.logs(side.target) if scale else side.target


def _weights(recipe: Recipe, side: TrainingSide, rows: TrainingSide, name: str) -> Mapping[str, Any]:
    """A row's weight is (n / (classes * rows of its class)) ** balance, as `side` has them."""
    balance = recipe.params.get("balance", 0)
    if side.schema.task == "regression" or not balance:
        return {}
    counts = np.bincount(side.target.astype(np.int64), minlength=len(side.schema.classes))
    weights = (len(side) / (len(counts) * np.maximum(counts, 1))) ** balance
    return {name: weights[rows.target.astype(np.int64)]}
