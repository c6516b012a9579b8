"""What is done to a pipeline's answers before they are given; `export` writes the same into the graph."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.encoding import Matrix

Array = npt.NDArray[np.float64]

LEAST = 1e-5
"""Probabilities nearer to 0 are taken for this: a float32 graph knows less of them than calibration would show."""
_RIDGE = 1e-3
SLOPES = (0.05, 20.0)
_MOST_STEPS, _MOST_HALVINGS, _SETTLED, _TINY = 100, 30, 1e-13, 1e-12
_SMALL = 0.1
"""Share of the values that are within the scale."""


@dataclass(frozen=True)
class LogScale:
    """asinh(value / scale): nearly a straight line within the scale, a logarithm of either sign beyond.

    `low` and `high` are ends for what comes back: an answer that runs on would leave float32.
    """

    scale: float
    low: float
    high: float

    @classmethod
    def of(cls, target: Array) -> "LogScale":
        """Most values are beyond the scale; answers go to e times the outermost of them."""
        sizes = np.abs(target[target != 0])
        scale = float(np.quantile(sizes, _SMALL)) if len(sizes) else 1.0
        return cls(scale, float(np.arcsinh(target.min() / scale)) - 1, float(np.arcsinh(target.max() / scale)) + 1)

    def logs(self, values: Array) -> Array:
        return np.asarray(np.arcsinh(values / self.scale))

    def values(self, logs: Array) -> Array:
        return np.asarray(np.sinh(np.clip(logs, self.low, self.high)) * self.scale)


@dataclass(frozen=True)
class SignedLog:
    """A regressor that was fitted on a log scale, and answers in the target's own unit."""

    pipeline: Any
    scale: LogScale

    def predict(self, matrix: Matrix) -> Array:
        return self.scale.values(np.asarray(self.pipeline.predict(matrix), dtype=np.float64))


@dataclass(frozen=True)
class Sigmoid:
    """softmax(slope * log p + offsets): of two classes Platt's sigmoid on the log-odds, of more its usual extension."""

    slope: float
    offsets: tuple[float, ...]

    def __call__(self, probabilities: Array) -> Array:
        return _softmax(self.slope * np.log(np.clip(probabilities, LEAST, 1)) + self.offsets)

    @classmethod
    def fit(cls, probabilities: Array, truth: npt.NDArray[np.int64]) -> "Sigmoid":
        """The least log loss, with a ridge that keeps the offsets of classes that have hardly any rows: by Newton's
        method, each step halved until the loss does not rise."""
        logs = np.log(np.clip(probabilities, LEAST, 1))
        hit = np.eye(logs.shape[1])[truth]
        values = np.r_[1.0, np.zeros(logs.shape[1] - 1)]
        loss = _loss(values, logs, hit)
        for _ in range(_MOST_STEPS):
            step = _newton(values, logs, hit)
            moved = (values - step * 0.5**halvings for halvings in range(_MOST_HALVINGS))
            tried = (np.r_[np.clip(each[0], *SLOPES), each[1:]] for each in moved)
            found = next(((each, new) for each in tried if (new := _loss(each, logs, hit)) < loss), None)
            if found is None:
                break
            settled = loss - found[1] < _SETTLED
            values, loss = found
            if settled:
                break
        return cls(float(values[0]), (0.0, *values[1:].tolist()))


def _softmax(raised: Array) -> Array:
    powers = np.exp(raised - raised.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def _loss(values: Array, logs: Array, hit: Array) -> float:
    raised = values[0] * logs + np.r_[0.0, values[1:]]
    raised -= raised.max(axis=1, keepdims=True)
    losses = np.log(np.exp(raised).sum(axis=1)) - (raised * hit).sum(axis=1)
    return float(losses.mean() + _RIDGE * (values[1:] ** 2).sum())


def _newton(values: Array, logs: Array, hit: Array) -> Array:
    """The step to the least of the loss, were it a parabola; a slope that would leave its bounds stays where it is."""
    shares = _softmax(values[0] * logs + np.r_[0.0, values[1:]])
    miss = shares - hit
    gradient = np.r_[(miss * logs).sum() / len(logs), miss[:, 1:].mean(axis=0) + 2 * _RIDGE * values[1:]]
    curved = curvature(logs, shares)
    step = np.linalg.solve(curved, gradient)
    if SLOPES[0] <= values[0] - step[0] <= SLOPES[1] or values[0] not in SLOPES:
        return np.asarray(step)
    return np.asarray(np.r_[0.0, np.linalg.solve(curved[1:, 1:], gradient[1:])])


def curvature(logs: Array, shares: Array) -> Array:
    """Of the loss of a row on average, at a sigmoid that gave these `shares`, in the slope and the offsets but for the
    first: (classes, classes)."""
    rows, classes = logs.shape
    others = shares[:, 1:]
    centred = shares * (logs - (shares * logs).sum(axis=1, keepdims=True))
    curved = np.empty((classes, classes))
    curved[0, 0] = (centred * logs).sum() / rows + _TINY
    curved[0, 1:] = curved[1:, 0] = centred[:, 1:].mean(axis=0)
    curved[1:, 1:] = np.diag(others.mean(axis=0) + 2 * _RIDGE) - others.T @ others / rows
    return curved


@dataclass(frozen=True)
class Calibrated:
    """A classifier whose probabilities go through a sigmoid."""

    pipeline: Any
    sigmoid: Sigmoid

    @property
    def classes_(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.pipeline.classes_)

    def predict_proba(self, matrix: Matrix) -> Array:
        return self.sigmoid(np.asarray(self.pipeline.predict_proba(matrix), dtype=np.float64))
