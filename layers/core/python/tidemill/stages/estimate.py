"""What a version's metric on a window must be like before any label came, from its answers alone.

Validate learns from held-out rows how far the answers may be believed; Monitor applies that to a window. Both hold only
while the same answer is as often right as it was: the rows may change, what they mean for the target may not.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tidemill.stages.finish import LEAST, SLOPES, Sigmoid, curvature
from tidemill.stages.metrics import Bound, Metric, as_judged, or_nan, or_none
from tidemill.stages.npy import spread
from tidemill.stages.performance import CONFIDENCE, FLOOR, is_drop, lost

SEED = 17
REPLICATES = 200
FEWEST = 200
"""Held-out rows: fewer say too little of how far to believe an answer."""
FEWEST_OF_CLASS = 20
OUTSIDE = 0.05
"""Share of a window's answers that may be outside of all that was held out."""
MOST_CLASSES = 20
_ROWS = 20_000
_CELLS = 80_000
_KEPT = 5_000
_STRATA, _ROWS_OF_STRATUM = 40, 50

Array = npt.NDArray[np.float64]
Table = Mapping[str, Any]


@dataclass(frozen=True)
class Estimate:
    """`value` with the limits between which 95 % of the measured values will be, if the assumption holds; `held_out` is
    the same estimate on the rows that it was learned from, and `loss` the share of what the model earned there."""

    status: Literal["not_estimated", "estimated_fine", "estimated_drop"]
    metric: str
    rows: int
    sentence: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    held_out: float | None = None
    loss: float | None = None
    outside: float | None = None
    learned_from: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def learn(metric: Metric, task: str, truth: Array, answers: Array, threshold: float | None) -> dict[str, Any]:
    """The table of a version, from its held-out rows. Where none can be made it says why, as `unusable`."""
    classes = answers.shape[1] if answers.ndim == 2 else 0
    if classes > MOST_CLASSES:
        return {"unusable": f"the model has {classes} classes, and estimates are made for {MOST_CLASSES} at most"}
    few = _too_few(truth, classes)
    if few:
        return {"unusable": few}
    if task == "regression":
        chosen = spread(len(truth), _KEPT)
        return {"truth": truth[chosen].tolist(), "prediction": answers[chosen].tolist(), "rows": len(chosen)}
    chosen = spread(len(truth), _most_rows(classes))
    return _learn_sigmoid(metric, truth[chosen].astype(np.int64), answers[chosen], threshold)


def _too_few(truth: Array, classes: int) -> str:
    if len(truth) < FEWEST:
        return f"{len(truth):,} rows were held out, and {FEWEST} are needed to learn how far an answer may be believed"
    rarest = int(np.bincount(truth.astype(np.int64), minlength=classes).min()) if classes else FEWEST
    if rarest < FEWEST_OF_CLASS:
        return f"{rarest} held-out rows are of the rarest class, and {FEWEST_OF_CLASS} are needed"
    return ""


