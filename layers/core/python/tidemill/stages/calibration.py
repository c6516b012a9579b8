"""What out-of-fold answers tell of a model besides its score: whether to calibrate it, and where to draw the line."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from tidemill.names import Task
from tidemill.stages.finish import Sigmoid
from tidemill.stages.folds import Places
from tidemill.stages.metrics import METRICS, RARE_SHARE

Array = npt.NDArray[np.float64]
Answers = Sequence[tuple[Places, Array]]
ThresholdBy = Literal["f1", "spec", "half"]

_PARTS, _WORTH_PARTS = 3, 1_000
"""One fold's answers are taken apart, if it has so many rows: a sigmoid is judged by rows that it was not fitted on."""
_ENOUGH_ROWS = 50_000
"""For a sigmoid, which has one slope, and one offset a class."""


@dataclass(frozen=True)
class Calibration:
    """`sigmoid` is None where log loss, of folds that it was not fitted on, does not fall by it; `answers` are those
    that the folds would have got with it."""

    sigmoid: Sigmoid | None
    log_loss: float
    log_loss_calibrated: float
    answers: Answers

    def to_json(self) -> dict[str, Any]:
        return {
            "method": "sigmoid" if self.sigmoid else "none",
            "log_loss": self.log_loss,
            "log_loss_calibrated": self.log_loss_calibrated,
        }


def calibrate(answers: Answers, target: Array) -> Calibration | None:
    """None where fewer than two folds could be judged, and not a large one either."""
    if len(answers) < 2 and sum(len(places) for places, _ in answers) < _WORTH_PARTS:
        return None
    if len(answers) == 1:
        ((places, said),) = answers
        apart = [np.arange(start, len(places), _PARTS) for start in range(_PARTS)]
        found = _cross_fitted([(places[part], said[part]) for part in apart], target)
        joined = said.copy()
        for part, (_, crossed) in zip(apart, found.answers, strict=True):
            joined[part] = crossed
        return replace(found, answers=((places, joined),))
    return _cross_fitted(answers, target)


def _cross_fitted(answers: Answers, target: Array) -> Calibration:
    parts = [(target[places].astype(np.int64), said) for places, said in answers]
    crossed = []
    for judged, (_, said) in enumerate(parts):
        others = [part for place, part in enumerate(parts) if place != judged]
        crossed.append(_fit(others)(said))
    plain = _log_loss(parts)
    calibrated = _log_loss([(truth, said) for (truth, _), said in zip(parts, crossed, strict=True)])
    if not calibrated < plain:
        return Calibration(None, plain, calibrated, answers)
    places = [places for places, _ in answers]
    return Calibration(_fit(parts), plain, calibrated, tuple(zip(places, crossed, strict=True)))


def threshold(
    answers: Answers, target: Array, task: Task, given: float | None
) -> tuple[float | None, ThresholdBy | None]:
    """From which probability of the second class on it is the answer: the spec's, or where the rarer class is rare the
    one of the best F1 score of that class, or a half."""
    if task != "binary":
        return None, None
    if given is not None:
        return given, "spec"
    positive = target == 1
    share = float(positive.mean())
    if min(share, 1 - share) >= RARE_SHARE or not answers:
        return 0.5, "half"
    truth = np.concatenate([positive[places] for places, _ in answers])
    said = np.concatenate([said[:, 1] for _, said in answers])
    if share < RARE_SHARE:
        return _best_f1(truth, said), "f1"
    # The rarer class is the first: the same line, seen from its side.
    return 1 - _best_f1(~truth, 1 - said), "f1"


def _best_f1(truth: npt.NDArray[np.bool_], score: Array) -> float:
    """Halfway between two scores, so that float32 draws the line at the same place; the highest of equals."""
    order = np.argsort(-score, kind="stable")
    ranked, hits = score[order], np.cumsum(truth[order])
    ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])
    f1 = 2 * hits[ends] / (ends + 1 + truth.sum())
    best = int(ends[np.argmax(f1)])
    below = ranked[best + 1] if best + 1 < len(ranked) else 0.0
    return float((ranked[best] + below) / 2)


def _fit(parts: Sequence[tuple[npt.NDArray[np.int64], Array]]) -> Sigmoid:
    step = math.ceil(sum(len(truth) for truth, _ in parts) / _ENOUGH_ROWS)
    truth = np.concatenate([truth for truth, _ in parts])[::step]
    return Sigmoid.fit(np.concatenate([said for _, said in parts])[::step], truth)


def _log_loss(parts: Sequence[tuple[npt.NDArray[np.int64], Array]]) -> float:
    truth = np.concatenate([truth for truth, _ in parts])
    return METRICS["log_loss"].bind(truth, np.concatenate([said for _, said in parts]))(None)
