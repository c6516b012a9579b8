"""What is done to a pipeline's answers before they are given; `export` writes the same into the graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tidemill.encoding import Matrix

Array = npt.NDArray[np.float64]

LEAST = 1e-5
"""Probabilities nearer to 0 are taken for this: a float32 graph knows less of them than calibration would show."""
_RIDGE = 1e-3
_SLOPES = (0.05, 20.0)
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
        raised = self.slope * np.log(np.clip(probabilities, LEAST, 1)) + self.offsets
        powers = np.exp(raised - raised.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    @classmethod
    def fit(cls, probabilities: Array, truth: npt.NDArray[np.int64]) -> "Sigmoid":
        """The least log loss, with a ridge that keeps the offsets of classes that have hardly any rows."""
        from scipy.optimize import minimize  # noqa: PLC0415 who only applies a sigmoid has no scipy

        logs = np.log(np.clip(probabilities, LEAST, 1))
        rows, classes = logs.shape
        hit = np.eye(classes)[truth]

        def loss(values: Array) -> tuple[float, Array]:
            raised = values[0] * logs + np.r_[0.0, values[1:]]
            raised -= raised.max(axis=1, keepdims=True)
            sums = np.log(np.exp(raised).sum(axis=1))
            miss = np.exp(raised - sums[:, None]) - hit
            value = float((sums - raised[np.arange(rows), truth]).mean() + _RIDGE * (values[1:] ** 2).sum())
            slopes = np.r_[(miss * logs).sum() / rows, miss[:, 1:].mean(axis=0) + 2 * _RIDGE * values[1:]]
            return value, slopes

        start = np.r_[1.0, np.zeros(classes - 1)]
        bounds: Sequence[tuple[float | None, float | None]] = [_SLOPES, *[(None, None)] * (classes - 1)]
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        return cls(float(found[0]), (0.0, *(float(offset) for offset in found[1:])))


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