def _most_rows(classes: int) -> int:
    return min(_ROWS, _CELLS // max(1, classes) ** 2)


def _learn_sigmoid(metric: Metric, truth: Any, answers: Array, threshold: float | None) -> dict[str, Any]:
    """With `REPLICATES` of it, and of the estimate on these rows, by a bootstrap of the rows: each sigmoid is one step
    of Newton away from the one that is fitted to all."""
    fitted = Sigmoid.fit(answers, truth)
    steps = _newton_steps(fitted, answers, truth)
    expected = _Expected(metric, answers, threshold)
    measured = metric.bind(truth, as_judged(metric, answers, threshold))
    rng = np.random.default_rng(SEED)
    rows = len(truth)
    sigmoids, values, gaps = [], [], []
    for _ in range(REPLICATES):
        weights = np.bincount(rng.integers(0, rows, rows), minlength=rows).astype(np.float64)
        moved = np.r_[fitted.slope, fitted.offsets[1:]] + (weights - 1) @ steps
        sigmoid = Sigmoid(float(np.clip(moved[0], *SLOPES)), (0.0, *moved[1:].tolist()))
        sigmoids.append([sigmoid.slope, *sigmoid.offsets])
        values.append(expected(sigmoid(answers), weights))
        gaps.append(values[-1] - measured(weights))
    return {
        "rows": rows,
        "sigmoid": [fitted.slope, *fitted.offsets],
        "sigmoids": sigmoids,
        "value": or_none(expected(fitted(answers), None)),
        "values": list(map(or_none, values)),
        "gap": or_none(expected(fitted(answers), None) - measured(None)),
        "gap_error": or_none(float(np.std(gaps, ddof=1))),
        "low": answers.min(axis=0).tolist(),
        "high": answers.max(axis=0).tolist(),
    }


def _newton_steps(sigmoid: Sigmoid, answers: Array, truth: Any) -> Array:
    """(rows, parameters): by how much the fit moves for one more of each row."""
    logs, shares = np.log(np.clip(answers, LEAST, 1)), sigmoid(answers)
    miss = shares - np.eye(shares.shape[1])[truth]
    gradients = np.column_stack([(miss * logs).sum(axis=1), miss[:, 1:]])
    return -np.linalg.solve(len(logs) * curvature(logs, shares), gradients.T).T


@dataclass(frozen=True)
class _Expected:
    """A metric's expectation over classes that are not known: each row is there once as each class, by its share.

    So the expected confusion table, and with it accuracy and F1, the expected loss, and for the ROC curve and the
    precision the ratios of expected counts (confidence-based performance estimation: Kivimäki et al. 2025, "Confidence-
    based estimators for predictive performance in model monitoring", JAIR 82; NannyML's CBPE).
    """

    metric: Metric
    answers: Array
    threshold: float | None

    @cached_property
    def _bound(self) -> Bound:
        rows, classes = self.answers.shape
        judged = as_judged(self.metric, self.answers, self.threshold)
        return self.metric.bind(np.repeat(np.arange(classes), rows), np.tile(judged, (classes, 1)))

    def __call__(self, shares: Array, weights: Array | None) -> float:
        """`shares` (rows, classes) of each row's classes, `weights` of the rows."""
        return self._bound((shares if weights is None else shares * weights[:, None]).T.ravel())


class _Draws(ABC):
    """A window and the held-out rows: as they are, or as they could have been where there is an `rng`."""

    @abstractmethod
    def outside(self) -> float:
        """Share of the window's answers that are outside of all that was answered on held-out rows."""

    @abstractmethod
    def expected(self, rng: np.random.Generator | None) -> tuple[float, float, float]:
        """The metric on the held-out rows, on the window, and there of a model without features."""

    @abstractmethod
    def measured(self, rng: np.random.Generator) -> float:
        """What the labels of the window's rows could make of the metric."""


class _Classes(_Draws):
    def __init__(self, table: Table, metric: Metric, answers: Array, threshold: float | None) -> None:
        self.table, self.answers, self.metric = table, answers, metric
        self._expected = _Expected(metric, answers, threshold)

    def outside(self) -> float:
        beyond = (self.answers < np.array(self.table["low"])) | (self.answers > np.array(self.table["high"]))
        return float(beyond.any(axis=1).mean())

    def expected(self, rng: np.random.Generator | None) -> tuple[float, float, float]:
        weights = None if rng is None else _redrawn(len(self.answers), rng)
        held_out, shares = self._seen(rng)
        counts = shares.sum(axis=0) if weights is None else weights @ shares
        # One row a class is enough where all rows are answered alike.
        without = self.metric.bind(np.arange(len(counts)), np.tile(counts / counts.sum(), (len(counts), 1)))
        return held_out, self._expected(shares, weights), without(counts)

    def measured(self, rng: np.random.Generator) -> float:
        above = self._seen(rng)[1].cumsum(axis=1) > rng.random(len(self.answers))[:, None]
        return self._expected(np.eye(self.answers.shape[1])[above.argmax(axis=1)], None)

    def _seen(self, rng: np.random.Generator | None) -> tuple[float, Array]:
        """The estimate on held-out rows, and the window's classes, both by one sigmoid."""
        replicate = None if rng is None else int(rng.integers(len(self.table["sigmoids"])))
        slope, *offsets = self.table["sigmoid"] if replicate is None else self.table["sigmoids"][replicate]
        held_out = self.table["value"] if replicate is None else self.table["values"][replicate]
        return or_nan(held_out), Sigmoid(slope, tuple(offsets))(self.answers)


class _Numbers(_Draws):
    """Held-out rows, weighed as the window's predictions are spread over their quantiles: direct loss estimation by
    post-stratification (Holt & Smith 1979). What a loss depends on beside the prediction is not seen."""

    def __init__(self, table: Table, metric: Metric, answers: Array) -> None:
        self.metric, self.answers = metric, answers
        self.truth, self.prediction = np.array(table["truth"]), np.array(table["prediction"])
        strata = max(1, min(_STRATA, len(self.truth) // _ROWS_OF_STRATUM))
        edges = np.unique(np.quantile(self.prediction, np.linspace(0, 1, strata + 1)[1:-1]))
        self._strata = len(edges) + 1
        self._of_held_out = np.searchsorted(edges, self.prediction, side="right")
        self._of_window = np.searchsorted(edges, answers, side="right")
        self._bound = metric.bind(self.truth, self.prediction)

    def outside(self) -> float:
        return float(((self.answers < self.prediction.min()) | (self.answers > self.prediction.max())).mean())

    def expected(self, rng: np.random.Generator | None) -> tuple[float, float, float]:
        held_out = np.ones(len(self.truth)) if rng is None else _redrawn(len(self.truth), rng)
        window = np.ones(len(self.answers)) if rng is None else _redrawn(len(self.answers), rng)
        weights = self._weights(held_out, window)
        mean = float(weights @ self.truth / weights.sum()) if weights.any() else math.nan
        without = self.metric.bind(self.truth, np.full(len(self.truth), mean))
        return self._bound(held_out), self._bound(weights), without(weights)

    def measured(self, rng: np.random.Generator) -> float:
        weights = self._weights(_redrawn(len(self.truth), rng), np.ones(len(self.answers)))
        drawn = np.zeros(len(weights))
        for stratum, rows in enumerate(np.bincount(self._of_window, minlength=self._strata)):
            own = np.flatnonzero(self._of_held_out == stratum)
            if rows and weights[own].any():
                drawn[own] = rng.multinomial(rows, weights[own] / weights[own].sum())
        return self._bound(drawn)

    def _weights(self, held_out: Array, window: Array) -> Array:
        """Of the held-out rows, so that each stratum has the window's share."""
        had = np.bincount(self._of_held_out, held_out, minlength=self._strata)
        wanted = np.bincount(self._of_window, window, minlength=self._strata)
        ratio = np.divide(wanted, had, out=np.zeros(self._strata), where=had > 0)
        return np.asarray(held_out * ratio[self._of_held_out])


def _redrawn(rows: int, rng: np.random.Generator) -> Array:
    return np.bincount(rng.integers(0, rows, rows), minlength=rows).astype(np.float64)


def surprises(metric: Metric, guess: Estimate, fine: Sequence[float]) -> bool:
    """Whether so low an estimate is news. A window may have less to tell apart than the evaluation's rows, so that what
    looks like a drop was seen before in windows that labels then showed `fine`: those say what is usual."""
    return guess.value is not None and all(metric.gain(guess.value) < metric.gain(value) for value in fine)


def estimate(
    table: Table | None,
    metric: Metric,
    answers: Array,
    *,
    threshold: float | None,
    dummy: float,
    needed: int,
    confidence: float = CONFIDENCE,
) -> Estimate:
    """`answers` as the version gave them, `dummy` the evaluation's score without features.

    A drop is judged as `performance.measure` judges one that was measured, by the same confidence and floor. The
    estimate on held-out rows, and not what was measured there, is what it is compared with, replicate by replicate, so
    that what the table does not know moves both.
    """
    rows = len(answers)
    why = _unusable(table, answers, needed)
    if table is None or why:
        return Estimate("not_estimated", metric.name, rows, why)
    chosen = answers[spread(rows, _most_rows(answers.shape[1] if answers.ndim == 2 else 0))]
    draws = _Classes(table, metric, chosen, threshold) if chosen.ndim == 2 else _Numbers(table, metric, chosen)
    outside = draws.outside()
    if outside > OUTSIDE:
        why = f"{outside:.0%} of the answers are outside of all that held-out rows were answered"
        return Estimate("not_estimated", metric.name, rows, why, outside=outside)
    begun = Estimate("estimated_fine", metric.name, rows, "", outside=outside)
    return _judged(table, metric, draws, begun, dummy, confidence)


def _unusable(table: Table | None, answers: Array, needed: int) -> str:
    if table is None:
        return "this version has no table to estimate from"
    if "unusable" in table:
        return str(table["unusable"])
    if len(answers) < needed:
        return f"{len(answers):,} predictions, and {needed:,} are needed to estimate"
    return "" if np.isfinite(answers).all() else "some answers are no numbers"


def _judged(table: Table, metric: Metric, draws: _Draws, begun: Estimate, dummy: float, confidence: float) -> Estimate:
    held_out, value, without = draws.expected(None)
    earned = metric.gain(held_out) - metric.gain(dummy)
    if not earned > 0 or _misfit(table, earned):
        why = f"the answers do not tell the {metric.name} of the held-out rows"
        return replace(begun, status="not_estimated", sentence=why)
    rng = np.random.default_rng(SEED)
    loss = lost(metric, held_out, dummy, value, without)
    redrawn = (draws.expected(rng) for _ in range(REPLICATES))
    error = float(np.std([lost(metric, before, dummy, *now) for before, *now in redrawn], ddof=1))
    low, high = np.quantile([draws.measured(rng) for _ in range(REPLICATES)], [0.025, 0.975])
    if not all(map(math.isfinite, (loss, error, low, high))):
        why = f"{metric.name} cannot be estimated on the {begun.rows:,} predictions of this window"
        return replace(begun, status="not_estimated", sentence=why)
    dropped = is_drop(loss, error, earned, confidence)
    sentence = (
        f"without labels {metric.name} is estimated at {value:.4g} ({low:.4g} to {high:.4g}) on {begun.rows:,} "
        f"predictions; the same estimate of held-out rows is {held_out:.4g}"
    )
    if dropped:
        sentence += f": {loss / earned:.0%} of what it had learned is lost, if only the rows have changed"
    return replace(
        begun,
        status="estimated_drop" if dropped else "estimated_fine",
        sentence=sentence,
        value=value,
        low=float(low),
        high=float(high),
        held_out=held_out,
        loss=loss / earned,
        learned_from=table["rows"],
    )


def _misfit(table: Table, earned: float) -> bool:
    """Whether not even the rows that the sigmoid was fitted to have the metric that it says: beyond chance, and by as
    much as would matter."""
    gap, error = abs(or_nan(table.get("gap", 0.0))), or_nan(table.get("gap_error", 0.0))
    return not gap <= max(FLOOR * earned, NormalDist().inv_cdf(CONFIDENCE) * error)
